//! From the freeze to the switch and back: the steps during which nobody can write.

mod tenants;

use jiff::Timestamp;

use super::super::recreate::SETTLE;
use super::super::spec::CollectionSpec;
use super::{
    Act, FROZEN_AT_MOST, Journal, Look, Phase, RETRY, STEP_PATIENCE, Standing, are_the_same, sorted, standing,
};
use crate::sight::Sight;

/// What follows in this round.
#[derive(Clone, Debug, PartialEq)]
pub enum Moved {
    /// These acts, in their order.
    Acts(Vec<Act>),
    /// Nothing now; what is waited for.
    Wait(String),
}

/// What follows in a phase in which the old class is frozen. `called_off`: why it may not go on, if so. `nodes`: those that
/// have to be seen; `alive`: those of them that are members now. `live_shards`: those of the live class, none when it is not
/// there, `None` when that is not known.
pub fn next(
    journal: &Journal,
    spec: &CollectionSpec,
    look: &Look,
    (nodes, alive): (&[String], &[String]),
    live_shards: Option<Vec<String>>,
    called_off: Option<String>,
    now: Timestamp,
) -> Moved {
    Stand { journal, spec, look, nodes, alive, live_shards, called_off, now }.next()
}

struct Stand<'a> {
    journal: &'a Journal,
    spec: &'a CollectionSpec,
    look: &'a Look,
    nodes: &'a [String],
    alive: &'a [String],
    live_shards: Option<Vec<String>>,
    called_off: Option<String>,
    now: Timestamp,
}

fn write(journal: Journal) -> Moved {
    Moved::Acts(vec![Act::Write(Box::new(journal))])
}

impl Stand<'_> {
    fn next(&self) -> Moved {
        let Sight::Seen(alias) = &self.look.alias else {
            return Moved::Wait("the cluster to answer".to_owned());
        };
        let alias = alias.as_deref();
        match self.journal.phase {
            // The switch itself was made, whatever else came up at that moment.
            Phase::Switch if alias == Some(self.journal.to.as_str()) => {
                let next = self.journal.at(Phase::Verify, self.now);
                write(Journal { switched_at: Some(self.now), stopped: None, ..next })
            }
            Phase::Verify => self.verify(alias),
            Phase::Thaw => self.thaw(),
            Phase::Freeze | Phase::Settle | Phase::Final | Phase::Switch => match self.broken(alias) {
                Some(why) => self.stop(&why),
                None => self.onward(),
            },
            Phase::Approve | Phase::Create | Phase::Copy | Phase::Kept | Phase::Over | Phase::Stopped => {
                Moved::Wait(String::new())
            }
        }
    }

    /// Why it cannot go on to the switch.
    fn broken(&self, alias: Option<&str>) -> Option<String> {
        let Journal { phase, from, alias: name, freezing_since, .. } = self.journal;
        if let Some(why) = &self.called_off {
            return Some(why.clone());
        }
        if alias != Some(from.as_str()) {
            let to = alias.map_or_else(|| "nowhere".to_owned(), |class| format!("to {class}"));
            return Some(format!("alias {name} leads {to} by now, which was not done here"));
        }
        if freezing_since.is_some_and(|since| self.now.duration_since(since) > FROZEN_AT_MOST) {
            let minutes = FROZEN_AT_MOST.as_mins();
            return Some(format!(
                "{from} was read-only for {minutes} minutes, which is as long as writers are kept waiting"
            ));
        }
        if *phase == Phase::Freeze {
            return None;
        }
        if let Some(node) = self.look.restarted.first() {
            return Some(format!("{node} restarted after the shards were made read-only"));
        }
        if *phase == Phase::Switch
            && self.knows_the_new_class()
            && self.new_shards().is_ok_and(|there| !are_the_same(&self.journal.to_shards, there))
        {
            return Some(format!("{} was made anew after both classes were compared", self.journal.to));
        }
        if let Some(held) = &self.journal.tenants {
            return self.broken_of_tenants(held);
        }
        // A node that does not answer now may answer at the next look; one that says writable does not unsay it.
        let thawed = self.nodes.iter().find(|node| {
            let frozen = self.look.read_only.get(*node).and_then(Option::as_ref);
            frozen.is_some_and(|frozen| self.journal.shards.iter().any(|shard| !frozen.contains(shard)))
        });
        thawed.map(|node| format!("a shard at {node} became writable again; the node may have restarted"))
    }

    fn stop(&self, why: &str) -> Moved {
        let mut acts = vec![Act::Write(Box::new(self.journal.thawing(why, self.now)))];
        if let Some(job) = self.running() {
            acts.push(Act::EndJob(job));
        }
        Moved::Acts(acts)
    }

    /// A Job that is at work.
    fn running(&self) -> Option<String> {
        let jobs = self.look.jobs.seen()?;
        jobs.iter().find(|job| job.state == crate::feed::JobState::Active).map(|job| job.name.clone())
    }

    fn is_late(&self) -> bool {
        self.now.duration_since(self.journal.since) > STEP_PATIENCE
    }

    fn onward(&self) -> Moved {
        match self.journal.phase {
            Phase::Freeze => self.freeze(),
            Phase::Settle => self.settle(),
            Phase::Final => self.compare(),
            _ => match (self.unseen(), self.new_shards()) {
                (Some(what), _) => Moved::Wait(what),
                (None, Err(what)) if self.knows_the_new_class() => Moved::Wait(what),
                (None, _) => Moved::Acts(vec![Act::Switch(Box::new(self.journal.clone()))]),
            },
        }
    }

    /// Whether it is known which class was compared. Journals of older releases do not say it before the switch, and those of
    /// collections with tenants never.
    fn knows_the_new_class(&self) -> bool {
        !self.journal.to_shards.is_empty()
    }

    /// The shards of the class that it is migrated to; the error says what is waited for.
    fn new_shards(&self) -> Result<&[String], String> {
        match &self.look.other_shards {
            Some(Sight::Seen(there)) if !there.is_empty() => Ok(there),
            Some(Sight::Unseen(blindness)) => Err(format!("the shards of {}: {}", self.journal.to, blindness.message)),
            Some(Sight::Seen(_)) | None => {
                Err(format!("the shards of {} to be seen, by which it is known again", self.journal.to))
            }
        }
    }

    /// What was not said of all that the freeze is seen by: a node did not say which shards are read-only, or, where there are
    /// tenants, which there are.
    fn unseen(&self) -> Option<String> {
        let node = self.nodes.iter().find(|node| !matches!(self.look.read_only.get(*node), Some(Some(_))));
        match node {
            Some(node) => Some(format!("{node} to say which shards are read-only")),
            None => self.journal.tenants.as_ref().and_then(|_| self.unseen_of_tenants()),
        }
    }

    fn freeze(&self) -> Moved {
        let journal = self.journal;
        if let Some(held) = &journal.tenants {
            return self.freeze_tenants(held);
        }
        if journal.shards.is_empty() || self.nodes.is_empty() {
            return self.stop("the placement of its shards is not known");
        }
        if let Some(what) = self.unseen() {
            if self.is_late() {
                return self.stop(&format!("waited in vain for {what}"));
            }
            return Moved::Wait(what);
        }
        if journal.read_only_before.is_none() {
            // Which are so already is written down before the first is made so. Only those are somebody's word that are so
            // at every node: a full disk makes read-only what is on it.
            let everywhere =
                |shard: &&String| self.look.read_only.values().flatten().all(|frozen| frozen.contains(shard));
            let before = journal.shards.iter().filter(everywhere).cloned().collect();
            let next = journal.at(Phase::Freeze, self.now);
            return write(Journal { read_only_before: Some(before), freezing_since: Some(self.now), ..next });
        }
        let open = self.nodes.iter().find(|node| {
            let frozen = self.look.read_only.get(*node).and_then(Option::as_ref);
            journal.shards.iter().any(|shard| !frozen.is_some_and(|frozen| frozen.contains(shard)))
        });
        match open {
            None => write(Journal { frozen_since: Some(self.now), ..journal.at(Phase::Settle, self.now) }),
            Some(node) if self.is_late() => self.stop(&format!("the shards did not become read-only at {node}")),
            Some(_) => Moved::Acts(vec![Act::SetReadOnly {
                class: journal.from.clone(),
                read_only: true,
                shards: journal.shards.clone(),
            }]),
        }
    }

    fn settle(&self) -> Moved {
        if self.now.duration_since(self.journal.since) < SETTLE {
            return Moved::Wait(format!("writes in flight to end, {} s in all", SETTLE.as_secs()));
        }
        match self.unseen() {
            Some(what) => Moved::Wait(what),
            None => write(Journal { pass: self.journal.pass + 1, ..self.journal.at(Phase::Final, self.now) }),
        }
    }

    fn compare(&self) -> Moved {
        let journal = self.journal;
        match standing(journal, self.spec, self.look) {
            Standing::Unseen(why) => Moved::Wait(why),
            Standing::NotBegun => Moved::Acts(vec![Act::Copy(Box::new(journal.clone()))]),
            Standing::Disturbed(job) => Moved::Acts(vec![Act::EndJob(job)]),
            Standing::Running(what) => Moved::Wait(what),
            Standing::Done(ledger) => match &ledger.compared {
                Some(compared) if compared.is_same => {
                    // As many as the old class has, those among them that a transformation leaves out.
                    let counted = compared.source.saturating_add(ledger.left_out.unwrap_or_default());
                    // Which class was compared is known before readers and writers can come to it: what is made under its name
                    // after the switch is another one.
                    let to_shards = match self.new_shards() {
                        _ if journal.tenants.is_some() => Vec::new(),
                        Ok(there) => sorted(there.to_vec()),
                        Err(what) => return Moved::Wait(what),
                    };
                    write(Journal { compared: Some(counted), to_shards, ..journal.at(Phase::Switch, self.now) })
                }
                Some(compared) => self.stop(&format!(
                    "{} and {} are not the same: {} of {} objects differ, the new class has {}",
                    journal.from, journal.to, compared.differing, compared.source, compared.target
                )),
                None => self.stop("the worker ended without comparing the two classes"),
            },
            Standing::Failed { why, is_permanent: true, .. } => self.stop(&why),
            Standing::Failed { at, why, .. } => {
                let since = at.map_or(journal.since, |at| at.max(journal.since));
                if self.now.duration_since(since) < RETRY {
                    return Moved::Wait(format!("the next attempt; the last one failed: {why}"));
                }
                write(Journal { pass: journal.pass + 1, ..journal.at(Phase::Final, self.now) })
            }
        }
    }

    /// Every node has to see the alias lead to the new class. One that stays away learns it from RAFT before it serves.
    fn verify(&self, alias: Option<&str>) -> Moved {
        let journal = self.journal;
        if self.spec.collection == journal.from && alias == Some(&journal.from) && self.is_late() {
            // A person let it lead back; right after the switch it was a node that had not heard of it. Nobody has seen every
            // node follow the alias, so that the class it led to is not known again.
            return write(Journal { to_shards: Vec::new(), ..journal.at(Phase::Kept, self.now) });
        }
        let Some(shards) = self.live_shards.as_ref().filter(|_| self.spec.collection == journal.to) else {
            return Moved::Wait(format!("the shards of {} to be seen, by which it is known again", journal.to));
        };
        if let (true, Some(held)) = (shards.is_empty(), &journal.tenants) {
            return self.end_without_live(held);
        }
        if shards.is_empty() {
            // It is gone, and whatever is made under its name is another class: the old one is never deleted then.
            return write(Journal { to_shards: Vec::new(), ..journal.at(Phase::Kept, self.now) });
        }
        if alias.is_none() {
            // Somebody deleted it. Nothing else would ever let it lead anywhere again.
            return Moved::Acts(vec![Act::MakeAlias { alias: journal.alias.clone(), class: journal.to.clone() }]);
        }
        let nodes = if self.is_late() { self.alive } else { self.nodes };
        let sees =
            |node: &&String| matches!(self.look.alias_at.get(*node), Some(Some(Some(class))) if *class == journal.to);
        match nodes.iter().find(|node| !sees(node)) {
            Some(node) => {
                Moved::Wait(format!("alias {} to be seen to lead to {} at {node}", journal.alias, journal.to))
            }
            None => match &journal.tenants {
                // Their shards have the tenants' names, by which no class is known again.
                Some(held) => self.rest_after_switch(held),
                // Of another class than the one that was compared none are known: the old one is never deleted then.
                None if !are_the_same(&journal.to_shards, shards) => {
                    write(Journal { to_shards: Vec::new(), ..journal.at(Phase::Kept, self.now) })
                }
                None => write(journal.at(Phase::Kept, self.now)),
            },
        }
    }

    fn waits_long(&self) -> bool {
        self.now.duration_since(self.journal.since) > STEP_PATIENCE.saturating_mul(5)
    }

    /// Who stays away for long must not keep everybody else waiting: a restart thaws by itself.
    fn thaw(&self) -> Moved {
        let journal = self.journal;
        if let Some(held) = &journal.tenants {
            return self.thaw_tenants(held, if self.waits_long() { self.alive } else { self.nodes });
        }
        if journal.read_only_before.is_none() {
            // It was stopped before the first shard was made read-only.
            return write(journal.again(&self.spec.uid, self.now));
        }
        let shards = journal.own_shards();
        let nodes = if self.waits_long() { self.alive } else { self.nodes };
        let frozen = |frozen: &Vec<String>| frozen.iter().any(|shard| shards.contains(shard));
        let is_frozen = |node: &String| matches!(self.look.read_only.get(node), Some(Some(shards)) if frozen(shards));
        if nodes.iter().any(is_frozen) {
            return Moved::Acts(vec![Act::SetReadOnly { class: journal.from.clone(), read_only: false, shards }]);
        }
        let unknown = nodes.iter().find(|node| !matches!(self.look.read_only.get(*node), Some(Some(_))));
        match unknown {
            Some(node) if !shards.is_empty() => {
                Moved::Wait(format!("{node} to answer, so that its shards are seen to be writable"))
            }
            _ => write(journal.again(&self.spec.uid, self.now)),
        }
    }
}
