//! The class that is kept for going back: what it takes to delete it, or to go back to it. By the names of its shards each
//! class is told from another one that was made under its name.

use elysia_api::condition::Reason;

use super::super::super::migration::{self, Act, Journal, Look, Phase, Wanted};
use super::super::{Part, Planner, RECHECK_LATER};
use crate::sight::Sight;

impl Planner<'_> {
    /// Deletes the class that was migrated from, when its time is over. The field `rollbackWindow` is what names it (law 2).
    /// Until then it is kept read-only. The answer is why it stays although its time is over, if only a person can say more.
    pub(super) fn let_go(&mut self, journal: &Journal, look: &Look, wanted: &Wanted) -> Option<String> {
        let Some((name, Sight::Seen(former))) = &look.other else { return None };
        // Somebody let the alias lead back: that class is live, and nothing of this migration is to be deleted.
        if *name != journal.from || !self.is_live(journal, look) {
            return None;
        }
        if former.is_none() {
            // Deleted: by this operator, or by a person who needs no way back.
            self.acts([Act::Write(Box::new(journal.at(Phase::Over, self.now)))]);
            return None;
        }
        if journal.tenants.is_some() {
            let is_over = wanted
                .window
                .zip(journal.switched_at)
                .is_some_and(|(window, switched)| self.now.duration_since(switched) >= window);
            let (from, to) = (&journal.from, &journal.to);
            return is_over.then(|| {
                format!(
                    "the time of {from}, which was migrated to {to}, is over; of a collection with tenants it is not known for certain that both are the classes of the switch, so a person deletes it: DELETE /v1/schema/{from}"
                )
            });
        }
        if !self.is_kept(journal, look) || self.keep_read_only(&journal.from, &journal.shards, look) {
            return None;
        }
        let is_over = wanted
            .window
            .zip(journal.switched_at)
            .is_some_and(|(window, switched)| self.now.duration_since(switched) >= window);
        let answers = |node: &String| matches!(look.read_only.get(node), Some(Some(_)));
        let is_frozen = !self.observed.nodes.is_empty() && self.observed.nodes.iter().all(answers);
        // The alias survives the deletion of its class: what was made under that name since has none of the objects, and the
        // old class is the last that has them.
        let live = self.live_shards()?;
        if is_over && !migration::are_the_same(&journal.to_shards, &live) {
            return Some(format!(
                "{} was made anew since the switch and may lack what {} has, which therefore stays: a person has to look",
                journal.to, journal.from
            ));
        }
        if is_over && is_frozen && self.observed.protection.is_none() {
            self.acts([Act::RemoveFormer(Box::new(journal.clone()))]);
        }
        None
    }

    /// Whether the alias leads to the class that was migrated to.
    pub(super) fn is_live(&self, journal: &Journal, look: &Look) -> bool {
        look.alias == Sight::Seen(Some(journal.to.clone())) && self.spec.collection == journal.to
    }

    /// Whether the class that was migrated from is there, is not live, and nobody else's.
    pub(super) fn is_kept(&self, journal: &Journal, look: &Look) -> bool {
        let is_live = self.is_live(journal, look);
        let is_looked_at = matches!(&look.other, Some((name, Sight::Seen(Some(_)))) if *name == journal.from);
        let is_former =
            matches!(&look.other_shards, Some(Sight::Seen(there)) if migration::are_the_same(&journal.shards, there));
        is_live && is_looked_at && is_former && look.rival.is_none()
    }

    /// Makes the class that is kept read-only again, if a node says that it is not, and answers whether that is done. It is so
    /// in the memory of the servers: whatever is acknowledged after a restart would go with the class, or be removed from it.
    pub(super) fn keep_read_only(&mut self, class: &str, shards: &[String], look: &Look) -> bool {
        let lacks = |frozen: &Vec<String>| shards.iter().any(|shard| !frozen.contains(shard));
        let answers = self.observed.nodes.iter().filter_map(|node| look.read_only.get(node).and_then(Option::as_ref));
        let is_open = answers.into_iter().any(lacks);
        if is_open {
            self.acts([Act::SetReadOnly { class: class.to_owned(), read_only: true, shards: shards.to_vec() }]);
        }
        is_open
    }

    /// The shards of the live class; `None` when they are not known.
    pub(super) fn live_shards(&self) -> Option<Vec<String>> {
        self.observed.placement.seen().map(|placement| migration::shard_names(placement))
    }

    /// A node that holds a replica and cannot be asked by itself: whether its shards are read-only is never seen, nor what it
    /// alone has.
    pub(super) fn stranger(&self) -> Option<String> {
        let mut holders = self.observed.placement.seen().into_iter().flatten().flat_map(|shard| &shard.replicas);
        let node = holders.find(|node| !self.observed.nodes.contains(node))?;
        Some(format!(
            "{node} holds a replica of {} and has no address of its own; name it in spec.external.nodes of WeaviateCluster {}",
            self.spec.collection, self.spec.cluster
        ))
    }

    /// Why it does not go back, if one of the two classes is not the one of the switch: what the copy finds missing in the
    /// live one it removes from the other.
    pub(super) fn made_anew(
        &mut self,
        (live, live_known): (&str, &[String]),
        (kept, kept_known): (&str, &[String]),
        alias: &str,
        look: &Look,
        what: &str,
    ) -> Option<Part> {
        let unknown = |why: &str| Some(Part::Unknown(Reason::Unknown, format!("{what}; {why}")));
        let Some(live_there) = self.live_shards() else {
            self.recheck = Some(RECHECK_LATER);
            return unknown("the placement of its shards is not known");
        };
        let kept_there = match &look.other_shards {
            Some(Sight::Seen(there)) => there,
            Some(Sight::Unseen(blindness)) => {
                self.recheck = Some(RECHECK_LATER);
                return unknown(&blindness.message);
            }
            None => return unknown(&format!("the shards of {kept} were not looked at")),
        };
        let blocked = |why: String| Some(Part::Stuck(Reason::MigrationBlocked, format!("{what}, and {why}")));
        if !migration::are_the_same(live_known, &live_there) {
            return blocked(format!(
                "{live} was made anew since the switch; going back would remove from {kept} what it lacks. If {kept} is to be live as it is: PUT /v1/aliases/{alias} with {{\"class\": \"{kept}\"}}"
            ));
        }
        if !migration::are_the_same(kept_known, kept_there) {
            return blocked(format!(
                "{kept} was made anew since the switch, so it is not the class that was kept; going back would remove from it what {live} lacks. If nobody needs it, delete it: DELETE /v1/schema/{kept}"
            ));
        }
        None
    }
}
