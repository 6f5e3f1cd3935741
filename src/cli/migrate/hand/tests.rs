//! What is said, and what is declared, where a person let the alias lead elsewhere.

use clap::Parser as _;
use elysia_core::collection::migration::Tenants;
use elysia_testkit::kubernetes::KubernetesApi;
use insta::assert_snapshot;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ResourceExt as _;
use serde_json::{Value, json};

use super::super::change::{self, Way, live_words, off_words, way};
use super::super::look::Standing;
use super::super::tests::{at, bare, declared, journal_in, listed, object};
use super::super::versions::{self, Refusal};
use super::super::{Reader, RollbackArgs, names};
use super::*;
use crate::cli::client::REQUEST_TIMEOUT;
use crate::cli::session::Session;

/// The third class is one that somebody made.
const CLASSES: [&str; 3] = ["Articles", "Articles_2", "Articles_7"];

#[test]
fn what_the_last_migration_did_not_do_was_done_by_hand() {
    let [from, to, other] = CLASSES;
    for (phase, by_hand) in [
        (Phase::Approve, vec![to, other]),
        (Phase::Copy, vec![to, other]),
        (Phase::Final, vec![to, other]),
        (Phase::Switch, vec![other]),
        (Phase::Verify, vec![other]),
        (Phase::Kept, vec![from, other]),
        (Phase::Over, vec![from, other]),
        (Phase::Thaw, vec![to, other]),
        (Phase::Stopped, vec![to, other]),
    ] {
        for live in CLASSES {
            let object = object(declared(), &json!({"live": live}));
            assert_eq!(moved(&object, &journal_in(phase)), by_hand.contains(&live).then_some(live), "{phase:?} {live}");
        }
        assert_eq!(moved(&object(declared(), &json!({})), &journal_in(phase)), None, "what is not known is not said");
    }
}

fn found(journal: &Journal, live: &str) -> Way {
    let object = object(declared(), &json!({"live": live}));
    way(Some(journal), Some(live), moved(&object, journal))
}

fn nothing(journal: &Journal, live: &str) -> String {
    match found(journal, live) {
        Way::Nothing(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_can_be_gone_back_to_from_a_class_to_which_a_person_let_the_alias_lead() {
    let [from, to, other] = CLASSES;
    let settings = || (json!({"vectorizer": "none"}).as_object().unwrap().clone(), Some("1".to_owned()));
    let kept = journal_in(Phase::Kept);
    let (schema, version) = settings();
    assert_eq!(found(&kept, from), Way::DeclareLive(schema, version));
    let transformed =
        Journal { transform: serde_json::from_value(json!([{"drop": {"property": "body"}}])).unwrap(), ..kept.clone() };
    assert!(matches!(found(&transformed, from), Way::DeclareLive(..)), "it needs no copy back");
    let tenanted = Journal { tenants: Some(Tenants::default()), ..kept.clone() };
    let (schema, version) = settings();
    assert_eq!(found(&tenanted, other), Way::DeclareFormer(schema, version), "a further class is made in any case");
    assert!(matches!(found(&tenanted, from), Way::DeclareLive(..)));
    for phase in [Phase::Approve, Phase::Copy, Phase::Freeze, Phase::Switch] {
        assert_eq!(found(&journal_in(phase), other), Way::CallOff, "{phase:?}");
    }
    assert_snapshot!(nothing(&kept, other), @r#"alias Live was let lead to Articles_7 by hand, which is neither Articles nor Articles_2: from there nothing is copied back into Articles. To have Articles live as it was at the switch, without anything that was written since: PUT /v1/aliases/Live with {"class": "Articles"}. To go back to it with what was written to Articles_2, let the alias lead to Articles_2 first: PUT /v1/aliases/Live with {"class": "Articles_2"}"#);
    assert!(
        nothing(&kept, other).starts_with(&nothing(&transformed, other)),
        "nothing is copied back from there either"
    );
    assert!(!nothing(&transformed, other).contains("To go back to it"));
    assert_snapshot!(nothing(&journal_in(Phase::Over), other), @"alias Live was let lead to Articles_7 by hand, and Articles is gone, so there is nothing to go back to; declare its settings (migrate status -o json has them) to migrate Articles_7 to them");
    assert_snapshot!(nothing(&journal_in(Phase::Verify), other), @r#"alias Live was let lead to Articles_7 by hand right after it was switched, and the migration waits until it leads to Articles_2: PUT /v1/aliases/Live with {"class": "Articles_2"}"#);
    assert_snapshot!(nothing(&journal_in(Phase::Verify), from), @r#"the alias was just switched; ask again in a moment. Where migrate status goes on to show Articles as live, somebody let it lead back: the migration ends a minute after its switch, and the same command declares the settings of Articles then. To have Articles_2 live: PUT /v1/aliases/Live with {"class": "Articles_2"}"#);
    assert_snapshot!(nothing(&journal_in(Phase::Stopped), to), @r#"it was stopped, and alias Live was let lead to Articles_2 by hand: it is live, and may lack what Articles has. To have Articles live again, without anything that was written to Articles_2 since: PUT /v1/aliases/Live with {"class": "Articles"}"#);
    assert_snapshot!(nothing(&journal_in(Phase::Thaw), other), @"it was stopped already; alias Live was let lead to Articles_7 by hand, which is live");
    assert_snapshot!(nothing(&journal_in(Phase::Stopped), from), @"it was stopped already; Articles is live");
}

#[test]
fn what_a_rollback_means_says_which_class_is_live() {
    assert_snapshot!(live_words(&journal_in(Phase::Kept)), @"alias Live was let lead to Articles by hand, so Articles is live already. Its settings from before the migration are declared again: nothing is copied and nothing is switched, and it is not migrated once more. What was written to Articles_2 is not in Articles; Articles_2 stays until you delete it");
    assert_snapshot!(off_words(&journal_in(Phase::Copy), None), @"the switch 3f9ac21b0d11 is called off; the collection stays as it is. The copy goes on until the spec asks for the live settings again");
    assert_snapshot!(off_words(&journal_in(Phase::Copy), Some("Articles_7")), @"alias Live was let lead to Articles_7 by hand: the operator ends the migration of Articles by itself, and Articles_7 stays live. Its plan 3f9ac21b0d11 is called off all the same");
}

#[test]
fn where_it_stands_after_the_alias_was_moved() {
    let of = |phase: Phase, live: &str| {
        let status = json!({
            "live": live,
            "migration": {"from": "Articles", "to": "Articles_2", "phase": phase, "rollbackUntil": "2026-12-03T00:00:00Z"},
            "conditions": [{"type": "Stalled", "status": "True", "reason": "MigrationBlocked", "message": "because",
                            "lastTransitionTime": "2026-11-30T00:00:00Z"}],
        });
        let standing = Standing::of(&object(declared(), &status), Some(journal_in(phase))).unwrap();
        bare(&standing.render())
    };
    assert_snapshot!(of(Phase::Kept, "Articles_2"), @r"
    migration of articles
    alias      Live → Articles_2
    declared   version 2
    migration  Articles → Articles_2
    phase      Kept: the new class is live, the old one is kept for going back
    kept       Articles until 2026-12-03T00:00:00Z
    blocked    because
    before     Articles → Articles_2, stopped: they differ
    ");
    assert_snapshot!(of(Phase::Kept, "Articles"), @r"
    migration of articles
    alias      Live → Articles
    by hand    the last migration did not let the alias lead there: Articles is live all the same
    declared   version 2
    migration  Articles → Articles_2
    phase      Kept: it is over; no class of it is deleted or gone back to by itself
    blocked    because
    before     Articles → Articles_2, stopped: they differ
    ");
    for (phase, words) in [
        (Phase::Copy, "Copy: the operator ends it, since another class is live"),
        (Phase::Stopped, "Stopped: it was stopped\n"),
        (Phase::Over, "Over: it is over, and the old class is gone"),
    ] {
        let text = of(phase, "Articles_7");
        assert!(text.contains(words) && text.contains("Articles_7 is live all the same"), "{text}");
        assert!(!text.contains("the old class is live") && !text.contains("the new class is live"), "{text}");
    }
}

/// A collection with this status whose last migration is kept.
fn seeded(mut articles: ElysiaCollection, live: &str) -> KubernetesApi {
    let api = KubernetesApi::new();
    articles.status = serde_json::from_value(json!({"live": live})).unwrap();
    api.seed(&articles);
    let uid = api.object::<ElysiaCollection>("search", "articles").unwrap().uid().unwrap();
    let transform = serde_json::from_value(json!([{"drop": {"property": "body"}}])).unwrap();
    let journal = Journal { transform, ..journal_in(Phase::Kept) };
    let config = json!({
        "metadata": {"name": names::migration_journal("articles", &uid), "namespace": "search"},
        "data": {"journal.json": serde_json::to_string(&journal).unwrap()},
    });
    api.seed::<ConfigMap>(&serde_json::from_value(config).unwrap());
    api
}

#[derive(clap::Parser)]
struct Rollback {
    #[command(flatten)]
    args: RollbackArgs,
}

async fn rolls_back(api: &KubernetesApi) -> Result<Value, String> {
    let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
    let session = Session::answering(reader, "search", None);
    let parsed = Rollback::try_parse_from(["rollback", "articles", "--yes"]).unwrap();
    match change::rollback(&parsed.args, &session).await {
        Ok(_) => Ok(serde_json::to_value(api.object::<ElysiaCollection>("search", "articles").unwrap().spec).unwrap()),
        Err(crate::cli::session::Stop::Said { message, .. }) => Err(message),
        Err(crate::cli::session::Stop::Output(error)) => panic!("{error}"),
    }
}

/// While the spec asks for what was migrated to, the class to which a person let the alias lead back is migrated once more.
#[tokio::test]
async fn a_rollback_declares_what_the_live_class_has_and_no_transformation_on_the_way_to_it() {
    let migration = json!({"alias": "Live", "schemaVersion": "2", "transform": [{"drop": {"property": "body"}}]});
    let after = rolls_back(&seeded(object(Some(migration.clone()), &json!({})), "Articles")).await.unwrap();
    assert_eq!(after["schema"], json!({"vectorizer": "none"}));
    assert_eq!((&after["migration"]["schemaVersion"], after["migration"].get("transform")), (&json!("1"), None));
    // As the migration left it, to go back would take from the kept class what only that one has.
    let after = rolls_back(&seeded(object(Some(migration), &json!({})), "Articles_2")).await.unwrap();
    assert_eq!(
        (&after["schema"]["vectorizer"], &after["migration"]["schemaVersion"]),
        (&json!("text2vec-openai"), &json!("2"))
    );
    let error = rolls_back(&seeded(object(None, &json!({})), "Articles")).await.unwrap_err();
    assert!(error.contains("declares no spec.migration"), "{error}");
}

#[test]
fn the_live_class_is_not_called_one_that_is_kept_or_has_to_go() {
    let kept = |former: &str| Journal { former_version: Some(former.to_owned()), ..journal_in(Phase::Kept) };
    let of = |version: &str, live: &str| {
        let mut object = listed("3", &at(version));
        object.status.as_mut().unwrap().live = Some(live.to_owned());
        object
    };
    // The alias was let lead back from version 3 to 2.
    let (patch, words) = versions::back(&of("2", "Articles"), Some(&kept("2")), 1).unwrap();
    assert_eq!(patch[1]["value"], "1");
    assert!(!words.contains("has to go first") && !words.contains("is kept of another version"), "{words}");
    let stay = "Alias Live was let lead back to Articles by hand, which has version 2: to stay there, kubectl elysia migrate up articles --to 2 instead.";
    assert!(words.contains(stay), "{words}");
    let (_, words) = versions::back(&of("3", "Articles_2"), Some(&kept("1")), 1).unwrap();
    assert!(words.contains("Articles, which is kept of another version, has to go first"), "{words}");
    // From a class that is no part of the migration its kept class is not gone back to.
    let Err(Refusal::No(why, next)) = versions::back(&of("3", "Articles_7"), Some(&kept("2")), 1) else {
        panic!("it is gone back to a class that would lose objects")
    };
    assert!(why.contains("neither Articles nor Articles_2") && next.contains("PUT /v1/aliases/Live"), "{why} {next}");
    let running = Journal { schema_version: Some("2".to_owned()), ..journal_in(Phase::Copy) };
    let standing = Standing::of(&of("3", "Articles_7"), Some(running)).unwrap();
    assert!(!bare(&standing.render()).contains("running"), "it is ended");
}

#[test]
fn what_is_validated_is_the_class_that_is_live() {
    let of = |leads_to: Option<&str>, journal: Option<Phase>, generations: &[&str]| {
        let generations = generations.iter().map(|&name| name.to_owned()).collect();
        judged(("Articles", "Live"), leads_to.map(str::to_owned), journal.map(journal_in), generations)
    };
    let class = |name: &str| Ok(name.to_owned());
    assert_eq!(of(Some("Articles_7"), None, &[]), class("Articles_7"));
    assert!(
        of(Some("Books"), None, &[]).unwrap_err().contains("alias Live leads to Books, which is no class of Articles")
    );
    // The alias is gone.
    assert_eq!(of(None, Some(Phase::Kept), &CLASSES), class("Articles_2"));
    assert_eq!(of(None, Some(Phase::Copy), &CLASSES), class("Articles"));
    assert_eq!(of(None, None, &["Articles"]), class("Articles"));
    assert!(of(None, None, &CLASSES).unwrap_err().contains("which one is live is not known"));
}
