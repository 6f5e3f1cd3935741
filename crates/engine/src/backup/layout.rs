//! Where the files of a run lie below a prefix.
//!
//! ```text
//! owner.json                                        whose prefix it is
//! runs/RUN/begun.json                               first
//! runs/RUN/data/COLLECTION/part-00-00000.parquet    or data/COLLECTION/tenant=TENANT/…
//! runs/RUN/roll/COLLECTION/roll-00-00000.bin        of a run that builds on others: what lives, and where
//! runs/RUN/gone/COLLECTION/gone-00-00000.txt        and what its base had and is no longer there
//! runs/RUN/index/COLLECTION.json
//! runs/RUN/native/ID/…                              a backup that the servers wrote themselves, instead of the parts
//! runs/RUN/native.json                              and the list of its files
//! runs/RUN/manifest.json                            last: the run exists with it
//! runs/RUN/verified.json                            once it was read back
//! runs/RUN/drilled.json                             what its last restore drill found
//! restores/ID.json                                  receipts
//! woken/RUN.json                                    the tenant that a run has woken, while it is awake
//! catalogue.json                                    what lists say of runs, and
//! catalogue/RUN/HASH                                that this is still true of one: see [`super::stamp`]
//! ```

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::manifest::DataFormat;

/// Whose prefix it is.
pub const OWNER: &str = "owner.json";
/// Below it, each run has a folder.
pub const RUNS: &str = "runs";
/// Below it, each restore has its receipt.
pub const RESTORES: &str = "restores";
/// Below it, each run that has a tenant woken says which.
pub const WOKEN: &str = "woken";
/// Below it, each run has its stamps in a folder.
pub const CATALOGUE: &str = "catalogue";
/// What lists say of runs, as their owner noted it.
pub const CATALOGUE_FILE: &str = "catalogue.json";
/// The first file of a run.
pub const BEGUN: &str = "begun.json";
/// The last.
pub const MANIFEST: &str = "manifest.json";
/// Below it, in the folder of a run, the servers write a backup of their own.
pub const NATIVE: &str = "native";
/// Beside it, the list of its files.
pub const NATIVE_FILES: &str = "native.json";
/// Beside it once the run was read back.
pub const VERIFIED: &str = "verified.json";

/// Beside it once the run was restored by a drill.
pub const DRILLED: &str = "drilled.json";

/// An id for a run that begins now; in the order of time. `chance` tells runs of one second apart.
pub fn run_id(now: Timestamp, chance: u16) -> String {
    let at = TimeZone::UTC.to_datetime(now).strftime("%Y%m%dT%H%M%SZ").to_string();
    format!("{at}-{chance:04x}")
}

/// Whether this can be a run's id: it becomes part of a key, and comes from people.
pub fn is_run_id(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    (1..=64).contains(&text.len()) && text.chars().all(plain)
}

/// The key of a file of a run.
pub fn in_run(run: &str, key: &str) -> String {
    format!("{RUNS}/{run}/{key}")
}

/// The key of a collection's index, below its run.
pub fn index(collection: &str) -> String {
    format!("index/{collection}.json")
}

/// The key of a part, below its run. Names that Weaviate allows need no escaping; a tenant's folder is written as
/// readers of partitioned data expect it.
pub fn part(collection: &str, tenant: Option<&str>, slice: usize, number: usize, data: DataFormat) -> String {
    format!("data/{}part-{slice:02}-{number:05}.{}", folder(collection, tenant), data.extension())
}

/// The key of a file of the roll, below its run.
pub fn roll(collection: &str, tenant: Option<&str>, slice: usize, number: usize) -> String {
    format!("roll/{}roll-{slice:02}-{number:05}.bin", folder(collection, tenant))
}

/// The key of a list of ids that are gone, below its run.
pub fn gone(collection: &str, tenant: Option<&str>, slice: usize, number: usize) -> String {
    format!("gone/{}gone-{slice:02}-{number:05}.txt", folder(collection, tenant))
}

fn folder(collection: &str, tenant: Option<&str>) -> String {
    tenant.map_or_else(|| format!("{collection}/"), |tenant| format!("{collection}/tenant={tenant}/"))
}

/// The folder of a backup that the servers write themselves, below its run. What they call it is part of it.
pub fn native(id: &str) -> String {
    format!("{NATIVE}/{id}")
}

/// What Weaviate calls the backup of a run: it knows small letters alone.
pub fn native_id(run: &str) -> String {
    run.to_ascii_lowercase()
}

/// The key under which a run says which tenant it has woken.
pub fn woken(run: &str) -> String {
    format!("{WOKEN}/{run}.json")
}

/// The folder of a run's stamps.
pub fn stamps(run: &str) -> String {
    format!("{CATALOGUE}/{run}")
}

/// The key of one of them.
pub fn stamp(run: &str, name: &str) -> String {
    format!("{CATALOGUE}/{run}/{name}")
}

/// The key of a receipt.
pub fn receipt(id: &str) -> String {
    format!("{RESTORES}/{id}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let now = "2026-11-29T16:15:53.9Z".parse().unwrap();
        assert_eq!(run_id(now, 0x3f), "20261129T161553Z-003f");
        assert!(is_run_id(&run_id(now, 1)));
        for text in ["", "..", "a/b", "a b", &"x".repeat(65)] {
            assert!(!is_run_id(text), "{text}");
        }
        assert_eq!(
            part("Articles", Some("acme"), 3, 12, DataFormat::JsonlGzip),
            "data/Articles/tenant=acme/part-03-00012.jsonl.gz"
        );
        assert_eq!(part("Articles", None, 0, 0, DataFormat::Parquet), "data/Articles/part-00-00000.parquet");
        assert_eq!(native(&native_id(&run_id(now, 0x3f))), "native/20261129t161553z-003f");
    }
}
