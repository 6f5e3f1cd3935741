//! What servers make of a class: a simulation of `POST` and `PUT /v1/schema`, without shards and nodes.
//!
//! Built from what servers of four versions answered (`crates/core/fixtures`: what they fill in, and in `answers/` what
//! they said of a hundred definitions, which `tests/schema.rs` holds this against), and from what they refused. It is
//! written from the servers' side and shares nothing with the operator's own table of verdicts.

use elysia_core::version::ServerVersion;
use serde_json::{Map, Value, json};

/// The versions that can be simulated.
pub const VERSIONS: [&str; 4] = ["1.31.0", "1.32.0", "1.35.2", "1.38.2"];

/// A server that knows no classes, only what becomes of one.
#[derive(Clone, Debug)]
pub struct SchemaServer {
    version: ServerVersion,
    defaults: Value,
}

/// `Err`: the words of the 422.
pub type Answer = Result<Value, String>;

impl SchemaServer {
    /// A server of one of [`VERSIONS`].
    ///
    /// # Panics
    /// When there is nothing recorded of that version: a mistake of the test.
    pub fn new(version: &str) -> Self {
        let text = match version {
            "1.31.0" => include_str!("../../../core/fixtures/defaults/1.31.0.json"),
            "1.32.0" => include_str!("../../../core/fixtures/defaults/1.32.0.json"),
            "1.35.2" => include_str!("../../../core/fixtures/defaults/1.35.2.json"),
            "1.38.2" => include_str!("../../../core/fixtures/defaults/1.38.2.json"),
            other => panic!("nothing is recorded of Weaviate {other}"),
        };
        let defaults = serde_json::from_str(text).unwrap_or_else(|error| panic!("defaults of {version}: {error}"));
        let version = ServerVersion::parse(version).unwrap_or_else(|| panic!("{version} is no version"));
        Self { version, defaults }
    }

    /// Which version this is.
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    fn is(&self, minor: u32) -> bool {
        self.version >= ServerVersion::minor(minor)
    }

    /// `POST /v1/schema`: the class as it is read afterwards.
    pub fn create(&self, body: &Value) -> Answer {
        let class = self.stored(body)?;
        let has_legacy = class.get("vectorIndexType").is_some();
        if has_legacy && class.get("vectorConfig").is_some() {
            return Err("creating a class with both a class level vector index and named vectors".to_owned());
        }
        Ok(class)
    }

    /// `POST /v1/schema/{class}/properties`: the class afterwards. No version takes more nested properties.
    pub fn add_property(&self, live: &Value, property: &Value) -> Answer {
        let property = self.property(property)?;
        let mut class = live.clone();
        if find(&class["properties"], &property["name"]).is_some() {
            return Err(format!(
                "conflict for property {}: already in use or provided multiple times",
                property["name"]
            ));
        }
        match class["properties"].as_array_mut() {
            Some(all) => all.push(property),
            None => class["properties"] = json!([property]),
        }
        Ok(class)
    }

    /// `PUT /v1/schema/{class}`: the class afterwards.
    pub fn update(&self, live: &Value, body: &Value) -> Answer {
        let mut next = self.stored(body)?;
        let timestamps = "/invertedIndexConfig/indexTimestamps";
        for (pointer, what) in [("/vectorizer", "vectorizer"), ("/vectorIndexType", "vector index type")] {
            if live.pointer(pointer) != next.pointer(pointer) {
                return Err(format!("{what} is immutable"));
            }
        }
        for pointer in ["/invertedIndexConfig/indexNullState", "/invertedIndexConfig/indexPropertyLength"] {
            if live.pointer(pointer) != next.pointer(pointer) {
                return Err(format!("{pointer} setting is immutable"));
            }
        }
        if self.is(33) && live.pointer(timestamps) != next.pointer(timestamps) {
            return Err("\"indexTimestamp\" setting is immutable".to_owned());
        }
        if live.pointer("/multiTenancyConfig/enabled") != next.pointer("/multiTenancyConfig/enabled") {
            return Err("enabling multi-tenancy for an existing class is not supported".to_owned());
        }
        let by_timestamps = text(next["objectTtlConfig"].get("deleteOn"), "").starts_with('_');
        if by_timestamps && live.pointer(timestamps) != Some(&json!(true)) {
            return Err("ObjectTTLConfig: requires indexed timestamps".to_owned());
        }
        if live["shardingConfig"] != next["shardingConfig"] {
            return Err("validate sharding config: re-sharding not supported yet: shard count is immutable".to_owned());
        }
        same_properties(&live["properties"], &mut next["properties"])?;
        self.same_modules(live, &next)?;
        self.same_vectors(live, &mut next)?;
        if next.get("vectorIndexType").is_some() {
            let kind = next["vectorIndexType"].as_str().unwrap_or_default().to_owned();
            self.same_index(&kind, &live["vectorIndexConfig"], &next["vectorIndexConfig"])?;
        }
        Ok(next)
    }

    /// The class as it is kept: what is known, cleaned, with defaults.
    fn stored(&self, body: &Value) -> Answer {
        let given = body.as_object().cloned().unwrap_or_default();
        let has_vectors = given.get("vectorConfig").and_then(Value::as_object).is_some_and(|all| !all.is_empty());
        let legacy = !has_vectors || ["vectorizer", "vectorIndexType"].iter().any(|key| is_text(given.get(*key)));
        let tenants = body.pointer("/multiTenancyConfig/enabled") == Some(&json!(true));
        let template = if tenants { &self.defaults["tenants"] } else { &self.defaults["legacy"] };
        let mut class = json!({"class": given.get("class")});
        copy_text(&given, &mut class, "description");
        class["invertedIndexConfig"] = self.inverted(given.get("invertedIndexConfig"));
        class["multiTenancyConfig"] = filled(given.get("multiTenancyConfig"), &template["multiTenancyConfig"]);
        if !tenants
            && class["multiTenancyConfig"].as_object().is_some_and(|all| all.values().any(|on| on == &json!(true)))
        {
            return Err("can't enable autoTenantCreation on a non-multi-tenant class".to_owned());
        }
        class["shardingConfig"] =
            sharding(given.get("shardingConfig").filter(|_| !tenants), &template["shardingConfig"]);
        class["replicationConfig"] = filled(given.get("replicationConfig"), &template["replicationConfig"]);
        let properties = given.get("properties").and_then(Value::as_array);
        let properties = properties.map(|all| all.iter().map(|one| self.property(one)).collect::<Result<Vec<_>, _>>());
        class["properties"] = properties.transpose()?.map_or(Value::Null, Value::from);
        if let Some(modules) = given.get("moduleConfig").and_then(Value::as_object).filter(|all| !all.is_empty()) {
            for kind in ["generative-", "reranker-"] {
                if modules.keys().filter(|name| name.starts_with(kind)).count() > 1 {
                    return Err("updated moduleconfig has multiple generative modules".to_owned());
                }
            }
            class["moduleConfig"] = json!(modules);
        }
        if let Some(ttl) = given.get("objectTtlConfig").filter(|ttl| self.is(35) && !ttl.is_null()) {
            let empty = json!({"enabled": false, "deleteOn": "", "defaultTtl": 0, "filterExpiredObjects": false});
            class["objectTtlConfig"] = filled(Some(ttl), &empty);
            // The server needs that index to find what has expired.
            if ttl["enabled"] == json!(true) && text(ttl.get("deleteOn"), "").starts_with('_') {
                class["invertedIndexConfig"]["indexTimestamps"] = json!(true);
            }
        }
        if legacy {
            let kind = text(given.get("vectorIndexType"), "hnsw");
            class["vectorIndexConfig"] = self.index(&kind, given.get("vectorIndexConfig"))?;
            class["vectorIndexType"] = json!(kind);
            class["vectorizer"] = json!(text(given.get("vectorizer"), "none"));
        }
        if has_vectors {
            class["vectorConfig"] = self.vectors(&given["vectorConfig"])?;
        }
        Ok(class)
    }

    fn inverted(&self, given: Option<&Value>) -> Value {
        let mut kept = filled(given, &self.defaults["legacy"]["invertedIndexConfig"]);
        for flag in ["indexTimestamps", "indexNullState", "indexPropertyLength"] {
            if given.and_then(|given| given.get(flag)) == Some(&json!(true)) {
                kept[flag] = json!(true);
            }
        }
        if kept["cleanupIntervalSeconds"] == json!(0) {
            kept["cleanupIntervalSeconds"] = json!(60);
        }
        // Before 1.33 a class that says anything of its inverted index gets the older form of it.
        kept["usingBlockMaxWAND"] = json!(true);
        let unsaid = given.is_some_and(|given| given.is_object() && given["usingBlockMaxWAND"] != json!(true));
        if !self.is(33) && unsaid {
            kept.as_object_mut().map(|kept| kept.remove("usingBlockMaxWAND"));
        }
        for (block, since) in [("tokenizerUserDict", 35), ("stopwordPresets", 36)] {
            if let Some(given) = given.and_then(|given| given.get(block)).filter(|_| self.is(since)) {
                kept[block] = given.clone();
            }
        }
        // Who declares one of the two declares the other as 0, which is left out of the answer.
        if let Some(bm25) = given.and_then(|given| given.get("bm25")).and_then(Value::as_object) {
            let numbers = ["b", "k1"].map(|key| (key.to_owned(), single(bm25.get(key).unwrap_or(&Value::Null))));
            kept["bm25"] =
                numbers.into_iter().filter(|(_, number)| number.as_f64() != Some(0.0)).collect::<Map<_, _>>().into();
        }
        let english = kept["stopwords"]["preset"] == json!("en");
        if let Some(additions) = kept["stopwords"]["additions"].as_array_mut() {
            additions.retain(|word| !(english && ["a", "the"].iter().any(|known| word == known)));
            if additions.is_empty() {
                kept["stopwords"]["additions"] = Value::Null;
            }
        }
        kept
    }

    fn property(&self, given: &Value) -> Answer {
        let name = text(given.get("name"), "");
        let name = name[..1.min(name.len())].to_lowercase() + name.get(1..).unwrap_or_default();
        let kind = text(given["dataType"].get(0), "");
        if kind.is_empty() || name.is_empty() {
            return Err(format!("property '{name}': invalid dataType"));
        }
        let (stored, deprecated) = match kind.as_str() {
            "string" => ("text", true),
            "string[]" => ("text[]", true),
            other => (other, false),
        };
        let is_text = matches!(stored, "text" | "text[]");
        let inverted = given.get("indexInverted").and_then(Value::as_bool).unwrap_or(true);
        let flag = |key: &str, default: bool| given.get(key).and_then(Value::as_bool).unwrap_or(default);
        let is_reference = stored.starts_with(|first: char| first.is_uppercase());
        let mut property = json!({
            "name": name,
            "dataType": if is_reference { given["dataType"].clone() } else { json!([stored]) },
            "indexFilterable": flag("indexFilterable", inverted),
            "indexSearchable": flag("indexSearchable", is_text && inverted),
            "indexRangeFilters": flag("indexRangeFilters", false),
        });
        if is_text {
            let tokenization = text(given.get("tokenization"), "word");
            property["tokenization"] =
                json!(if deprecated && tokenization == "word" { "whitespace" } else { tokenization.as_str() });
        }
        let given_map = given.as_object().cloned().unwrap_or_default();
        copy_text(&given_map, &mut property, "description");
        let mut optional = vec!["moduleConfig"];
        if self.is(36) {
            optional.extend(["textAnalyzer", "disableDuplicatedReferences"]);
        }
        for key in optional {
            if let Some(value) = given.get(key).filter(|value| !value.is_null()) {
                property[key] = value.clone();
            }
        }
        if let Some(analyzer) = property.get_mut("textAnalyzer").and_then(Value::as_object_mut) {
            analyzer.retain(|_, value| !matches!(value, Value::Bool(false)) && value != &json!([]));
        }
        if let Some(nested) = given.get("nestedProperties").and_then(Value::as_array) {
            let nested = nested.iter().map(|one| self.property(one)).collect::<Result<Vec<_>, _>>()?;
            property["nestedProperties"] = nested.into();
        }
        Ok(property)
    }

    fn vectors(&self, given: &Value) -> Answer {
        let mut kept = Map::new();
        for (name, given) in given.as_object().into_iter().flatten() {
            let kind = text(given.get("vectorIndexType"), "hnsw");
            kept.insert(
                name.clone(),
                json!({
                    "vectorizer": given.get("vectorizer").cloned().unwrap_or_else(|| json!({"none": {}})),
                    "vectorIndexType": kind,
                    "vectorIndexConfig": self.index(&kind, given.get("vectorIndexConfig"))?,
                }),
            );
        }
        Ok(kept.into())
    }

    fn index(&self, kind: &str, given: Option<&Value>) -> Answer {
        let Some(defaults) = self.defaults["index"].get(kind) else {
            return Err(format!("unrecognized or unsupported vectorIndexType \"{kind}\""));
        };
        let mut kept = filled(given, defaults);
        self.rescore(kind, given, &mut kept);
        for flat in [Some(&kept).filter(|_| kind == "flat"), kept.get("flat")].into_iter().flatten() {
            if ["pq", "sq"].iter().any(|quantiser| flat[*quantiser]["enabled"] == json!(true)) {
                return Err("PQ is not currently supported for flat indices".to_owned());
            }
        }
        let mut blocks = vec![&kept];
        blocks.extend(["hnsw", "flat"].iter().filter_map(|inner| kept.get(*inner)));
        for block in blocks {
            let on = |quantiser: &&&str| block[**quantiser]["enabled"] == json!(true);
            if ["pq", "bq", "sq", "rq"].iter().filter(on).count() > 1 {
                return Err("invalid hnsw config: more than a single compression methods enabled".to_owned());
            }
        }
        Ok(kept)
    }

    /// With one bit only, more is looked at again.
    fn rescore(&self, kind: &str, given: Option<&Value>, kept: &mut Value) {
        if kind == "dynamic" {
            self.rescore("hnsw", given.and_then(|given| given.get("hnsw")), &mut kept["hnsw"]);
        }
        let rq = given.and_then(|given| given.get("rq"));
        let unsaid = rq.is_some_and(|rq| rq["bits"] == json!(1) && rq.get("rescoreLimit").is_none());
        if kind == "hnsw" && self.is(33) && unsaid {
            kept["rq"]["rescoreLimit"] = json!(512);
        }
    }

    fn same_modules(&self, live: &Value, next: &Value) -> Result<(), String> {
        for (module, settings) in live["moduleConfig"].as_object().into_iter().flatten() {
            let replaceable = module.starts_with("generative-") || module.starts_with("reranker-");
            if !replaceable && !self.is(38) && next["moduleConfig"].get(module).is_some_and(|next| next != settings) {
                return Err("can only update generative and reranker module configs".to_owned());
            }
        }
        Ok(())
    }

    fn same_vectors(&self, live: &Value, next: &mut Value) -> Result<(), String> {
        if live.get("vectorIndexType").is_some() && next["vectorConfig"].get("default").is_some() {
            return Err(
                "vector named default cannot be created when collection level vector index is configured".into()
            );
        }
        for (name, before) in live["vectorConfig"].as_object().into_iter().flatten() {
            let Some(after) = next["vectorConfig"].get_mut(name) else {
                return Err(format!("missing config for vector \"{name}\""));
            };
            if before["vectorIndexType"] != after["vectorIndexType"] {
                if !self.is(38) {
                    return Err(format!("vector index type of vector \"{name}\" is immutable"));
                }
                *after = before.clone();
            }
            let module = |vector: &Value| vector["vectorizer"].as_object().and_then(|all| all.keys().next().cloned());
            let settings_differ = before["vectorizer"] != after["vectorizer"];
            if module(before) != module(after) || (settings_differ && !self.is(38)) {
                return Err(format!("vectorizer config of vector \"{name}\" is immutable"));
            }
            let kind = text(before.get("vectorIndexType"), "hnsw");
            self.same_index(&kind, &before["vectorIndexConfig"], &after["vectorIndexConfig"])?;
        }
        Ok(())
    }

    fn same_index(&self, kind: &str, live: &Value, next: &Value) -> Result<(), String> {
        let on = |block: &Value, quantiser: &str| block[quantiser]["enabled"] == json!(true);
        let mut fixed: Vec<&str> = match kind {
            "hnsw" => vec![
                "/efConstruction",
                "/maxConnections",
                "/cleanupIntervalSeconds",
                "/distance",
                "/multivector/enabled",
                "/multivector/muvera/enabled",
            ],
            "flat" => vec!["/distance", "/pq/enabled", "/bq/enabled", "/sq/enabled", "/rq/enabled", "/rq/bits"],
            "hfresh" if self.is(36) => vec!["/distance", "/replicas"],
            _ => vec!["/distance"],
        };
        if kind == "hnsw" && self.is(33) && on(live, "rq") && on(next, "rq") {
            fixed.push("/rq/bits");
        }
        if let Some(pointer) = fixed.into_iter().find(|pointer| live.pointer(pointer) != next.pointer(pointer)) {
            return Err(format!("validate vector index config: {pointer} is immutable"));
        }
        if kind == "dynamic" {
            self.same_index("hnsw", &live["hnsw"], &next["hnsw"])?;
            self.same_index("flat", &live["flat"], &next["flat"])?;
        }
        Ok(())
    }
}

fn same_properties(live: &Value, next: &mut Value) -> Result<(), String> {
    let refused = "property fields other than description cannot be updated through updating the class";
    let (live_list, next_list) = (list(live), list(next));
    if live_list.len() != next_list.len() {
        return Err(refused.to_owned());
    }
    for live in live_list {
        let Some(next) = find(next, &live["name"]) else {
            return Err(refused.to_owned());
        };
        let modules = live["moduleConfig"].as_object().into_iter().flatten();
        for (module, settings) in modules {
            if next["moduleConfig"][module] != *settings {
                return Err(format!("module \"{module}\" configuration cannot be updated"));
            }
        }
        if without_texts(live) != without_texts(next) {
            return Err(format!("property {}: {refused}", live["name"]));
        }
    }
    // A PUT leaves them sorted.
    if let Some(all) = next.as_array_mut() {
        all.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    }
    Ok(())
}

/// The defaults with what was given of them; what they do not know is dropped.
fn filled(given: Option<&Value>, defaults: &Value) -> Value {
    match (given, defaults) {
        (Some(Value::Object(given)), Value::Object(defaults)) => defaults
            .iter()
            .map(|(key, default)| (key.clone(), filled(given.get(key), default)))
            .collect::<Map<_, _>>()
            .into(),
        (None | Some(Value::Null | Value::Object(_)), default) => default.clone(),
        (Some(Value::String(text)), default) if text.is_empty() => default.clone(),
        (Some(Value::Array(items)), _) if items.is_empty() => Value::Null,
        (Some(given), _) => given.clone(),
    }
}

fn sharding(given: Option<&Value>, defaults: &Value) -> Value {
    let mut kept = filled(given, defaults);
    let number = |key: &str| kept[key].as_i64().unwrap_or_default();
    let (shards, each) = (number("desiredCount"), number("virtualPerPhysical"));
    kept["actualCount"] = json!(shards);
    kept["desiredVirtualCount"] = json!(shards * each);
    kept["actualVirtualCount"] = json!(shards * each);
    kept
}

/// A number as it comes back from single precision.
fn single(number: &Value) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "that is the point")]
    let text = (number.as_f64().unwrap_or_default() as f32).to_string();
    text.parse::<f64>().map_or(Value::Null, Value::from)
}

fn is_text(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| !text.is_empty())
}

fn text(value: Option<&Value>, default: &str) -> String {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or(default).to_owned()
}

fn copy_text(given: &Map<String, Value>, kept: &mut Value, key: &str) {
    if is_text(given.get(key)) {
        kept[key] = given[key].clone();
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn find<'a>(properties: &'a Value, name: &Value) -> Option<&'a Value> {
    list(properties).iter().find(|property| property["name"] == *name)
}

/// A property without what a PUT may change of it.
fn without_texts(property: &Value) -> Value {
    let mut rest = property.clone();
    if let Some(map) = rest.as_object_mut() {
        map.remove("description");
        map.remove("moduleConfig");
        if let Some(nested) = map.get_mut("nestedProperties").and_then(Value::as_array_mut) {
            for property in nested {
                *property = without_texts(property);
            }
        }
    }
    rest
}
