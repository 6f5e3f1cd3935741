//! The run that another one is to build on: what is found of it later cannot be mended by what is built on it, so nothing is
//! built on a run that is known to be damaged, as no policy's runs are.

use elysia_core::backup::ledger::DrillNote;
use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::manifest::Manifest;

use super::place::{StoreArgs, find};
use super::stopped;
use crate::cli::client::chain;
use crate::cli::session::Stop;
use crate::worker::backup::store::AnyStore;
use crate::worker::backup::{Failure, drilled};
use crate::worker::jobs::judged;

/// The run of this id, or the newest where `latest` is said, if it can be built on.
pub(super) async fn base(store: &AnyStore, run: &str, place: &StoreArgs) -> Result<String, Stop> {
    let manifest = find(store, run, place).await?;
    let chain = manifest.base.iter().map(|base| base.run.as_str());
    for run in [manifest.run.as_str()].into_iter().chain(chain) {
        let wrong = wrong(store, run).await.map_err(|failure| stopped(&failure, ""))?;
        if let Some(wrong) = wrong {
            return Err(refused(&manifest, run, &wrong, place));
        }
    }
    Ok(manifest.run)
}

/// What is noted against a run. One that is not there is for whoever opens it to tell.
async fn wrong(store: &AnyStore, run: &str) -> Result<Option<String>, Failure> {
    let (seen, judged, drilled) =
        futures::join!(catalogue::look(store, run), judged::of_run(store, run), drilled::of_run(store, run));
    let unknown = |why: String| format!("cannot be judged: {why}");
    if let State::Run { doubt: Some(doubt), .. } = seen? {
        return Ok(Some(unknown(chain(&doubt))));
    }
    match judged? {
        Err(error) => return Ok(Some(unknown(chain(&error)))),
        Ok(Some(judged)) if judged.is_damaged => {
            let why = judged.suspect.first().map(|why| format!(": {why}")).unwrap_or_default();
            return Ok(Some(format!("is damaged{why}")));
        }
        Ok(_) => {}
    }
    Ok(match drilled? {
        Err(error) => Some(unknown(chain(&error))),
        Ok(note) => note.filter(DrillNote::has_failed).map(|note| {
            let why = note.message.as_deref().unwrap_or("something else was restored");
            format!("did not survive its restore drill of {}: {why}", note.at)
        }),
    })
}

fn refused(base: &Manifest, bad: &str, wrong: &str, place: &StoreArgs) -> Stop {
    let way = if base.run == bad { String::new() } else { format!(", on which run {} builds,", base.run) };
    Stop::refused(
        format!("run {bad}{way} {wrong}; nothing is built on it, and there is no run"),
        format!(
            "leave --base out for a run that stands for itself, or name another one: kubectl elysia backup ls {}",
            place.again()
        ),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use elysia_api::backup::DrillState;
    use elysia_engine::backup::layout;
    use elysia_engine::backup::manifest::Owner;
    use elysia_engine::backup::memory::{MemoryClass, MemoryCluster};
    use elysia_engine::backup::ports::{Mode, Store as _};
    use elysia_engine::backup::write::{Order, Progress, Writer};
    use elysia_engine::memory::FixedClock;
    use elysia_engine::retry::{Retry, Stop as Halt};
    use serde_json::json;

    use super::super::create::CreateArgs;
    use super::*;

    const RUNS: [&str; 3] = ["20260501T030000Z-aaaa", "20260502T030000Z-bbbb", "20260503T030000Z-cccc"];

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        store: StoreArgs,
    }

    #[derive(Parser)]
    struct Create {
        #[command(flatten)]
        args: CreateArgs,
    }

    fn owner() -> Owner {
        Owner { cluster: "http://search:8080/".to_owned(), policy: "by-hand".to_owned() }
    }

    async fn write(store: &AnyStore, run: &str, base: Option<&str>) -> Manifest {
        let cluster = MemoryCluster::new(10, 1);
        let schema = json!({"class": "A", "properties": [], "vectorIndexConfig": {}});
        cluster.set("A", MemoryClass { schema, ..MemoryClass::default() });
        let order = Order {
            base: base.map(str::to_owned),
            retry: Retry { attempts: 1, ..Retry::default() },
            ..Order::new(run.to_owned(), owner(), vec!["A".to_owned()])
        };
        let (clock, stop, progress) = (FixedClock::default(), Halt::default(), Progress::default());
        let writer = Writer { store, source: &cluster, clock: &clock, stop: &stop, progress: &progress, order: &order };
        writer.write().await.unwrap()
    }

    /// What a drill found of a run.
    async fn note_drill(store: &AnyStore, manifest: &Manifest, state: DrillState) {
        let note = DrillNote {
            order: "o".to_owned(),
            run: manifest.run.clone(),
            at: "2026-05-04T04:00:00Z".parse().unwrap(),
            state,
            objects: 3,
            overlap: None,
            distance: None,
            collections: Vec::new(),
            total_collections: 1,
            message: (state == DrillState::Failed).then(|| "A: 2 of 3 objects are there".to_owned()),
        };
        drilled::record(store, manifest, &note).await.unwrap();
    }

    async fn put(store: &AnyStore, run: &str, file: &str, text: &str) {
        let bytes = text.as_bytes().to_vec().into();
        store.put(&layout::in_run(run, file), bytes, Mode::Overwrite).await.unwrap();
    }

    /// A person names what no policy would build on.
    #[tokio::test]
    async fn nothing_is_built_on_a_run_that_is_damaged_or_failed_its_drill_nor_on_what_builds_on_one() {
        let folder = tempfile::TempDir::new().unwrap();
        let place = Line::try_parse_from(["create", "--store", folder.path().to_str().unwrap()]).unwrap().store;
        let store = place.open().unwrap();
        let said = async |run: &str| match base(&store, run, &place).await {
            Ok(run) => run,
            Err(Stop::Said { exit, message, next }) => {
                assert_eq!(exit, crate::cli::Exit::Fault, "{message}");
                assert!(next.starts_with("leave --base out") && next.contains("backup ls --store"), "{next}");
                message
            }
            Err(Stop::Output(error)) => panic!("{error}"),
        };
        let first = write(&store, RUNS[0], None).await;
        let second = write(&store, RUNS[1], Some(RUNS[0])).await;
        // Nothing is known of them, or only good.
        assert_eq!((said("latest").await, said(RUNS[0]).await), (RUNS[1].to_owned(), RUNS[0].to_owned()));
        note_drill(&store, &second, DrillState::Passed).await;
        assert_eq!(said("latest").await, RUNS[1]);

        note_drill(&store, &first, DrillState::Failed).await;
        let why = "did not survive its restore drill of 2026-05-04T04:00:00Z: A: 2 of 3 objects are there";
        let end = "nothing is built on it, and there is no run";
        assert_eq!(said(RUNS[0]).await, format!("run {} {why}; {end}", RUNS[0]));
        // As no policy does either, also where the newer one survived its own.
        assert_eq!(said("latest").await, format!("run {}, on which run {} builds, {why}; {end}", RUNS[0], RUNS[1]));
        // So the command does before it asks a server.
        let folder = folder.path().to_str().unwrap();
        let command = |base: &str| Create::try_parse_from(["create", "--store", folder, "--base", base]).unwrap().args;
        assert!(command(RUNS[1]).choice(&store).await.is_err());
        // A run of its own is the way out.
        write(&store, RUNS[2], None).await;
        assert_eq!(said("latest").await, RUNS[2]);
        assert_eq!(command("latest").choice(&store).await.ok().unwrap().base.as_deref(), Some(RUNS[2]));
        note_drill(&store, &first, DrillState::Passed).await;
        assert_eq!(said(RUNS[1]).await, RUNS[1], "its last drill counts");

        judged::found_damaged(&store, RUNS[0], &owner(), vec!["part 3 is gone".to_owned()], second.finished_at)
            .await
            .unwrap();
        let damaged = format!("run {}, on which run {} builds, is damaged: part 3 is gone; {end}", RUNS[0], RUNS[1]);
        assert_eq!(said(RUNS[1]).await, damaged);
        // What is noted and cannot be read may say as much.
        for file in ["judged.json", layout::DRILLED, layout::VERIFIED] {
            put(&store, RUNS[2], file, "{").await;
            let message = said(RUNS[2]).await;
            assert!(message.starts_with(&format!("run {} cannot be judged: ", RUNS[2])), "{file}: {message}");
            store.remove(&[layout::in_run(RUNS[2], file)]).await.unwrap();
        }
        // One that shrank is what it was to be: whoever names it means it.
        let shrank = json!({"format": first.format, "version": first.version, "at": "2026-05-04T00:00:00Z", "suspect": ["it shrank"]});
        put(&store, RUNS[2], "judged.json", &shrank.to_string()).await;
        assert_eq!(said(RUNS[2]).await, RUNS[2]);
    }
}
