//! What becomes of a collection whose ElysiaCollection is being deleted (`deletionPolicy`).
//!
//! Whatever is not certain keeps the data and, after a bounded time, lets the object go: a deletion that hangs holds up a
//! whole namespace, and a collection that stays can be deleted later.

use std::collections::BTreeMap;

use elysia_api::collection::DeletionPolicy;
use elysia_api::condition::Reason;
use jiff::SignedDuration;

use crate::sight::Sight;

/// How long servers that cannot be asked hold a deletion up (design, law 4).
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// How long anything else does: a backup or a copy that runs, a recreation that is being ended, a delete that the servers
/// refuse, a writer that makes the collection again. Backups of some hundred GiB end within it.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// How soon to look again while the servers carry the delete out: they tell each other within a second.
pub const RECHECK: SignedDuration = SignedDuration::from_secs(1);
/// How soon to look again while something else has to end first.
pub const RECHECK_LATER: SignedDuration = SignedDuration::from_secs(5);

/// How the cluster of a collection that is being deleted stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClusterFate {
    /// There is no such WeaviateCluster.
    Missing,
    /// It is being deleted.
    Deleting,
    /// It sleeps: its servers do not run.
    Hibernated,
    /// It is there, whether its servers answer or not.
    There,
}

/// Everything that a look at a collection with a deleted object gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Name of the collection.
    pub collection: String,
    /// What the object asks for.
    pub policy: DeletionPolicy,
    /// Why the spec cannot be honoured, if it cannot.
    pub invalid: Option<String>,
    /// Whether `elysia.dev/paused` is set.
    pub paused: bool,
    /// The cluster.
    pub cluster: ClusterFate,
    /// Whether the namespace is being deleted.
    pub terminating: Sight<bool>,
    /// Another resource that claims the collection, or may.
    pub rival: Option<String>,
    /// The pattern that protects the collection's name.
    pub protection: Option<String>,
    /// Whether the leader has the class.
    pub class: Sight<bool>,
    /// The CollectionRestore that the collection begins with, while it may write.
    pub restore: Sight<Option<Restoring>>,
    /// Whether a recreation has not been brought to its end.
    pub journal: Sight<bool>,
    /// A backup or a copy that runs.
    pub busy: Sight<Option<String>>,
    /// Whether each living node has the class still, asked when the leader has it no more; `None` when it could not be.
    pub nodes: BTreeMap<String, Option<bool>>,
    /// How long the object has been waiting to go.
    pub waited: SignedDuration,
}

/// A restore that may write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restoring {
    /// Name of the CollectionRestore.
    pub name: String,
    /// Its uid while it is there and not being deleted; without it its pods are still there.
    pub uid: Option<String>,
}

/// What to do now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// The object stays until something else is over.
    Hold {
        /// What that is.
        message: String,
        /// When to look again.
        recheck: SignedDuration,
    },
    /// The restore that the collection begins with is ended first: it would make the class again.
    EndRestore {
        /// Name of the CollectionRestore.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// The class is deleted with all its objects, as the object asks.
    Delete,
    /// The object goes.
    Release(Outcome),
}

/// What became of the collection when the object went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It stays, as declared.
    Retained,
    /// It is gone at every node.
    Deleted,
    /// It stays although it was to be deleted: why.
    Kept(String),
}

impl Outcome {
    /// Why, for programs.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Kept(_) => Reason::DeletionRefused,
            Self::Retained | Self::Deleted => Reason::Deleting,
        }
    }

    /// For people.
    pub fn message(&self, collection: &str) -> String {
        match self {
            Self::Retained => format!("deletionPolicy is Retain: collection {collection} stays"),
            Self::Deleted => format!("collection {collection} was deleted and is gone at every node"),
            Self::Kept(why) => format!("collection {collection} stays although deletionPolicy is Delete: {why}"),
        }
    }
}

/// What to do with this collection and its object now.
pub fn decide(look: &Look) -> Decision {
    if look.policy == DeletionPolicy::Retain {
        return Decision::Release(Outcome::Retained);
    }
    if let Some(why) = forbidden(look) {
        return Decision::Release(Outcome::Kept(why));
    }
    if let Sight::Unseen(blindness) = &look.terminating {
        return patient(look, &format!("whether the namespace is being deleted is not known ({})", blindness.message));
    }
    let there = match &look.class {
        Sight::Seen(there) => *there,
        Sight::Unseen(blindness) => {
            return patient(look, &format!("the servers cannot be asked ({})", blindness.message));
        }
    };
    match &look.journal {
        Sight::Seen(false) => {}
        Sight::Seen(true) => return until_the_end(look, "its recreation is being brought to its end"),
        Sight::Unseen(blindness) => {
            return patient(look, &format!("whether it is being recreated is not known ({})", blindness.message));
        }
    }
    match &look.restore {
        Sight::Seen(None) => {}
        Sight::Seen(Some(Restoring { name, uid: Some(uid) })) if look.waited < LONGEST => {
            return Decision::EndRestore { name: name.clone(), uid: uid.clone() };
        }
        Sight::Seen(Some(Restoring { name, .. })) => {
            return until_the_end(look, &format!("CollectionRestore {name}, which fills it, is being ended"));
        }
        Sight::Unseen(blindness) => {
            return patient(look, &format!("whether it is being restored is not known ({})", blindness.message));
        }
    }
    if !there {
        return going(look);
    }
    match &look.busy {
        Sight::Seen(None) => {}
        Sight::Seen(Some(what)) => return until_the_end(look, what),
        Sight::Unseen(blindness) => {
            return patient(look, &format!("whether a backup or a copy runs is not known ({})", blindness.message));
        }
    }
    if look.waited >= LONGEST {
        return Decision::Release(Outcome::Kept(format!(
            "it was still there after {} minutes; the operator's log tells why",
            LONGEST.as_mins()
        )));
    }
    Decision::Delete
}

/// Why nothing of it may be deleted, now or later.
fn forbidden(look: &Look) -> Option<String> {
    match look.cluster {
        ClusterFate::Missing => return Some("its WeaviateCluster does not exist".to_owned()),
        ClusterFate::Deleting => return Some("its WeaviateCluster is being deleted and keeps its volumes".to_owned()),
        ClusterFate::Hibernated => return Some("its WeaviateCluster hibernates".to_owned()),
        ClusterFate::There => {}
    }
    if look.terminating == Sight::Seen(true) {
        return Some("the namespace is being deleted, and that deletes no data".to_owned());
    }
    if let Some(rival) = &look.rival {
        return Some(format!("{rival} claims it as well and has it from now on"));
    }
    if let Some(pattern) = &look.protection {
        return Some(format!("{pattern} of the WeaviateCluster protects it"));
    }
    if look.paused {
        return Some("elysia.dev/paused was set when it was deleted".to_owned());
    }
    look.invalid.as_ref().map(|message| format!("the spec is not valid: {message}"))
}

/// Held for a while by something that could not be seen.
fn patient(look: &Look, what: &str) -> Decision {
    if look.waited >= PATIENCE {
        return Decision::Release(Outcome::Kept(format!("{what}, for {} minutes", PATIENCE.as_mins())));
    }
    let rest = PATIENCE.saturating_sub(look.waited);
    let message = format!(
        "{what}; if that stays so, the object goes {} minutes after its deletion and the collection stays",
        PATIENCE.as_mins()
    );
    Decision::Hold { message, recheck: RECHECK_LATER.min(rest) }
}

/// Held for longer by something that is under way.
fn until_the_end(look: &Look, what: &str) -> Decision {
    if look.waited >= LONGEST {
        return Decision::Release(Outcome::Kept(format!("{what}, for {} minutes", LONGEST.as_mins())));
    }
    let rest = LONGEST.saturating_sub(look.waited);
    Decision::Hold {
        message: format!("{what}; the collection is deleted after that"),
        recheck: RECHECK_LATER.min(rest),
    }
}

/// The leader has it no more: whether everybody else has heard of it.
fn going(look: &Look) -> Decision {
    let behind = look.nodes.iter().find(|(_, there)| **there != Some(false));
    match behind {
        // Whoever is away hears of it from RAFT when it comes back: it is deleted all the same.
        Some((node, _)) if look.waited < PATIENCE => Decision::Hold {
            message: format!("collection {} is deleted; waiting until {node} has heard of it", look.collection),
            recheck: RECHECK,
        },
        _ => Decision::Release(Outcome::Deleted),
    }
}

/// Whether the object is to carry the finalizer.
///
/// It is the record that the object owns its collection: one that never carried it deletes nothing. `conflict`: an older
/// resource claims the collection. `cluster`: whether the WeaviateCluster is there.
pub fn wants_finalizer(policy: DeletionPolicy, conflict: bool, cluster: bool, has_it: bool) -> bool {
    policy == DeletionPolicy::Delete && !conflict && (cluster || has_it)
}

#[cfg(test)]
#[path = "deletion_tests.rs"]
mod tests;
