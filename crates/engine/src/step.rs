//! A valid line as what it does to objects.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::chunk::Cut;
use crate::identity::document_id;
use crate::line::{Action, Body, Change};
use crate::mapping::{Mapped, Mapping, Properties};
use crate::object::{Object, Vectors};
use crate::rejection::Rejection;

/// What one line does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The object is exactly this.
    Add {
        /// The object: all of its properties, and all of its vectors that the line brings along. Shared with the plan,
        /// which is made anew when a server refuses some of it: nothing copies a text of megabytes.
        object: Arc<Object>,
        /// Its text beyond the first chunk, in a feed that is cut.
        cut: Option<Cut>,
    },
    /// The object has these properties, and keeps its others. One that is not there is made, if content is among them.
    Modify {
        /// The object.
        id: Uuid,
        /// What is set; always with `repo` and `path`, for an object that is not there yet.
        set: Set,
    },
    /// The object is gone.
    Delete {
        /// The object.
        id: Uuid,
    },
    /// What was at one id is at another, with these properties set.
    Rename {
        /// Where it was.
        from: Uuid,
        /// Where it is from now on.
        to: Uuid,
        /// Its path until now, for the message when there is nothing.
        old_path: String,
        /// What is set; always with the new `path`.
        set: Set,
    },
}

/// What is set of an object; the rest of it stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set {
    /// Properties; `null` clears.
    pub properties: Properties,
    /// Vectors.
    pub vectors: Vectors,
    /// The text beyond the first chunk, in a feed that is cut.
    pub cut: Option<Cut>,
    /// Whether the document's text is among the properties.
    pub has_content: bool,
    /// Whether anything but the document's key is: then vectors that the server computed are out of date.
    pub changes_text: bool,
}

impl Step {
    /// What a line does in this collection.
    pub fn new(collection: &str, mapping: &Mapping, change: Change) -> Result<Self, Rejection> {
        let Change { repo, path, action } = change;
        let id = document_id(collection, &repo, &path);
        match action {
            Action::Add(body) => {
                let mapped = mapping.map(body).map_err(|rejection| rejection.about([id]))?;
                let Mapped { mut properties, vectors } = mapped;
                properties.retain(|_, value| !value.is_null());
                let cut = cut(mapping, &mut properties, &vectors).map_err(|rejection| rejection.about([id]))?;
                mapping.insert_key(&mut properties, repo, path);
                Ok(Self::Add { object: Arc::new(Object { id, properties, vectors }), cut })
            }
            Action::Modify(body) => {
                let set = Set::new(mapping, repo, path, body).map_err(|rejection| rejection.about([id]))?;
                Ok(Self::Modify { id, set })
            }
            Action::Delete => Ok(Self::Delete { id }),
            Action::Rename { new_path, body } => {
                let to = document_id(collection, &repo, &new_path);
                let set = Set::new(mapping, repo, new_path, body).map_err(|rejection| rejection.about([id, to]))?;
                Ok(Self::Rename { from: id, to, old_path: path, set })
            }
        }
    }

    /// The object that this step may leave behind.
    pub fn target(&self) -> Option<Uuid> {
        match self {
            Self::Add { object, .. } => Some(object.id),
            Self::Modify { id, .. } => Some(*id),
            Self::Rename { to, .. } => Some(*to),
            Self::Delete { .. } => None,
        }
    }

    /// Every object that this reads, puts or deletes.
    pub fn touched(&self) -> impl Iterator<Item = Uuid> + use<> {
        let (first, second) = match self {
            Self::Add { object, .. } => (object.id, None),
            Self::Modify { id, .. } | Self::Delete { id } => (*id, None),
            Self::Rename { from, to, .. } => (*from, Some(*to)),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether this changes what is there and makes nothing where there is nothing: a modify without content. A feed
    /// that is read again modifies documents that it renamed away in the meantime.
    pub fn makes_nothing(&self) -> bool {
        match self {
            Self::Modify { set, .. } => !set.has_content,
            Self::Add { .. } | Self::Delete { .. } | Self::Rename { .. } => false,
        }
    }

    /// The object that a rename moves away.
    pub fn rename_source(&self) -> Option<Uuid> {
        match self {
            Self::Rename { from, .. } => Some(*from),
            Self::Add { .. } | Self::Modify { .. } | Self::Delete { .. } => None,
        }
    }
}

impl Set {
    /// What an object becomes by this, at this id. `computed` are the vectors that the server makes from text: they are
    /// left out where text changed.
    pub(crate) fn applied(&self, id: Uuid, base: Option<&Object>, computed: &BTreeSet<String>) -> Object {
        let (mut properties, mut vectors) =
            base.map_or_else(Default::default, |object| (object.properties.clone(), object.vectors.clone()));
        for (name, value) in &self.properties {
            match value {
                Value::Null => properties.remove(name),
                value => properties.insert(name.clone(), value.clone()),
            };
        }
        if self.changes_text {
            vectors.retain(|name, _| !computed.contains(name));
        }
        vectors.extend(self.vectors.iter().map(|(name, vector)| (name.clone(), vector.clone())));
        Object { id, properties, vectors }
    }

    /// Both as one, for objects to which neither brings text.
    pub(crate) fn followed_by(mut self, next: &Self) -> Self {
        self.properties.extend(next.properties.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.vectors.extend(next.vectors.iter().map(|(name, vector)| (name.clone(), vector.clone())));
        self.changes_text |= next.changes_text;
        self
    }

    fn new(mapping: &Mapping, repo: String, path: String, body: Body) -> Result<Self, Rejection> {
        let has_content = body.content.is_some();
        let Mapped { mut properties, vectors } = mapping.map(body)?;
        let changes_text = !properties.is_empty();
        let cut = cut(mapping, &mut properties, &vectors)?;
        mapping.insert_key(&mut properties, repo, path);
        Ok(Self { properties, vectors, cut, has_content, changes_text })
    }
}

/// Cuts the text, if the feed is cut. A line has vectors for one object, so its text must be one chunk, and be there: that
/// of the document may be several, which only a look would tell.
fn cut(mapping: &Mapping, properties: &mut Properties, vectors: &Vectors) -> Result<Option<Cut>, Rejection> {
    let cut = mapping.cut(properties)?;
    if mapping.cutting().is_none() || vectors.is_empty() {
        return Ok(cut);
    }
    match cut.as_ref().map(Cut::count) {
        Some(1) => Ok(cut),
        Some(count) => Err(Rejection::validation(format!(
            "the content makes {count} chunks, and the line's vector can be that of one: leave it out for Weaviate to \
             compute, or write a document for each part"
        ))),
        None => Err(Rejection::validation(
            "a vector without content, in a feed with chunking: give the content with it, which must be one chunk",
        )),
    }
}
