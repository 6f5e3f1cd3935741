//! A valid line as what it does to objects.

use uuid::Uuid;

use crate::identity::document_id;
use crate::line::{Action, Change};
use crate::mapping::{CONTENT, Mapped, Mapping, PATH, Properties, REPO};
use crate::object::Vectors;
use crate::rejection::Rejection;

/// What one line does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The object is exactly this.
    Add {
        /// The object.
        id: Uuid,
        /// All of its properties.
        properties: Properties,
        /// All of its vectors that the line brings along.
        vectors: Vectors,
    },
    /// The object has these properties, and keeps its others. One that is not there is made, if content is among them.
    Modify {
        /// The object.
        id: Uuid,
        /// What is set; `null` clears. Always with `repo` and `path`, for an object that is not there yet.
        set: Properties,
        /// Vectors that are set.
        vectors: Vectors,
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
        set: Properties,
        /// Vectors that are set.
        vectors: Vectors,
    },
}

impl Step {
    /// What a line does in this collection.
    pub fn new(collection: &str, mapping: &Mapping, change: Change) -> Result<Self, Rejection> {
        let Change { repo, path, action } = change;
        let id = document_id(collection, &repo, &path);
        match action {
            Action::Add(body) => {
                let Mapped { mut properties, vectors } = mapping.map(body)?;
                properties.retain(|_, value| !value.is_null());
                Ok(Self::Add { id, properties: with_key(properties, repo, path), vectors })
            }
            Action::Modify(body) => {
                let Mapped { properties, vectors } = mapping.map(body)?;
                Ok(Self::Modify { id, set: with_key(properties, repo, path), vectors })
            }
            Action::Delete => Ok(Self::Delete { id }),
            Action::Rename { new_path, body } => {
                let to = document_id(collection, &repo, &new_path);
                let Mapped { properties, vectors } = mapping.map(body)?;
                Ok(Self::Rename { from: id, to, old_path: path, set: with_key(properties, repo, new_path), vectors })
            }
        }
    }

    /// The object that this step may leave behind.
    pub fn target(&self) -> Option<Uuid> {
        match self {
            Self::Add { id, .. } | Self::Modify { id, .. } => Some(*id),
            Self::Rename { to, .. } => Some(*to),
            Self::Delete { .. } => None,
        }
    }

    /// Whether this changes what is there and makes nothing where there is nothing: a modify without content. A feed
    /// that is read again modifies documents that it renamed away in the meantime.
    pub fn makes_nothing(&self) -> bool {
        match self {
            Self::Modify { set, .. } => !set.contains_key(CONTENT),
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

fn with_key(mut properties: Properties, repo: String, path: String) -> Properties {
    properties.insert(REPO.to_owned(), repo.into());
    properties.insert(PATH.to_owned(), path.into());
    properties
}

/// Whether anything but the key is set: then vectors that the server computed are out of date.
pub fn changes_text(set: &Properties) -> bool {
    set.keys().any(|name| name != REPO && name != PATH)
}
