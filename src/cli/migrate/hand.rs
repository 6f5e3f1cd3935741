//! An alias that a person let lead elsewhere than the last migration did. Which class is live is said by the alias alone, so
//! the class that it leads to is, whatever the journal says.

use elysia_api::ElysiaCollection;
use elysia_core::collection::migration::{self, Journal, Live, Look, Phase};
use elysia_core::sight::Sight;

/// The class that is live, where the last migration did not let the alias lead there; by what the operator saw last.
pub(super) fn moved<'a>(object: &'a ElysiaCollection, journal: &Journal) -> Option<&'a str> {
    let live = live(object)?;
    let is_as_left = match journal.phase {
        // In the midst of the switch it is the one or the other.
        Phase::Switch | Phase::Verify => live == journal.from || live == journal.to,
        Phase::Approve
        | Phase::Create
        | Phase::Copy
        | Phase::Freeze
        | Phase::Settle
        | Phase::Final
        | Phase::Kept
        | Phase::Over
        | Phase::Thaw
        | Phase::Stopped => live == journal.live(),
    };
    (!is_as_left).then_some(live)
}

/// The class that the operator saw the alias lead to last.
pub(super) fn live(object: &ElysiaCollection) -> Option<&str> {
    object.status.as_ref()?.live.as_deref()
}

/// Lets the alias lead to a class.
pub(super) fn put(alias: &str, class: &str) -> String {
    format!("PUT /v1/aliases/{alias} with {{\"class\": \"{class}\"}}")
}

/// The class that is live by where the alias leads now, as the operator judges it; the error says why nobody knows. Journal
/// and generations of the collection count where there is no alias.
pub(super) fn judged(
    (collection, alias): (&str, &str),
    leads_to: Option<String>,
    journal: Option<Journal>,
    generations: Vec<String>,
) -> Result<String, String> {
    let look = Look {
        alias: Sight::Seen(leads_to),
        journal: Sight::Seen(journal),
        generations: Some(Sight::Seen(generations)),
        ..Look::default()
    };
    match migration::live(collection, alias, &look) {
        Live::Class(class) => Ok(class),
        Live::Unseen(_, why) | Live::Unclear(why) => Err(why),
    }
}

#[cfg(test)]
mod tests;
