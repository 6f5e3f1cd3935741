//! Is the operator at work? Its Lease says so.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use serde::Serialize;

use elysia_api::names::LEASE_NAME;

use super::{Sighted, UNREADABLE, Verdict};

/// Age at which a Lease no longer shows that the operator works.
///
/// A leader renews every few seconds and a successor takes over within half a minute; whoever is silent for a whole
/// minute is not merely busy.
pub const LEASE_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// How the operator itself stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorReport {
    /// Healthy or unknown: a silent operator may only be out of reach.
    pub verdict: Verdict,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Who leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// When the leader last said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Timestamp>,
    /// Seconds since then; negative when the clocks differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_seconds_ago: Option<i64>,
    /// One word for why.
    pub reason: String,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The next command to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Judges the operator by its Lease.
pub fn of_operator(lease: &Sighted<Option<Lease>>, namespace: &str, now: Timestamp) -> OperatorReport {
    let spec = match lease {
        Sighted::Unreadable(why) => {
            return unknown(
                namespace,
                UNREADABLE,
                format!("its Lease could not be read: {}", why.message),
                why.next.clone(),
            );
        }
        Sighted::Seen(None) => {
            let message =
                format!("there is no Lease {LEASE_NAME:?} in namespace {namespace:?}: is it installed there?");
            return unknown(namespace, "LeaseMissing", message, "kubectl get deployments -A".to_owned());
        }
        Sighted::Seen(Some(lease)) => lease.spec.clone().unwrap_or_default(),
    };
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let renewed_at = spec.renew_time.map(|time| time.0);
    let age = renewed_at.map(|at| now.duration_since(at));
    let (verdict, reason, message) = match (&holder, age) {
        (None, _) => (Verdict::Unknown, "NobodyLeads", "its Lease has no holder".to_owned()),
        (Some(_), None) => (Verdict::Unknown, "NeverRenewed", "its Lease was never renewed".to_owned()),
        (Some(_), Some(age)) if age > LEASE_PATIENCE => {
            let message = format!("its Lease is older than {} s", LEASE_PATIENCE.as_secs());
            (Verdict::Unknown, "Silent", message)
        }
        (Some(_), Some(age)) if age < -LEASE_PATIENCE => {
            let message = "its Lease is from the future: the clocks here and in the cluster differ".to_owned();
            (Verdict::Unknown, "ClocksDiffer", message)
        }
        (Some(_), Some(_)) => (Verdict::Healthy, "Leading", String::new()),
    };
    OperatorReport {
        verdict,
        namespace: namespace.to_owned(),
        holder,
        renewed_at,
        renewed_seconds_ago: age.map(|age| age.as_secs()),
        reason: reason.to_owned(),
        message,
        next: (verdict != Verdict::Healthy).then(|| format!("kubectl get deployments,pods -n {namespace}")),
    }
}

fn unknown(namespace: &str, reason: &str, message: String, next: String) -> OperatorReport {
    OperatorReport {
        verdict: Verdict::Unknown,
        namespace: namespace.to_owned(),
        holder: None,
        renewed_at: None,
        renewed_seconds_ago: None,
        reason: reason.to_owned(),
        message,
        next: Some(next),
    }
}
