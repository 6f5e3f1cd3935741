//! Emptying a collection: the command of a person, with the number of objects typed, carried out like a recreation.

use elysia_api::condition::Reason;
use serde_json::Value;

use super::super::recreate::{self, CLEARED_KEPT, ClearRefusal, ClearRequest, Cursor, Journal, Purpose};
use super::super::spec::CollectionSpec;
use super::recreation::{Hindrance, clear_steps};
use super::shown::shown_plan;
use super::{Part, Planner, RECHECK, RECHECK_LATER, Step, has_active_copies};
use crate::fingerprint;
use crate::sight::Sight;

/// Why a request that is as old as its object is refused: whoever makes an object anew from what was kept of it, or a tool that
/// does, does not mean to have its collection emptied once more. The journal that knows the request was the old object's.
const CAME_WITH_OBJECT: &str =
    "the annotation came with the object when that was created, so it may be an older request";

impl Planner<'_> {
    /// The request that is still to be dealt with; the error says what is wrong with the annotation.
    pub(super) fn clear_request(&self) -> Result<Option<ClearRequest>, String> {
        let Some(text) = self.spec.clear.as_deref() else { return Ok(None) };
        let request = ClearRequest::parse(text)?;
        let in_journal = self.last_journal().is_some_and(|journal| journal.has_cleared(&request.request));
        // One that came with the object is in the status at once, and in the journal when it is refused.
        let in_status = || self.before.last_handled.as_ref()?.clear.as_deref();
        let in_status = !self.spec.clear_came_with_object && in_status() == Some(&request.request);
        Ok((!in_journal && !in_status).then_some(request))
    }

    /// What is done about `elysia.dev/clear` now; `None` when there is nothing to do.
    pub(super) fn clearing(&mut self, class: &Value) -> Option<Part> {
        // A word that cannot be read asks for nothing; what is wrong with it is said beside what else there is to say.
        let request = self.clear_request().ok().flatten()?;
        if self.spec.paused {
            return None;
        }
        // A repair that takes replicas away is ended first; without its journal nobody knows whether there is one.
        let repair = self.observed.repair.journal.seen();
        if repair.is_none_or(|journal| journal.as_ref().is_some_and(|journal| !journal.over)) {
            return None;
        }
        let what = format!("elysia.dev/clear asks for {} to be emptied", self.spec.collection);
        if self.spec.clear_came_with_object {
            return Some(self.refuse(class, &request, CAME_WITH_OBJECT));
        }
        if let Some(why) = protected_from_clear(self.spec, self.observed.protection.as_deref()) {
            return Some(self.refuse(class, &request, &why));
        }
        if self.observed.nodes.is_empty() {
            let why = "the WeaviateCluster names no node addresses (spec.external.nodes), so the objects cannot be counted at each replica";
            return Some(self.refuse(class, &request, why));
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Some(Part::Working(Reason::Clearing, format!("{what}; {wait}")));
        }
        let unseen = match &self.observed.placement {
            Sight::Seen(_) if has_active_copies(self.observed) => Some("waiting for copies to end".to_owned()),
            Sight::Seen(_) => None,
            Sight::Unseen(blindness) => Some(blindness.message.clone()),
        };
        if let Some(wait) = unseen {
            self.recheck = Some(RECHECK_LATER);
            return Some(Part::Working(Reason::Clearing, format!("{what}; {wait}")));
        }
        let placement = self.observed.placement.seen();
        let hash = fingerprint::short(&("Clear", &self.spec.uid, &request.request, request.count, class, placement));
        match self.journal(&hash, Purpose::Clear(request.clone()), class, recreate::creatable(class)) {
            Ok(journal) => {
                let journal = handled(journal, &request);
                let steps = clear_steps(self.spec, self.observed, &journal, &request);
                self.shown = Some(shown_plan(&hash, journal.purpose.action(), true, steps, false));
                self.recheck = Some(RECHECK);
                self.steps.push(Step::WriteJournal(Box::new(journal)));
                Some(Part::Working(Reason::Clearing, format!("{what}; the journal is written first")))
            }
            Err(Hindrance::ForGood(why)) => Some(self.refuse(class, &request, &why)),
            Err(Hindrance::ForNow(why)) => {
                self.recheck = Some(RECHECK_LATER);
                Some(Part::Working(Reason::Clearing, format!("{what}; {why}")))
            }
        }
    }

    /// Writes down that the request was dealt with, by refusing it: a reason that goes away one day must not set off a
    /// deletion that nobody thinks of any more.
    fn refuse(&mut self, class: &Value, request: &ClearRequest, why: &str) -> Part {
        // The journal of the last plan stays what it is: the old schema is in it.
        let journal = self.last_journal().cloned().unwrap_or_else(|| Journal {
            hash: fingerprint::short(&("Clear", &self.spec.uid, &request.request, request.count)),
            approved_by: None,
            attempts: 0,
            purpose: Purpose::Clear(request.clone()),
            target: self.observed.target.clone(),
            collection: self.spec.collection.clone(),
            live_schema: class.clone(),
            wanted_schema: recreate::creatable(class),
            placement: Vec::new(),
            tenants: None,
            aliases: Vec::new(),
            read_only_before: Vec::new(),
            frozen_since: None,
            cursor: Cursor::Stopped,
            since: self.now,
            stopped: None,
            cleared: Vec::new(),
            clear_refused: None,
        });
        let refusal = ClearRefusal { request: request.request.clone(), why: why.to_owned() };
        let journal = Journal { clear_refused: Some(refusal), ..journal };
        self.steps.push(Step::WriteJournal(Box::new(handled(journal, request))));
        self.recheck = Some(RECHECK);
        Part::Stuck(Reason::ClearRefused, refused(request, why))
    }

    /// What has to be said of `elysia.dev/clear` beside the state of the schema, if anything.
    pub(super) fn clear_word(&self) -> Option<Part> {
        let text = self.spec.clear.as_deref()?;
        let request = match ClearRequest::parse(text) {
            Ok(request) => request,
            Err(why) => return Some(Part::Stuck(Reason::ClearRefused, why)),
        };
        let journal = self.last_journal()?;
        let refusal = journal.clear_refused.as_ref().map(|refusal| (&refusal.request, &refusal.why));
        let stopped = match (&journal.purpose, &journal.stopped) {
            (Purpose::Clear(last), Some(why)) => Some((&last.request, why)),
            _ => None,
        };
        let (_, why) = [refusal, stopped].into_iter().flatten().find(|(last, _)| **last == request.request)?;
        Some(Part::Stuck(Reason::ClearRefused, refused(&request, why)))
    }
}

/// Why a protected collection is not emptied. `protection`: the pattern that protects it.
pub(super) fn protected_from_clear(spec: &CollectionSpec, protection: Option<&str>) -> Option<String> {
    let pattern = protection.filter(|_| !spec.override_protection)?;
    Some(format!(
        "{pattern} protects the collection; whoever may override that sets elysia.dev/override-protection=true"
    ))
}

fn refused(request: &ClearRequest, why: &str) -> String {
    format!(
        "elysia.dev/clear {}/{} was not carried out and nothing was deleted: {why}. Remove the annotation, or ask again with another word after the slash: kubectl elysia col clear",
        request.count, request.request
    )
}

fn handled(mut journal: Journal, request: &ClearRequest) -> Journal {
    journal.cleared.push(request.request.clone());
    let surplus = journal.cleared.len().saturating_sub(CLEARED_KEPT);
    journal.cleared.drain(..surplus);
    journal
}
