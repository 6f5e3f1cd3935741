//! A collection that begins with a backup (`spec.restoreFrom`): until that is done nothing else is done with it.

use elysia_api::condition::Reason;

use super::super::bootstrap::{self, State};
use super::{Part, Planner, RECHECK, RECHECK_LATER, Step};

impl Planner<'_> {
    /// What is to be said instead of anything else; `None` when the collection is one like any other.
    pub(super) fn beginning(&mut self, is_there: bool) -> Option<Part> {
        let (name, namespace) = (bootstrap::restore_name(&self.spec.name), &self.spec.namespace);
        let collection = &self.spec.collection;
        match bootstrap::state(self.spec, self.observed, self.before) {
            State::Absent => None,
            State::NotBegun | State::Done { .. } | State::Skipped if is_there => None,
            State::NotBegun => {
                Some(self.begins(format!("collection {collection} does not exist; CollectionRestore {name} makes it")))
            }
            State::Lost => Some(self.begins(format!(
                "CollectionRestore {name} was deleted before it was done; it is made again and goes on where it stopped"
            ))),
            State::UnderWay { message, .. } => {
                self.recheck = Some(RECHECK_LATER);
                let give_up = match self.spec.restore_from {
                    Some(_) => String::new(),
                    None => format!(
                        ". restoreFrom is not in the spec any more; to give it up: kubectl delete collectionrestore {name} --namespace {namespace}"
                    ),
                };
                let message = if message.is_empty() { "it has not begun".to_owned() } else { message };
                Some(Part::Working(Reason::Restoring, format!("CollectionRestore {name}: {message}{give_up}")))
            }
            State::Stalled { message, .. } => {
                self.recheck = Some(RECHECK_LATER);
                Some(Part::Stuck(
                    Reason::RestoreStalled,
                    format!(
                        "CollectionRestore {name}: {message}. To give the backup up, take restoreFrom out of the spec, then: kubectl delete collectionrestore {name} --namespace {namespace}"
                    ),
                ))
            }
            State::Done { .. } => Some(Part::Stuck(
                Reason::CollectionGone,
                format!(
                    "collection {collection} was restored once, as restoreFrom says, and does not exist any more; it is neither restored again nor created empty. To bring it back, apply a CollectionRestore under another name, made like: kubectl get collectionrestore {name} --namespace {namespace} --output yaml. To begin with an empty one, take restoreFrom out of the spec"
                ),
            )),
            State::Skipped => Some(Part::Stuck(
                Reason::CollectionGone,
                format!(
                    "collection {collection} was there before restoreFrom was followed, and does not exist any more; it is neither restored nor created empty. To bring it back, apply a CollectionRestore (see: kubectl explain collectionrestore.spec). To begin with an empty one, take restoreFrom out of the spec"
                ),
            )),
            State::Unknown(message) => {
                self.recheck = Some(RECHECK_LATER);
                Some(Part::Unknown(Reason::Unknown, message))
            }
        }
    }

    /// The CollectionRestore is made, as soon as the cluster can take the collection.
    fn begins(&mut self, message: String) -> Part {
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::ClusterNotReady, wait);
        }
        let members = self.observed.members.seen().map_or(0, Vec::len);
        if let Some(problem) = self.too_few(members) {
            return Part::Stuck(Reason::InvalidSpec, problem);
        }
        self.recheck = Some(RECHECK);
        self.steps.extend(bootstrap::restore(self.spec).map(|restore| Step::StartRestore(Box::new(restore))));
        Part::Working(Reason::Restoring, message)
    }
}
