//! Settings: what is mutable is put back; what is not leads to a plan or to a refusal.

use elysia_api::collection::{RecreatePolicy, Verdict};
use elysia_api::condition::Reason;
use jiff::SignedDuration;
use serde_json::Value;

use super::super::schema::{self, Difference};
use super::replicas::replication;
use super::{Part, Planner, RECHECK, RECHECK_LATER, Step};
use crate::sight::Sight;

/// How many settings that are left alone a condition names; `status.drift` has them all.
const REPORTED_LIMIT: usize = 3;
/// A PUT is live at once, or after a round or two when the leader changes. What differs for longer does not come from
/// that.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

impl Planner<'_> {
    pub(super) fn schema(&mut self, class: &Value, drift: &[Difference], copying: bool) -> Part {
        let names = |verdict| {
            let paths: Vec<String> =
                drift.iter().filter(|difference| difference.verdict == verdict).map(Difference::dotted).collect();
            paths.join(", ")
        };
        if drift.iter().any(|difference| difference.verdict == Verdict::Recreate) {
            return self.immutable(class, drift, &names(Verdict::Recreate), copying);
        }
        let strategy = class.pointer("/replicationConfig/deletionStrategy").and_then(Value::as_str);
        let strategy_differs = strategy.is_some_and(|live| live != self.spec.deletion_strategy.as_str());
        if drift.iter().any(|difference| difference.verdict == Verdict::Revert) || strategy_differs {
            return self.revert(class, drift, &names(Verdict::Revert));
        }
        let reported: Vec<String> = drift
            .iter()
            .filter(|difference| difference.verdict == Verdict::Report)
            .map(|difference| format!("{} ({})", difference.dotted(), difference.because))
            .collect();
        if reported.is_empty() {
            return Part::InSync("every declared setting is live".to_owned());
        }
        let more = reported.len().saturating_sub(REPORTED_LIMIT);
        let others = if more > 0 { format!(" and {more} more; look at status.drift") } else { String::new() };
        let first = reported.into_iter().take(REPORTED_LIMIT).collect::<Vec<_>>().join(", ");
        Part::InSync(format!("every setting that can be put back is live; these differ and are left: {first}{others}"))
    }

    fn revert(&mut self, class: &Value, drift: &[Difference], names: &str) -> Part {
        let message =
            format!("put back: {}", if names.is_empty() { "replicationConfig.deletionStrategy" } else { names });
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::SchemaDrift, format!("{message}; {wait}"));
        }
        self.recheck = Some(RECHECK);
        let (added, changed): (Vec<&Difference>, Vec<&Difference>) = drift
            .iter()
            .filter(|difference| difference.verdict == Verdict::Revert)
            .partition(|difference| difference.is_new_property());
        // One kind of change a round: each PUT starts from what the server said last.
        if added.is_empty() {
            let mut settings = replication(self.spec);
            // The factor has its own step, after the copies.
            settings.remove("factor");
            let changed: Vec<Difference> = changed.into_iter().cloned().collect();
            let body = schema::reverted(class, &changed, &settings);
            self.steps.push(Step::UpdateClass { base: class.clone(), class: body });
            // A server may say yes and keep its own value, in a way that nobody measured: then it is asked at the
            // cluster's interval only.
            self.recheck = (!self.resists(drift)).then_some(RECHECK_LATER);
        } else {
            self.steps.extend(added.into_iter().map(|difference| Step::AddProperty(difference.wanted.clone())));
        }
        Part::Working(Reason::SchemaDrift, message)
    }

    /// Whether every setting that is to be put back has been so for long.
    fn resists(&self, drift: &[Difference]) -> bool {
        let mut waiting = drift.iter().filter(|difference| difference.verdict == Verdict::Revert).peekable();
        waiting.peek().is_some()
            && waiting.all(|difference| {
                let path = difference.dotted();
                let before = self.before.drift.iter().find(|entry| entry.path == path);
                before.is_some_and(|entry| {
                    entry.verdict == Verdict::Revert && self.now.duration_since(entry.since.0) >= PATIENCE
                })
            })
    }

    fn immutable(&mut self, class: &Value, drift: &[Difference], names: &str, copying: bool) -> Part {
        let overruled = drift
            .iter()
            .any(|difference| difference.verdict == Verdict::Recreate && difference.because.starts_with("driftPolicy"));
        let overruled = if overruled { ", whatever driftPolicy says" } else { "" };
        let what = format!("{names} cannot be changed on an existing collection{overruled}");
        if self.migrates() {
            return self.migrate(class, &what, copying);
        }
        if let Some(pattern) = &self.observed.protection {
            return Part::Stuck(Reason::Protected, format!("{what}, and {pattern} protects it from being recreated"));
        }
        if self.spec.recreate == RecreatePolicy::Off {
            return Part::Stuck(Reason::RecreateOff, format!("{what}; repair.recreate is Off"));
        }
        if let Sight::Unseen(blindness) = &self.observed.placement {
            return Part::Stuck(Reason::RefusedNotProvablyEmpty, format!("{what}; {}", blindness.message));
        }
        if copying {
            return Part::Working(Reason::SchemaDrift, format!("{what}; the replicas come first"));
        }
        match &self.observed.holder {
            Some(Sight::Seen(None)) => self.recreate(class, drift, &what),
            Some(Sight::Seen(Some(node))) => Part::Stuck(
                Reason::RefusedHasData,
                format!(
                    "{what}, and {node} lists objects of it: it is not recreated. Declare spec.migration with an alias that readers and writers use, and it is migrated; or take the old setting back into the spec"
                ),
            ),
            Some(Sight::Unseen(blindness)) => {
                self.recheck = Some(RECHECK_LATER);
                Part::Stuck(
                    Reason::RefusedNotProvablyEmpty,
                    format!("{what}, and that it is empty cannot be shown: {}", blindness.message),
                )
            }
            None => {
                self.recheck = Some(RECHECK);
                Part::Working(Reason::SchemaDrift, format!("{what}; whether it is empty is being looked at"))
            }
        }
    }
}
