//! Aliases that a restore makes at real calls of a fake Weaviate. A collection without objects needs no gRPC.

use elysia_api::restore::{LeftAlias, RestoredAliases};
use elysia_core::restore::ledger::Stage;
use elysia_testkit::weaviate::FakeWeaviate;
use serde_json::json;

use super::tests::{Bench, at, restore_job, write};
use super::work::RestoreJob;

const RUN: &str = "20260501T030000Z-aaaa";

/// A run with `Aliased`, to which two aliases led.
async fn bench(weaviate: &FakeWeaviate) -> Bench {
    let bench = Bench { ways: at(&weaviate.address("w-0")), ..Bench::new() };
    write(&bench.store, RUN, &[("Aliased", 0)]).await;
    bench
}

fn job(into: &str, aliases: Option<bool>) -> RestoreJob {
    restore_job(|job| {
        job["restore"]["collection"] = json!("Aliased");
        job["restore"]["into"] = json!(into);
        job["chosen"] = json!({"aliases": aliases});
    })
}

fn writes(weaviate: &FakeWeaviate) -> Vec<String> {
    weaviate.transcript().into_iter().filter(|line| !line.contains("GET")).collect()
}

#[tokio::test]
async fn aliases_are_made_once_and_one_that_leads_elsewhere_stays() {
    let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
    weaviate.seed_class(&json!({"class": "Newer"}));
    weaviate.seed_alias("Live", "Newer");
    let bench = bench(&weaviate).await;
    let ledger = bench.restore(&job("Aliased", None)).await.unwrap();
    let left = LeftAlias { name: "Live".to_owned(), why: "it leads to Newer, and stays so".to_owned() };
    let wanted = RestoredAliases { leading: 1, pending: 0, left: 1, reasons: vec![left] };
    assert_eq!((ledger.stage, ledger.aliases.as_ref()), (Stage::Done, Some(&wanted)));
    assert_eq!(weaviate.alias("Live").as_deref(), Some("Newer"));
    assert_eq!(weaviate.alias("Papers").as_deref(), Some("Aliased"));
    let made = writes(&weaviate).into_iter().filter(|line| line.contains("aliases")).count();
    assert_eq!(made, 1);
    // A lost ledger: the receipt tells the same, and nothing is made.
    let before = writes(&weaviate);
    bench.board.0.lock().unwrap().clear();
    let again = bench.restore(&job("Aliased", None)).await.unwrap();
    assert_eq!((again.aliases, writes(&weaviate)), (Some(wanted), before));
}

#[tokio::test]
async fn under_another_name_they_are_made_when_asked() {
    for (asked, leads_to) in [(None, None), (Some(true), Some("Back"))] {
        let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
        let bench = bench(&weaviate).await;
        let ledger = bench.restore(&job("Back", asked)).await.unwrap();
        assert_eq!(weaviate.alias("Live").as_deref(), leads_to);
        let aliases = ledger.aliases.unwrap();
        assert_eq!((aliases.leading, aliases.left), if asked.is_some() { (2, 0) } else { (0, 2) });
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_and_nothing_is_begun() {
    type Seed = fn(&FakeWeaviate);
    let cases: [(Seed, &str); 3] = [
        (|weaviate| weaviate.seed_class(&json!({"class": "Papers"})), "alias Papers cannot be made"),
        (|weaviate| weaviate.seed_alias("Aliased", "Gone"), "Aliased is an alias, which leads to Gone"),
        (
            |weaviate| {
                weaviate.seed_class(&json!({"class": "Newer"}));
                weaviate.seed_alias("Aliased", "Newer");
            },
            "Aliased is an alias, which leads to Newer",
        ),
    ];
    for (seed, words) in cases {
        let weaviate = FakeWeaviate::start(&["w-0"]).await.unwrap();
        seed(&weaviate);
        let bench = bench(&weaviate).await;
        let failed = bench.restore(&job("Aliased", None)).await.unwrap_err();
        assert!(failed.contains(words), "{failed}");
        assert_eq!(writes(&weaviate), Vec::<String>::new(), "{words}");
        assert!(!bench.store.files().keys().any(|key| key.starts_with("restores/")), "{words}");
    }
}
