//! The ledger of a feed: it knows more rejected lines than a status may hold.

use elysia_api::IndexSource;
use elysia_api::index_source::DeadLetter;
use elysia_api::names;
use elysia_engine::ledger::{Ledger, Replayed};
use elysia_engine::rejects::Reject;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ResourceExt as _;

use super::super::client::Question;
use super::super::session::{Session, Stop};
use crate::worker::LEDGER_KEY;

/// The ledger, if a worker wrote one; of several partitions what theirs say together.
pub(super) async fn of(session: &Session, feed: &IndexSource) -> Result<Option<Ledger>, Stop> {
    let name = feed.name_any();
    let partitions = u32::try_from(feed.spec.partitions.unwrap_or(1)).unwrap_or(1);
    if partitions <= 1 {
        return read(session, &names::ledger(&name)).await;
    }
    let mut joined = None;
    for index in 0..partitions {
        let Some(ledger) = read(session, &names::partition_ledger(&name, index)).await? else { continue };
        joined = Some(match joined {
            None => ledger,
            Some(joined) => join(joined, ledger),
        });
    }
    Ok(joined)
}

async fn read(session: &Session, name: &str) -> Result<Option<Ledger>, Stop> {
    let question = Question::named::<ConfigMap>("get", Some(&session.namespace), name);
    let found = session.reader.ask(&question, session.api::<ConfigMap>().get_opt(name)).await?;
    let text = found.and_then(|config| config.data?.remove(LEDGER_KEY)).filter(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let next = format!("kubectl get configmap {name} -n {} -o yaml", session.namespace);
        Stop::unknown(format!("ConfigMap {name} holds no ledger that this release knows: {error}"), next)
    })
}

/// What two partitions say of rejected lines: every one belongs to one of them. A request was dealt with when both did.
fn join(mut joined: Ledger, other: Ledger) -> Ledger {
    joined.counts.add(&other.counts);
    joined.errors.add(&other.errors);
    joined.dead_letters.extend(other.dead_letters);
    joined.rejects.seen += other.rejects.seen;
    joined.rejects.lines.extend(other.rejects.lines);
    let place = |reject: &Reject| (reject.letter.file.clone(), reject.letter.line);
    joined.rejects.lines.sort_by_key(place);
    joined.replayed = match (joined.replayed, other.replayed) {
        (Some(one), Some(other)) if one.word == other.word => Some(Replayed {
            indexed: one.indexed + other.indexed,
            rejected: one.rejected + other.rejected,
            superseded: one.superseded + other.superseded,
            unreadable: one.unreadable + other.unreadable,
            missing: one.missing + other.missing,
            word: one.word,
        }),
        _ => None,
    };
    joined
}

/// A rejected line as a status has it.
pub(super) fn dead_letter(letter: &elysia_engine::rejection::DeadLetter) -> DeadLetter {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let elysia_engine::rejection::DeadLetter { file, line, offset, length, category, reason } = letter;
    DeadLetter {
        file: file.clone(),
        line: number(*line),
        offset: number(*offset),
        length: number(*length),
        category: category.as_str().to_owned(),
        reason: reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use elysia_engine::category::Category;
    use elysia_engine::rejection::DeadLetter;
    use jiff::Timestamp;

    use super::*;

    fn ledger(lines: &[u64], word: Option<&str>) -> Ledger {
        let mut ledger = Ledger::begin("run", "Articles", Timestamp::UNIX_EPOCH);
        for (number, line) in (1..).zip(lines) {
            let letter = DeadLetter {
                file: "a".to_owned(),
                line: *line,
                offset: 0,
                length: 1,
                category: Category::Validation,
                reason: "no".to_owned(),
            };
            ledger.rejects.lines.push(Reject { number, letter, documents: vec![], is_superseded: false });
        }
        ledger.counts.rejected = lines.len() as u64;
        ledger.replayed = word.map(|word| Replayed { word: word.to_owned(), indexed: 2, ..Replayed::default() });
        ledger
    }

    #[test]
    fn partitions_speak_together_of_what_was_rejected() {
        let joined = join(ledger(&[2, 9], Some("now")), ledger(&[3], Some("now")));
        let lines = joined.rejects.lines.iter().map(|reject| reject.letter.line).collect::<Vec<_>>();
        assert_eq!((joined.counts.rejected, lines), (3, vec![2, 3, 9]));
        assert_eq!(joined.replayed.unwrap().indexed, 4);
        assert_eq!(
            join(ledger(&[], Some("now")), ledger(&[], Some("before"))).replayed,
            None,
            "one has to do it still"
        );
        assert_eq!(join(ledger(&[], Some("now")), ledger(&[], None)).replayed, None);
    }
}
