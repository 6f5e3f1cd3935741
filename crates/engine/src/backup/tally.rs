//! What the index says of a part, compared with the objects that are in it.

use uuid::Uuid;

use super::digest::{Contents, object_digest};
use super::manifest::Part;
use super::verify::Fault;
use crate::object::Object;

/// A part whose objects are counted and added up.
pub(super) struct Tally<'a> {
    part: &'a Part,
    contents: Contents,
    last: Option<Uuid>,
}

impl<'a> Tally<'a> {
    /// Of none of its objects yet.
    pub(super) fn of(part: &'a Part) -> Self {
        Self { part, contents: Contents::default(), last: None }
    }

    /// The next objects, of which each is told with its digest.
    pub(super) fn add(&mut self, objects: &[Object], mut each: impl FnMut(Uuid, [u8; 32])) -> Result<(), Fault> {
        let bounds = self.part.first..=self.part.last;
        for object in objects {
            if self.last.is_some_and(|last| object.id <= last) || !bounds.contains(&object.id) {
                return Err(Fault::Order { key: self.key(), id: object.id });
            }
            self.last = Some(object.id);
            let digest = object_digest(object);
            self.contents.add_digest(&digest);
            each(object.id, digest);
        }
        Ok(())
    }

    /// Objects up to now.
    pub(super) fn objects(&self) -> u64 {
        self.contents.objects
    }

    /// Whether they are what the index says, now that there are no more.
    pub(super) fn end(&self) -> Result<(), Fault> {
        let (wanted, found) = (self.part.contents.objects, self.contents.objects);
        if wanted != found {
            return Err(Fault::Count { key: self.key(), wanted, found });
        }
        if self.contents == self.part.contents { Ok(()) } else { Err(Fault::Objects { key: self.key() }) }
    }

    fn key(&self) -> String {
        self.part.file.key.clone()
    }
}
