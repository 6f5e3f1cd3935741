//! What lives of a part: all of it, or in a chain of runs what the roll says is held by it.

use super::manifest::{ByTenant, Part};
use super::opened::Chain;
use super::part::{DecodeError, Groups};
use super::ports::Store;
use super::roll::RollCursor;
use super::verify::Fault;
use super::write::beside;
use crate::object::Object;
use crate::ports::PortError;

/// Why a part was not read to its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// It has its hash and cannot be decoded.
    Undecodable(DecodeError),
    /// Something is wrong with the roll.
    Fault(Fault),
}

/// A part that is being read, group by group.
pub(super) struct LivingPart<'a, S> {
    groups: Option<Groups>,
    /// `None` where everything lives.
    roll: Option<RollCursor<'a, S>>,
    place: usize,
    /// A group of which it is not yet known what lives: a call to the store may fail, and be tried again.
    group: Vec<Object>,
    lives: Vec<bool>,
}

/// A group of objects that live.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) objects: Vec<Object>,
    /// How many of the part were read for it.
    pub(super) read: u64,
}

impl<'a, S: Store> LivingPart<'a, S> {
    /// `roll` is that of the newest index of the collection, `place` the place of the part's run in the chain.
    pub(super) fn new(
        store: &'a S,
        chain: &'a Chain,
        roll: &ByTenant<'_>,
        place: usize,
        part: &Part,
        groups: Groups,
    ) -> Self {
        let files = roll.get(&part.tenant.as_deref()).into_iter().flatten().copied();
        let roll = chain.is_incremental().then(|| RollCursor::new(store, chain.own(), files, part.first));
        Self { groups: Some(groups), roll, place, group: Vec::new(), lives: Vec::new() }
    }

    /// The next group, which may be empty; `None` at the end. After `Err` it may be tried again.
    pub(super) async fn next(&mut self) -> Result<Result<Option<Group>, Broken>, PortError> {
        if self.group.is_empty() {
            let Some(mut groups) = self.groups.take() else { return Ok(Ok(None)) };
            let (groups, group) = beside(move || {
                let group = groups.next();
                (groups, group)
            })
            .await?;
            self.group = match group {
                None => return Ok(Ok(None)),
                Some(Ok(group)) => group,
                Some(Err(error)) => return Ok(Err(Broken::Undecodable(error))),
            };
            self.groups = Some(groups);
        }
        let read = self.group.len() as u64;
        if let Some(roll) = &mut self.roll {
            while let Some(object) = self.group.get(self.lives.len()) {
                match roll.find(object.id).await? {
                    Ok(record) => {
                        let is_held = record.is_some_and(|record| usize::from(record.holder) == self.place);
                        self.lives.push(is_held);
                    }
                    Err(fault) => return Ok(Err(Broken::Fault(fault))),
                }
            }
            let mut lives = std::mem::take(&mut self.lives).into_iter();
            self.group.retain(|_| lives.next().unwrap_or(false));
        }
        Ok(Ok(Some(Group { objects: std::mem::take(&mut self.group), read })))
    }
}
