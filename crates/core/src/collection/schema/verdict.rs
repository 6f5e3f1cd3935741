//! What follows from a difference.

use elysia_api::collection::{DriftAction, DriftRule, Verdict};
use serde_json::{Map, Value};

use super::Measure;
use super::compare::Gap;
use super::mutability::{self, Mutability, QUANTISERS};
use super::revert::ONE_AT_A_TIME;

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

/// Whether the declaration contradicts itself: two quantisers, or two modules of a kind of which a class has one. Each
/// round would put one of them in place of the other.
pub(super) fn excludes_another(gap: &Gap, wanted: &Map<String, Value>) -> bool {
    match gap.path.as_slice() {
        [block, module, ..] if block == "moduleConfig" => {
            let Some(kind) = ONE_AT_A_TIME.iter().find(|kind| module.starts_with(**kind)) else {
                return false;
            };
            let declared = wanted.get(block).and_then(Value::as_object);
            declared.is_some_and(|all| all.keys().filter(|name| name.starts_with(*kind)).count() > 1)
        }
        [first, above @ .., quantiser, enabled] if enabled == "enabled" && QUANTISERS.contains(&quantiser.as_str()) => {
            let block = above.iter().try_fold(wanted.get(first), |block, key| Some(block?.get(key)));
            let on =
                |quantiser: &&&str| block.flatten().and_then(|block| block.get(**quantiser)?.get("enabled")?.as_bool());
            QUANTISERS.iter().filter(|quantiser| on(quantiser) == Some(true)).count() > 1
        }
        _ => false,
    }
}

/// A rule stands for its path and all below it; `*` for one name.
fn matches(rule: &DriftRule, path: &[String]) -> bool {
    let mut names = path.iter();
    rule.path.split('.').all(|part| names.next().is_some_and(|name| part == "*" || part == name))
}
