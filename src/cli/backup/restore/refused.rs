//! What a person does next where something stands in the way of a restore.

use elysia_engine::backup::restore::Blocker;

use crate::cli::backup::place::StoreArgs;
use crate::cli::session::Stop;
use crate::worker::backup::work::RestoreWork;

pub(super) fn refused(blockers: &[Blocker], work: &RestoreWork, store: &StoreArgs) -> Stop {
    let all = blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let next = match blockers.first() {
        Some(Blocker::Damaged { .. }) => format!("kubectl elysia backup verify {} {}", work.run, store.again()),
        Some(Blocker::NoCollection { .. } | Blocker::LeftOut { .. }) => {
            format!("kubectl elysia backup show {} {}", work.run, store.again())
        }
        Some(Blocker::NoClass { .. }) => "leave --skip-schema out, and it is made as it was".to_owned(),
        Some(Blocker::NotEmpty { .. }) => "add --into NAME, or --conflict skip, overwrite or merge".to_owned(),
        Some(Blocker::TooFewNodes { nodes, .. }) => format!("add --factor {nodes}"),
        Some(Blocker::Unhealthy { .. }) => "kubectl elysia health".to_owned(),
        Some(Blocker::AliasTaken { .. }) => "add --aliases skip".to_owned(),
        Some(Blocker::Module { .. }) => "enable it in the servers: ENABLE_MODULES".to_owned(),
        Some(Blocker::ReadOnly { .. }) => format!("kubectl elysia col show {} --shards", work.into),
        Some(Blocker::ReferenceTarget { class, is_in_run: true, .. }) => {
            format!("kubectl elysia restore {} {class} {}", work.run, store.again())
        }
        Some(Blocker::ReferenceTarget { property, .. } | Blocker::Hashed { property }) => {
            format!("add --transform FILE with [{{\"drop\": {{\"property\": \"{property}\"}}}}]")
        }
        Some(Blocker::ReferencesBehind { .. }) => {
            "leave --conflict out, and restore into an empty collection".to_owned()
        }
        Some(Blocker::OtherReceipt { .. }) => "add --receipt NEW-ID".to_owned(),
        _ => "add --into NAME, which makes a collection as it was".to_owned(),
    };
    Stop::refused(format!("{all}; nothing was changed"), next)
}
