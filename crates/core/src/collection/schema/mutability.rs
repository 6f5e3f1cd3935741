//! What servers do with a changed setting of a class that exists, measured.
//!
//! For each row and each version a class was created, read, changed at that one place and put (or posted) to a real
//! server, and read again. `L`: taken, and live in the answer. `I`: taken with 200, and not live, or not known to that
//! version. `R`: refused with 422. `C`: taken, but it does not become true of what is stored: vectors that a different
//! model made, an index that is compressed already, objects that were indexed before; a person has to want it.

use serde_json::Value;

use super::compare::Gap;
use super::is_multi_tenant;
use crate::version::ServerVersion;

/// What a server does with a changed setting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mutability {
    /// Takes it.
    Live,
    /// Takes it, but what is stored stays as it was: only when a person asks for it.
    Consent,
    /// Says yes and does nothing, or does not know it.
    Ignored,
    /// Takes it at creation only.
    Refused,
    /// Counts it itself, whatever was declared.
    Counted,
    /// This release knows nothing of it.
    Unknown,
}

/// The versions of the columns of [`TABLE`].
pub const MEASURED: [ServerVersion; 4] = [
    ServerVersion { major: 1, minor: 31, patch: 0 },
    ServerVersion { major: 1, minor: 32, patch: 0 },
    ServerVersion { major: 1, minor: 35, patch: 2 },
    ServerVersion { major: 1, minor: 38, patch: 2 },
];

/// Setting, and what each measured version does with it. `*` stands for one name, `generative-*` for one that begins
/// so; a row also speaks of everything below it, and the first that fits counts. `@hnsw` is a vector index of that
/// type: of the class, of a named vector, or within a dynamic one.
pub const TABLE: &[(&str, &str)] = &[
    ("description", "LLLL"),
    ("invertedIndexConfig.bm25", "LLLL"),
    ("invertedIndexConfig.cleanupIntervalSeconds", "LLLL"),
    ("invertedIndexConfig.stopwords", "LLLL"),
    ("invertedIndexConfig.stopwordPresets", "IIIL"),
    ("invertedIndexConfig.tokenizerUserDict", "IILL"),
    // 1.31 and 1.32 take it; objects that are there already are not indexed by it.
    ("invertedIndexConfig.indexTimestamps", "CCRR"),
    ("invertedIndexConfig.indexNullState", "RRRR"),
    ("invertedIndexConfig.indexPropertyLength", "RRRR"),
    ("invertedIndexConfig.usingBlockMaxWAND", "IIII"),
    ("multiTenancyConfig.enabled", "RRRR"),
    ("multiTenancyConfig.autoTenantCreation", "LLLL"),
    ("multiTenancyConfig.autoTenantActivation", "LLLL"),
    ("objectTtlConfig", "IILL"),
    ("shardingConfig.desiredCount", "RRRR"),
    ("shardingConfig.virtualPerPhysical", "RRRR"),
    ("shardingConfig.key", "RRRR"),
    ("shardingConfig.strategy", "RRRR"),
    ("shardingConfig.function", "RRRR"),
    ("moduleConfig.generative-*", "LLLL"),
    ("moduleConfig.reranker-*", "LLLL"),
    // 1.38 takes another model; the vectors stay those of the old one.
    ("moduleConfig.*", "RRRC"),
    ("vectorizer", "RRRR"),
    ("vectorIndexType", "RRRR"),
    ("vectorConfig.*.vectorizer.*.*", "RRRC"),
    ("vectorConfig.*.vectorizer", "RRRR"),
    // 1.38 answers 200 and keeps the old type.
    ("vectorConfig.*.vectorIndexType", "RRRR"),
    ("properties.*.description", "LLLL"),
    ("properties.*.moduleConfig", "RRRR"),
    ("properties.*.dataType", "RRRR"),
    ("properties.*.tokenization", "RRRR"),
    ("properties.*.indexFilterable", "RRRR"),
    ("properties.*.indexSearchable", "RRRR"),
    ("properties.*.indexRangeFilters", "RRRR"),
    ("properties.*.textAnalyzer", "IIIR"),
    ("properties.*.disableDuplicatedReferences", "IIIR"),
    ("@hnsw.ef", "LLLL"),
    ("@hnsw.dynamicEfMin", "LLLL"),
    ("@hnsw.dynamicEfMax", "LLLL"),
    ("@hnsw.dynamicEfFactor", "LLLL"),
    ("@hnsw.flatSearchCutoff", "LLLL"),
    ("@hnsw.filterStrategy", "LLLL"),
    ("@hnsw.vectorCacheMaxObjects", "LLLL"),
    // The schema says it, but the index is there.
    ("@hnsw.skip", "CCCC"),
    ("@hnsw.efConstruction", "RRRR"),
    ("@hnsw.maxConnections", "RRRR"),
    ("@hnsw.cleanupIntervalSeconds", "RRRR"),
    ("@hnsw.distance", "RRRR"),
    ("@hnsw.multivector.enabled", "RRRR"),
    ("@hnsw.multivector.muvera.enabled", "RRRR"),
    ("@hnsw.multivector", "CCCC"),
    ("@hnsw.pq.enabled", "LLLL"),
    ("@hnsw.bq.enabled", "LLLL"),
    ("@hnsw.sq.enabled", "LLLL"),
    ("@hnsw.rq.enabled", "ILLL"),
    ("@hnsw.sq.rescoreLimit", "LLLL"),
    ("@hnsw.rq.rescoreLimit", "ILLL"),
    // Of a quantiser that is at work; of one that is not, see `of`.
    ("@hnsw.pq", "CCCC"),
    ("@hnsw.bq", "CCCC"),
    ("@hnsw.sq", "CCCC"),
    ("@hnsw.rq.bits", "ICRR"),
    ("@hnsw.rq", "ICCC"),
    ("@hnsw.skipDefaultQuantization", "IIII"),
    ("@hnsw.trackDefaultQuantization", "IIII"),
    ("@flat.vectorCacheMaxObjects", "LLLL"),
    ("@flat.distance", "RRRR"),
    ("@flat.bq.rescoreLimit", "LLLL"),
    ("@flat.bq.cache", "LLLL"),
    ("@flat.rq.rescoreLimit", "IILL"),
    ("@flat.rq.cache", "IILL"),
    ("@flat.rq", "IIRR"),
    ("@flat.pq", "RRRR"),
    ("@flat.bq", "RRRR"),
    ("@flat.sq", "RRRR"),
    ("@flat.skipDefaultQuantization", "IIII"),
    ("@flat.trackDefaultQuantization", "IIII"),
    ("@dynamic.threshold", "LLLL"),
    ("@dynamic.distance", "RRRR"),
    ("@hfresh.maxPostingSizeKB", "IIIL"),
    ("@hfresh.searchProbe", "IILL"),
    ("@hfresh.rq.rescoreLimit", "IIIL"),
    ("@hfresh.replicas", "IICR"),
    ("@hfresh.distance", "IIRR"),
];

/// The quantisers of an index.
pub(super) const QUANTISERS: [&str; 4] = ["pq", "bq", "sq", "rq"];

/// What a server of this version does with the difference, put back.
pub(super) fn of(gap: &Gap, class: &Value, version: Option<ServerVersion>) -> Mutability {
    let parts: Vec<&str> = gap.path.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["shardingConfig", "actualCount" | "actualVirtualCount" | "desiredVirtualCount"] => Mutability::Counted,
        ["multiTenancyConfig", setting] if *setting != "enabled" && !is_multi_tenant(class) => Mutability::Ignored,
        // Objects are found by their timestamps: servers index those of their own accord when such a class is created,
        // and refuse it of one that does not ("requires indexed timestamps").
        ["invertedIndexConfig", "indexTimestamps"]
            if expires_by_timestamp(class.pointer("/objectTtlConfig/deleteOn")) =>
        {
            Mutability::Counted
        }
        ["objectTtlConfig", "deleteOn"] if expires_by_timestamp(Some(&gap.wanted)) && !indexes_timestamps(class) => {
            Mutability::Refused
        }
        // POST /properties; of nested ones no version takes any more ("conflict for property", 422).
        ["properties", _] => Mutability::Live,
        ["properties", .., "nestedProperties", _] if gap.live.is_none() => Mutability::Refused,
        // What a module has not been told of a property yet it may be told.
        ["properties", _, "moduleConfig", _] | ["moduleConfig", _] if gap.live.is_none() => Mutability::Live,
        // Also to a class of the older form, whose own vector is then a second one beside it.
        ["vectorConfig", name] if gap.live.is_none() => {
            if *name == "default" && class.get("vectorIndexType").is_some() {
                Mutability::Refused
            } else {
                Mutability::Live
            }
        }
        ["vectorConfig", name, "vectorIndexConfig", rest @ ..] => {
            index(gap, class.get("vectorConfig").and_then(|all| all.get(*name)), rest, version)
        }
        ["vectorIndexConfig", rest @ ..] => index(gap, Some(class), rest, version),
        ["properties", name, "nestedProperties", .., setting] => looked_up(&["properties", name, setting], version),
        parts => looked_up(parts, version),
    }
}

fn expires_by_timestamp(property: Option<&Value>) -> bool {
    property.and_then(Value::as_str).is_some_and(|name| name.starts_with('_'))
}

fn indexes_timestamps(class: &Value) -> bool {
    class.pointer("/invertedIndexConfig/indexTimestamps") == Some(&Value::Bool(true))
}

fn index(gap: &Gap, holder: Option<&Value>, rest: &[&str], version: Option<ServerVersion>) -> Mutability {
    let kind = holder.and_then(|holder| holder.get("vectorIndexType")).and_then(Value::as_str).unwrap_or("hnsw");
    let config = holder.and_then(|holder| holder.get("vectorIndexConfig"));
    let (kind, config, rest) = match (kind, rest) {
        ("dynamic", [inner @ ("hnsw" | "flat"), rest @ ..]) => {
            (*inner, config.and_then(|config| config.get(*inner)), rest)
        }
        _ => (kind, config, rest),
    };
    // Servers write out every setting of an index that they know.
    if gap.live.is_none() {
        return Mutability::Ignored;
    }
    let key: Vec<String> =
        std::iter::once(format!("@{kind}")).chain(rest.iter().map(|part| (*part).to_owned())).collect();
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    let row = looked_up(&key, version);
    let at_work =
        |quantiser: &str| config.and_then(|config| config.get(quantiser)?.get("enabled")?.as_bool()).unwrap_or(false);
    match rest {
        // A compressed index is not uncompressed, nor compressed in another way, whatever the schema says.
        [quantiser, "enabled"] if row == Mutability::Live => {
            let on = gap.wanted.as_bool() == Some(true);
            let others = QUANTISERS.iter().any(|other| other != quantiser && at_work(other));
            if on && !others { Mutability::Live } else { Mutability::Consent }
        }
        [quantiser, _, ..] if kind == "hnsw" && QUANTISERS.contains(quantiser) && !at_work(quantiser) => {
            if row == Mutability::Ignored { row } else { Mutability::Live }
        }
        _ => row,
    }
}

fn looked_up(path: &[&str], version: Option<ServerVersion>) -> Mutability {
    let row = TABLE.iter().find(|(pattern, _)| fits(pattern, path));
    row.map_or(Mutability::Unknown, |(_, columns)| column(columns.as_bytes(), version))
}

fn fits(pattern: &str, path: &[&str]) -> bool {
    let mut rest = path.iter();
    pattern.split('.').all(|part| {
        rest.next().is_some_and(|name| match part.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => part == *name,
        })
    })
}

/// The column of this version. Between two measured versions of which each does something else, and where the version
/// is not known, it is neither put (it might be refused again and again) nor taken for immutable: a person is told.
fn column(columns: &[u8], version: Option<ServerVersion>) -> Mutability {
    let read = |at: usize| match columns.get(at) {
        Some(b'L') => Mutability::Live,
        Some(b'C') => Mutability::Consent,
        Some(b'R') => Mutability::Refused,
        _ => Mutability::Ignored,
    };
    let agreed = |range: std::ops::RangeInclusive<usize>| {
        let first = read(*range.start());
        if range.clone().all(|at| read(at) == first) { first } else { Mutability::Ignored }
    };
    let last = MEASURED.len() - 1;
    let Some(version) = version else {
        return agreed(0..=last);
    };
    let line = |measured: &ServerVersion| (measured.major, measured.minor);
    match MEASURED.binary_search_by_key(&line(&version), line) {
        Ok(at) => read(at),
        Err(0) => read(0),
        Err(at) if at > last => read(last),
        Err(at) => agreed(at - 1..=at),
    }
}
