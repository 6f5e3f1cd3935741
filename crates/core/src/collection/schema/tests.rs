//! A table of differences and what follows from them.

use elysia_api::collection::{DriftAction, DriftRule};
use serde_json::json;

use super::*;

const LEGACY: fn() -> Value = || {
    json!({
        "class": "A", "description": "old", "vectorizer": "none", "vectorIndexType": "hnsw",
        "vectorIndexConfig": {
            "ef": -1, "efConstruction": 128, "distance": "cosine", "skip": false,
            "bq": {"enabled": false}, "pq": {"enabled": false, "segments": 0},
            "sq": {"enabled": false, "rescoreLimit": 20}, "rq": {"enabled": true, "bits": 8, "rescoreLimit": 20},
        },
        "invertedIndexConfig": {
            "bm25": {"b": 0.75, "k1": 1.2}, "cleanupIntervalSeconds": 60,
            "stopwords": {"preset": "en", "additions": ["star"], "removals": null},
        },
        "multiTenancyConfig": {"enabled": false, "autoTenantCreation": false, "autoTenantActivation": false},
        "moduleConfig": {"generative-openai": {"model": "gpt-4"}, "text2vec-openai": {"model": "small"}},
        "shardingConfig": {"desiredCount": 3, "actualCount": 3, "desiredVirtualCount": 384},
        "replicationConfig": {"factor": 1, "deletionStrategy": "NoAutomatedResolution"},
        "properties": [
            {"name": "title", "dataType": ["text"], "tokenization": "word", "indexFilterable": true,
             "indexSearchable": true},
            {"name": "sku", "dataType": ["text"], "tokenization": "whitespace"},
            {"name": "seen", "dataType": ["Pizza", "Soup"]},
            {"name": "box", "dataType": ["object"], "nestedProperties": [{"name": "lid", "dataType": ["text"]}]},
        ],
    })
};

const NAMED: fn() -> Value = || {
    json!({
        "class": "A",
        "multiTenancyConfig": {"enabled": true, "autoTenantCreation": false},
        "vectorConfig": {
            "flat": {
                "vectorizer": {"none": {}}, "vectorIndexType": "flat",
                "vectorIndexConfig": {"distance": "dot", "bq": {"enabled": false, "rescoreLimit": -1}},
            },
            "both": {
                "vectorizer": {"text2vec-openai": {"model": "small"}}, "vectorIndexType": "dynamic",
                "vectorIndexConfig": {
                    "threshold": 10000, "hnsw": {"ef": -1, "maxConnections": 32, "bq": {"enabled": false}},
                    "flat": {"bq": {"enabled": false}},
                },
            },
        },
    })
};

fn line(wanted: &Value, live: &Value, measure: &Measure<'_>) -> String {
    differences(wanted.as_object().unwrap(), live, measure)
        .iter()
        .map(|difference| format!("{} {:?}", difference.dotted(), difference.verdict))
        .collect::<Vec<_>>()
        .join(", ")
}

fn check_all(live: &Value, version: Option<ServerVersion>, table: &[(Value, &str)]) {
    for (wanted, expected) in table {
        assert_eq!(line(wanted, live, &Measure { version, policy: &[] }), *expected, "{wanted}");
    }
}

const NEWEST: Option<ServerVersion> = Some(MEASURED[3]);

#[test]
fn what_means_the_same_is_no_difference() {
    check_all(
        &LEGACY(),
        NEWEST,
        &[
            (json!({}), ""),
            (json!({"properties": [], "moduleConfig": {}, "vectorConfig": null}), ""),
            (json!({"shardingConfig": {"desiredCount": 3.0, "actualCount": 1, "desiredVirtualCount": 128}}), ""),
            (json!({"invertedIndexConfig": {"indexNullState": false, "bm25": {"b": 0.750_000_01}}}), ""),
            (json!({"invertedIndexConfig": {"cleanupIntervalSeconds": 0}}), ""),
            (json!({"invertedIndexConfig": {"stopwords": {"additions": ["the", "star", "star"], "removals": []}}}), ""),
            (json!({"vectorizer": "", "vectorIndexConfig": {"ef": null}, "Description": "old"}), ""),
            (json!({"multiTenancyConfig": {"enabled": false}}), ""),
        ],
    );
    let properties = |property: Value| json!({"properties": [property]});
    let others = "properties Adopt";
    for property in [
        json!({"name": "Title", "dataType": ["text"], "tokenization": "", "description": ""}),
        json!({"name": "title", "dataType": ["text"], "indexInverted": true}),
        json!({"name": "sku", "dataType": ["string"], "tokenization": "word"}),
        json!({"name": "seen", "dataType": ["Soup", "Pizza"]}),
    ] {
        assert_eq!(line(&properties(property.clone()), &LEGACY(), &Measure::default()), others, "{property}");
    }
}

#[test]
fn each_setting_has_its_verdict() {
    check_all(
        &LEGACY(),
        NEWEST,
        &[
            (json!({"description": ""}), "description Revert"),
            (
                json!({"vectorIndexConfig": {"ef": 64, "distance": "dot"}}),
                "vectorIndexConfig.distance Recreate, vectorIndexConfig.ef Revert",
            ),
            (
                json!({"invertedIndexConfig": {"bm25": {"b": 0.5}, "indexTimestamps": true}}),
                "invertedIndexConfig.indexTimestamps Recreate, invertedIndexConfig.bm25.b Revert",
            ),
            (
                json!({"invertedIndexConfig": {"stopwords": {"additions": ["comet", "the"]}}}),
                "invertedIndexConfig.stopwords.additions Revert",
            ),
            (
                json!({"invertedIndexConfig": {"usingBlockMaxWAND": true}}),
                "invertedIndexConfig.usingBlockMaxWAND Report",
            ),
            (json!({"shardingConfig": {"desiredCount": 1}}), "shardingConfig.desiredCount Recreate"),
            (json!({"multiTenancyConfig": {"enabled": true}}), "multiTenancyConfig.enabled Recreate"),
            // The server refuses it of a class without tenants, again and again.
            (
                json!({"multiTenancyConfig": {"autoTenantCreation": true}}),
                "multiTenancyConfig.autoTenantCreation Report",
            ),
            (
                json!({"objectTtlConfig": {"enabled": true, "defaultTtl": 60}}),
                "objectTtlConfig.defaultTtl Revert, objectTtlConfig.enabled Revert",
            ),
            (json!({"objectTtlConfig": {"deleteOn": "_creationTimeUnix"}}), "objectTtlConfig.deleteOn Recreate"),
            (
                json!({"moduleConfig": {"generative-openai": {"model": "gpt-5"}}}),
                "moduleConfig.generative-openai.model Revert",
            ),
            (json!({"moduleConfig": {"generative-cohere": {}}}), "moduleConfig.generative-cohere Revert"),
            (
                json!({"moduleConfig": {"text2vec-openai": {"model": "large"}}}),
                "moduleConfig.text2vec-openai.model Report",
            ),
            (json!({"vectorConfig": {"extra": {"vectorIndexType": "hnsw"}}}), "vectorConfig.extra Revert"),
            (json!({"vectorConfig": {"default": {"vectorIndexType": "hnsw"}}}), "vectorConfig.default Recreate"),
            (json!({"vectorIndexConfig": {"rq": {"bits": 1}}}), "vectorIndexConfig.rq.bits Recreate"),
            // Another quantiser is at work.
            (json!({"vectorIndexConfig": {"bq": {"enabled": true}}}), "vectorIndexConfig.bq.enabled Report"),
            (json!({"vectorIndexConfig": {"rq": {"enabled": false}}}), "vectorIndexConfig.rq.enabled Report"),
            (
                json!({"vectorIndexConfig": {"sq": {"trainingLimit": 5, "rescoreLimit": 5}}}),
                "vectorIndexConfig.sq.rescoreLimit Revert, vectorIndexConfig.sq.trainingLimit Report",
            ),
            (
                json!({"vectorIndexConfig": {"filterStrategy": "acorn", "brandNew": 1}}),
                "vectorIndexConfig.brandNew Report, vectorIndexConfig.filterStrategy Report",
            ),
            (json!({"brandNew": {"setting": 1}}), "brandNew.setting Report"),
        ],
    );
    check_all(
        &NAMED(),
        NEWEST,
        &[
            (
                json!({"multiTenancyConfig": {"autoTenantCreation": true}}),
                "multiTenancyConfig.autoTenantCreation Revert",
            ),
            (
                json!({"vectorConfig": {"flat": {"vectorIndexType": "hnsw"}}}),
                "vectorConfig.flat.vectorIndexType Recreate, vectorConfig Adopt",
            ),
            (
                json!({"vectorConfig": {"flat": {"vectorizer": {"text2vec-openai": {}}}}}),
                "vectorConfig.flat.vectorizer.text2vec-openai Recreate, vectorConfig Adopt",
            ),
            (
                json!({"vectorConfig": {"flat": {"vectorIndexConfig": {"bq": {"enabled": true, "rescoreLimit": 9}}}}}),
                "vectorConfig.flat.vectorIndexConfig.bq.enabled Recreate, vectorConfig.flat.vectorIndexConfig.bq.rescoreLimit Revert, vectorConfig Adopt",
            ),
            (
                json!({"vectorConfig": {"both": {"vectorIndexConfig": {"threshold": 5, "hnsw": {"ef": 9, "maxConnections": 8, "bq": {"enabled": true}}}}}}),
                "vectorConfig.both.vectorIndexConfig.hnsw.maxConnections Recreate, vectorConfig.both.vectorIndexConfig.hnsw.bq.enabled Revert, vectorConfig.both.vectorIndexConfig.hnsw.ef Revert, vectorConfig.both.vectorIndexConfig.threshold Revert, vectorConfig Adopt",
            ),
            (
                json!({"vectorConfig": {"both": {"vectorizer": {"text2vec-openai": {"model": "large"}}}}}),
                "vectorConfig.both.vectorizer.text2vec-openai.model Report, vectorConfig Adopt",
            ),
            (
                json!({"vectorConfig": {"default": {"vectorIndexType": "hnsw"}}}),
                "vectorConfig.default Revert, vectorConfig Adopt",
            ),
        ],
    );
    let property = |settings: Value| {
        let mut all = LEGACY()["properties"].clone();
        let target = all.as_array_mut().unwrap().iter_mut().find(|one| one["name"] == settings["name"]);
        match target {
            Some(one) => one.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone()),
            None => all.as_array_mut().unwrap().push(settings),
        }
        json!({"properties": all})
    };
    check_all(
        &LEGACY(),
        NEWEST,
        &[
            (property(json!({"name": "body", "dataType": ["text"]})), "properties.body Revert"),
            (property(json!({"name": "title", "dataType": ["int"]})), "properties.title.dataType Recreate"),
            (property(json!({"name": "title", "description": "new"})), "properties.title.description Revert"),
            (
                property(json!({"name": "title", "textAnalyzer": {"asciiFold": true}})),
                "properties.title.textAnalyzer.asciiFold Recreate",
            ),
            (
                property(json!({"name": "title", "moduleConfig": {"text2vec-openai": {"skip": true}}})),
                "properties.title.moduleConfig.text2vec-openai Revert",
            ),
            (property(json!({"name": "title", "keywords": [1]})), "properties.title.keywords Report"),
            (
                property(
                    json!({"name": "box", "nestedProperties": [{"name": "lid", "description": "x"}, {"name": "key", "dataType": ["text"]}]}),
                ),
                "properties.box.nestedProperties.key Recreate, properties.box.nestedProperties.lid.description Revert",
            ),
            (
                property(json!({"name": "box", "nestedProperties": [{"name": "lid", "tokenization": "field"}]})),
                "properties.box.nestedProperties.lid.tokenization Recreate",
            ),
        ],
    );
}

#[test]
fn the_verdict_depends_on_the_version_where_versions_differ() {
    let timestamps = json!({"invertedIndexConfig": {"indexTimestamps": true}});
    let model = json!({"moduleConfig": {"text2vec-openai": {"model": "large"}}});
    let presets = json!({"invertedIndexConfig": {"stopwordPresets": {"fr": ["le"]}}});
    for (version, expected) in [
        ("1.30.0", ["Report", "Recreate", "Report"]),
        ("1.31.9", ["Report", "Recreate", "Report"]),
        ("1.33.0", ["Report", "Recreate", "Report"]),
        ("1.35.20", ["Recreate", "Recreate", "Report"]),
        // Between two that differ: nobody measured which of them it follows.
        ("1.36.0", ["Recreate", "Report", "Report"]),
        ("1.38.0", ["Recreate", "Report", "Revert"]),
        ("1.40.0", ["Recreate", "Report", "Revert"]),
        ("unknown", ["Report", "Report", "Report"]),
    ] {
        let measure = Measure { version: ServerVersion::parse(version), policy: &[] };
        let verdicts = [&timestamps, &model, &presets]
            .map(|wanted| line(wanted, &LEGACY(), &measure).rsplit(' ').next().unwrap_or_default().to_owned());
        assert_eq!(verdicts, expected, "{version}");
    }
}

#[test]
fn a_policy_softens_and_never_hardens() {
    let rule = |path: &str, action| DriftRule { path: path.to_owned(), action };
    let wanted = json!({
        "description": "new", "brandNew": 1, "shardingConfig": {"desiredCount": 1},
        "vectorIndexConfig": {"ef": 64, "distance": "dot", "rq": {"enabled": false}},
    });
    for (policy, expected) in [
        (
            vec![],
            "shardingConfig.desiredCount Recreate, vectorIndexConfig.distance Recreate, description Revert, vectorIndexConfig.ef Revert, brandNew Report, vectorIndexConfig.rq.enabled Report",
        ),
        (
            vec![rule("vectorIndexConfig", DriftAction::Adopt)],
            "shardingConfig.desiredCount Recreate, description Revert, brandNew Report, vectorIndexConfig.distance Adopt, vectorIndexConfig.ef Adopt, vectorIndexConfig.rq.enabled Adopt",
        ),
        (
            vec![
                rule("*.distance", DriftAction::Report),
                rule("vectorIndexConfig", DriftAction::Adopt),
                rule("*", DriftAction::Report),
            ],
            "brandNew Report, description Report, shardingConfig.desiredCount Report, vectorIndexConfig.distance Report, vectorIndexConfig.ef Adopt, vectorIndexConfig.rq.enabled Adopt",
        ),
        (
            vec![rule("*", DriftAction::Revert)],
            "shardingConfig.desiredCount Recreate, vectorIndexConfig.distance Recreate, description Revert, vectorIndexConfig.ef Revert, vectorIndexConfig.rq.enabled Revert, brandNew Report",
        ),
        (
            vec![rule("vectorIndexConfig.ef.deeper", DriftAction::Adopt), rule("desc", DriftAction::Adopt)],
            "shardingConfig.desiredCount Recreate, vectorIndexConfig.distance Recreate, description Revert, vectorIndexConfig.ef Revert, brandNew Report, vectorIndexConfig.rq.enabled Report",
        ),
    ] {
        assert_eq!(line(&wanted, &LEGACY(), &Measure { version: NEWEST, policy: &policy }), expected, "{policy:?}");
    }
}

#[test]
fn only_mutable_differences_are_put_back_and_nothing_else_moves() {
    let wanted = json!({
        "description": "new", "vectorIndexConfig": {"ef": 64, "distance": "dot", "bq": {"enabled": true}},
        "moduleConfig": {"generative-cohere": {}}, "objectTtlConfig": {"enabled": true, "deleteOn": "born"},
        "properties": [{"name": "Title", "dataType": ["text"], "description": "x"}, {"name": "new", "dataType": ["int"]}],
    });
    let policy = [DriftRule { path: "vectorIndexConfig.bq".to_owned(), action: DriftAction::Revert }];
    let found = differences(wanted.as_object().unwrap(), &LEGACY(), &Measure { version: NEWEST, policy: &policy });
    let class = reverted(&LEGACY(), &found, json!({"factor": 3}).as_object().unwrap());
    let mut expected = LEGACY();
    expected["description"] = json!("new");
    expected["vectorIndexConfig"]["ef"] = json!(64);
    expected["vectorIndexConfig"]["bq"]["enabled"] = json!(true);
    // The server refuses two quantisers, and two modules that generate.
    expected["vectorIndexConfig"]["rq"]["enabled"] = json!(false);
    expected["moduleConfig"] = json!({"generative-cohere": {}, "text2vec-openai": {"model": "small"}});
    expected["objectTtlConfig"] = json!({"enabled": true, "deleteOn": "born"});
    expected["properties"][0]["description"] = json!("x");
    expected["replicationConfig"]["factor"] = json!(3);
    assert_eq!(class, expected);
}

#[test]
fn undeclared_properties_are_one_entry_that_moves_with_their_names_only() {
    let wanted = json!({"properties": [{"name": "title", "dataType": ["text"]}]});
    let found = differences(wanted.as_object().unwrap(), &LEGACY(), &Measure::default());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].live, Some(json!(["box", "seen", "sku"])));
    let mut turned = LEGACY();
    turned["properties"].as_array_mut().unwrap().reverse();
    assert_eq!(differences(wanted.as_object().unwrap(), &turned, &Measure::default()), found);
}

#[test]
fn each_row_of_the_table_can_be_reached() {
    for (at, (pattern, columns)) in TABLE.iter().enumerate() {
        assert_eq!(columns.len(), MEASURED.len(), "{pattern}");
        assert!(columns.bytes().all(|letter| b"LCIR".contains(&letter)), "{pattern}");
        let earlier = TABLE[..at].iter().find(|(earlier, _)| pattern.starts_with(&format!("{earlier}.")));
        assert_eq!(earlier, None, "{pattern} comes after a row that speaks for it already");
    }
}

#[test]
fn a_class_without_the_block_has_factor_one() {
    assert_eq!(class_factor(&json!({})), 1);
    assert_eq!(class_factor(&json!({"replicationConfig": {"factor": 0}})), 1);
    assert_eq!(class_factor(&LEGACY()), 1);
}
