//! What follows from a difference.

use elysia_api::collection::{DriftAction, DriftRule, Verdict};
use serde_json::Value;

use super::Measure;
use super::compare::Gap;
use super::mutability::{self, Mutability};

/// The verdict, and why nothing is put back; `None`: it is no difference, the server counts this itself.
pub(super) fn of(gap: &Gap, class: &Value, measure: &Measure<'_>) -> Option<(Verdict, &'static str)> {
    let mutability = mutability::of(gap, class, measure.version);
    let natural = match mutability {
        Mutability::Live => (Verdict::Revert, ""),
        Mutability::Consent => (
            Verdict::Report,
            "the server would take it, but what is stored would stay as it is; a driftPolicy of Revert puts it all the same",
        ),
        Mutability::Ignored => (Verdict::Report, "this version of Weaviate does not take it"),
        Mutability::Refused => (Verdict::Recreate, "Weaviate takes it at creation only"),
        Mutability::Counted => return None,
        Mutability::Unknown => (Verdict::Report, "this release does not know the setting"),
    };
    let Some(rule) = measure.policy.iter().find(|rule| matches(rule, &gap.path)) else {
        return Some(natural);
    };
    Some(match (rule.action, mutability) {
        (DriftAction::Adopt, _) => (Verdict::Adopt, "driftPolicy keeps the live value"),
        (DriftAction::Report, _) => (Verdict::Report, "driftPolicy keeps the live value"),
        (DriftAction::Revert, Mutability::Consent) => (Verdict::Revert, ""),
        (DriftAction::Revert, Mutability::Refused) => {
            (Verdict::Recreate, "driftPolicy says Revert, but Weaviate takes it at creation only")
        }
        // What the server does not take would be put again and again.
        (DriftAction::Revert, _) => natural,
    })
}

/// A rule stands for its path and all below it; `*` for one name.
fn matches(rule: &DriftRule, path: &[String]) -> bool {
    let mut names = path.iter();
    rule.path.split('.').all(|part| names.next().is_some_and(|name| part == "*" || part == name))
}
