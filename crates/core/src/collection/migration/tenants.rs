//! Tenants of a collection that is migrated: what has to be known of them for its freeze, in a size that a ConfigMap takes
//! whatever their number.
//!
//! Only an active tenant can be made read-only, and one that is put to rest forgets it (1.35.2, 1.38.2). So all of them are
//! woken for the freeze, those that were at rest are noted before, and from then on none may come, go or rest: a tenant that
//! was away for a moment may have been written to.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::collection::recreate::TenantState;
use crate::collection::schema;
use crate::fingerprint;

/// Tenants that a collection may have to be migrated: each is made read-only by a command of its own, of a few milliseconds
/// (`weaviate-lab` §12), while nobody can write.
pub const MOST_TENANTS: usize = 10_000;

/// Tenants at rest that are woken for the freeze, all at the same time, and noted by name: more would be much memory of the
/// servers at once, and with their names of 64 letters at most the journal still fits into a ConfigMap.
pub const MOST_AT_REST: usize = 1_000;

/// Tenants that one act makes read-only, writable or wakes: the next look tells how far it is.
pub const AT_ONCE: usize = 500;

/// Names that a message tells.
const NAMED: usize = 3;

/// Put to rest by `activityStatus`; can be woken.
const COLD: &str = "COLD";

/// What the journal keeps of the tenants. Absent in the journal of a collection that has none.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenants {
    /// `multiTenancyConfig` of the class that is migrated from as it was before writing was kept from creating and waking
    /// tenants; absent before the freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenancy: Option<Value>,
    /// Which there are; absent until writing creates none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<Roll>,
}

/// Which tenants there are.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Roll {
    /// How many.
    pub count: usize,
    /// What tells their names from others.
    pub digest: String,
    /// Those that were at rest: woken for the freeze, put back to rest after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_rest: Vec<String>,
}

impl Tenants {
    /// Tenants that were woken for the freeze.
    pub fn at_rest(&self) -> &[String] {
        self.roll.as_ref().map_or(&[], |roll| &roll.at_rest)
    }
}

impl Roll {
    /// Calls the roll.
    pub fn of(tenants: &[TenantState]) -> Self {
        let cold = tenants.iter().filter(|tenant| tenant.status == COLD);
        Self {
            count: tenants.len(),
            digest: digest(tenants),
            at_rest: cold.map(|tenant| tenant.name.clone()).collect(),
        }
    }

    /// Whether these are the same ones, whether at rest or not.
    pub fn is_of(&self, tenants: &[TenantState]) -> bool {
        self.count == tenants.len() && self.digest == digest(tenants)
    }

    /// Why what was proved of them says nothing any more, if so: one came, went, or rests.
    pub fn broken(&self, tenants: &[TenantState]) -> Option<String> {
        if !self.is_of(tenants) {
            return Some(format!(
                "tenants were created or deleted since it was made read-only: {} then, {} now",
                self.count,
                tenants.len()
            ));
        }
        let resting = tenants.iter().find(|tenant| !tenant.is_hot())?;
        Some(format!(
            "tenant {} was put to rest ({}) since it was made read-only, which ends that",
            resting.name, resting.status
        ))
    }
}

fn digest(tenants: &[TenantState]) -> String {
    let mut names: Vec<&str> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    names.sort_unstable();
    fingerprint::of(&names)
}

/// Why a class is not migrated to these settings, if one of the two has tenants and the other has not.
pub fn changes_tenancy(class: &Value, wanted: &Value) -> Option<String> {
    match (schema::is_multi_tenant(class), schema::is_multi_tenant(wanted)) {
        (true, false) => Some(
            "it has tenants, and the declared settings have none: which tenant an object is of would be lost, and two of them may have objects of one id. Declare multiTenancyConfig.enabled: true; or make another collection and feed it"
                .to_owned(),
        ),
        (false, true) => Some(
            "it has no tenants, and the declared settings have: which tenant an object is to be of is not known. Take multiTenancyConfig.enabled out of spec.schema; or make another collection and feed it"
                .to_owned(),
        ),
        (true, true) | (false, false) => None,
    }
}

/// Why these tenants cannot be migrated, if so; a person has to change it.
pub fn obstacle(tenants: &[TenantState]) -> Option<String> {
    let offloaded: Vec<&TenantState> =
        tenants.iter().filter(|tenant| !tenant.is_hot() && tenant.status != COLD).collect();
    if !offloaded.is_empty() {
        let named = offloaded.iter().take(NAMED).map(|tenant| format!("{} ({})", tenant.name, tenant.status));
        return Some(format!(
            "{} of its {} tenants can neither be read nor made read-only: {}{}. Activate them, or delete those that are not needed",
            offloaded.len(),
            tenants.len(),
            named.collect::<Vec<_>>().join(", "),
            if offloaded.len() > NAMED { ", …" } else { "" },
        ));
    }
    if tenants.len() > MOST_TENANTS {
        return Some(format!(
            "it has {} tenants, more than the {MOST_TENANTS} that are made read-only one by one before writers have waited too long: delete those that are not needed, or copy it with kubectl elysia collection migrate",
            tenants.len()
        ));
    }
    let at_rest = tenants.iter().filter(|tenant| tenant.status == COLD).count();
    (at_rest > MOST_AT_REST).then(|| {
        format!(
            "{at_rest} of its tenants are at rest, more than the {MOST_AT_REST} that are woken at the same time to be made read-only: activate some by hand, delete those that are not needed, or copy it with kubectl elysia collection migrate"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(of: &[(&str, &str)]) -> Vec<TenantState> {
        let state =
            |(name, status): &(&str, &str)| TenantState { name: (*name).to_owned(), status: (*status).to_owned() };
        of.iter().map(state).collect()
    }

    #[test]
    fn what_can_neither_be_read_nor_frozen_is_named_and_bounds_hold() {
        assert_eq!(obstacle(&tenants(&[("a", "HOT"), ("b", "COLD")])), None);
        assert_eq!(obstacle(&[]), None);
        let some = tenants(&[("a", "HOT"), ("b", "FROZEN"), ("c", "FREEZING"), ("d", "FROZEN"), ("e", "FROZEN")]);
        assert_eq!(
            obstacle(&some).unwrap(),
            "4 of its 5 tenants can neither be read nor made read-only: b (FROZEN), c (FREEZING), d (FROZEN), …. Activate them, or delete those that are not needed"
        );
        let many = |status: &str, count: usize| {
            let one = |number: usize| TenantState { name: format!("t{number}"), status: status.to_owned() };
            (0..count).map(one).collect::<Vec<_>>()
        };
        assert_eq!(obstacle(&many("HOT", MOST_TENANTS)), None);
        assert!(obstacle(&many("HOT", MOST_TENANTS + 1)).unwrap().starts_with("it has 10001 tenants"));
        assert_eq!(obstacle(&many("COLD", MOST_AT_REST)), None);
        assert!(obstacle(&many("COLD", MOST_AT_REST + 1)).unwrap().starts_with("1001 of its tenants are at rest"));
        // Whatever their number, the journal stays small.
        let roll = serde_json::to_string(&Roll::of(&many("HOT", MOST_TENANTS))).unwrap();
        assert!(roll.len() < 200, "{roll}");
    }

    #[test]
    fn a_tenant_that_came_went_or_rests_breaks_the_roll() {
        let before = tenants(&[("a", "HOT"), ("b", "COLD")]);
        let roll = Roll::of(&before);
        assert_eq!((roll.count, roll.at_rest.as_slice()), (2, &["b".to_owned()][..]));
        let awake = tenants(&[("b", "HOT"), ("a", "HOT")]);
        assert_eq!(roll.broken(&awake), None);
        for (now, word) in [
            (tenants(&[("a", "HOT"), ("b", "HOT"), ("c", "HOT")]), "2 then, 3 now"),
            (tenants(&[("a", "HOT")]), "2 then, 1 now"),
            (tenants(&[("a", "HOT"), ("c", "HOT")]), "2 then, 2 now"),
            (tenants(&[("a", "COLD"), ("b", "HOT")]), "tenant a was put to rest"),
            (before, "tenant b was put to rest"),
        ] {
            let why = roll.broken(&now).unwrap();
            assert!(why.contains(word), "{why}");
        }
    }
}
