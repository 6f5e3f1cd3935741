//! Every expression that is shipped, in dashboards, alerts and documents, asks for series that this program exports, by
//! labels that they have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Metrics;
use super::families::Family;

/// What a histogram's series end in.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// Words of documents that begin like metrics: the target of the audit's lines in the log.
const NO_METRICS: [&str; 1] = ["elysia_audit"];
/// Words of `PromQL` that have a list of labels behind them.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Metrics by name.
struct Known(BTreeMap<String, Family>);

impl Known {
    fn exported() -> Self {
        let families = Metrics::new().unwrap().inner.families.clone();
        Self(families.into_iter().map(|family| (family.name.clone(), family)).collect())
    }

    /// The labels of a series; `None` when there is none of that name.
    fn labels(&self, series: &str) -> Option<BTreeSet<String>> {
        let of_histogram = OF_HISTOGRAMS.iter().find_map(|end| {
            let family = self.0.get(series.strip_suffix(end)?).filter(|family| family.kind == "histogram")?;
            Some((family, *end == "_bucket"))
        });
        let plain = self.0.get(series).filter(|family| family.kind != "histogram").map(|family| (family, false));
        let (family, is_bucket) = plain.or(of_histogram)?;
        let labels = family.labels.split(", ").filter(|label| !label.is_empty());
        Some(labels.map(str::to_owned).chain(is_bucket.then(|| "le".to_owned())).collect())
    }

    /// What is wrong with an expression; and the labels that what it asks for has.
    fn faults(&self, expression: &str) -> (Vec<String>, BTreeSet<String>) {
        let (mut faults, mut all, mut listed) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut rest = expression;
        while let Some(character) = rest.chars().next() {
            if character == '"' {
                rest = rest[1..].split_once('"').map_or("", |(_, behind)| behind);
                continue;
            }
            let length =
                rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_' && it != ':').unwrap_or(rest.len());
            let (word, behind) = rest.split_at(length.max(character.len_utf8()));
            rest = behind;
            if word.starts_with("elysia_") {
                let Some(labels) = self.labels(word) else {
                    faults.push(format!("no metric is called {word}"));
                    continue;
                };
                let (inner, behind) = enclosed(rest, '{', '}').unwrap_or(("", rest));
                rest = behind;
                let asked = matchers(inner);
                faults.extend(asked.difference(&labels).map(|label| format!("{word} has no label {label}")));
                all.extend(labels);
            } else if LISTS.contains(&word)
                && let Some((inner, behind)) = enclosed(rest.trim_start(), '(', ')')
            {
                listed.extend(inner.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
                rest = behind;
            }
        }
        faults.extend(
            listed.iter().filter(|label| !all.contains(*label)).map(|it| format!("nothing has the label {it}")),
        );
        (faults, all)
    }
}

/// What stands between these at the very beginning, and what stands behind.
fn enclosed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    text.strip_prefix(open)?.split_once(close)
}

/// Labels of `a="x", b=~"y, z"`.
fn matchers(text: &str) -> BTreeSet<String> {
    // Every second piece stands within quotes.
    let outside: String = text.split('"').step_by(2).collect::<Vec<_>>().join("");
    let names = outside.split(',').map(|matcher| matcher.trim().trim_end_matches(['=', '!', '~']).trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == extension));
    files.sort();
    files
}

/// Expressions of a dashboard, each with the labels that its legend names.
fn of_dashboard(value: &Value, found: &mut Vec<(String, BTreeSet<String>)>) {
    match value {
        Value::Object(fields) => {
            if let Some(expression) = fields.get("expr").and_then(Value::as_str) {
                let legend = fields.get("legendFormat").and_then(Value::as_str).unwrap_or_default();
                let named = legend.split("{{").skip(1).filter_map(|piece| piece.split_once("}}"));
                found.push((expression.to_owned(), named.map(|(name, _)| name.trim().to_owned()).collect()));
            }
            if let Some(query) = fields.get("definition").and_then(Value::as_str) {
                let (metric, label) = query.trim_start_matches("label_values(").split_once(',').unwrap();
                found.push((metric.to_owned(), [label.trim_end_matches(')').trim().to_owned()].into()));
            }
            fields.values().for_each(|value| of_dashboard(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| of_dashboard(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Expressions of the alerts: each stands on the line of its key, or deeper on those behind it.
fn of_rules(text: &str) -> Vec<String> {
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let depth = line.len() - line.trim_start().len();
        let Some(first) = line.trim().trim_start_matches("- ").strip_prefix("expr:") else { continue };
        let mut expression = first.trim().trim_start_matches("|-").to_owned();
        while let Some(line) = lines.next_if(|line| line.len() - line.trim_start().len() > depth) {
            expression.push(' ');
            expression.push_str(line.trim());
        }
        found.push(expression);
    }
    found
}

/// What a document says in code and what is of Prometheus.
fn of_document(text: &str) -> Vec<String> {
    // The rows of metrics name them alone: they are compared with what is made elsewhere.
    let prose: Vec<&str> = text.lines().filter(|line| !line.starts_with("| `elysia_")).collect();
    let code = prose.join("\n");
    let is_asked = |code: &&str| code.contains("elysia_") && !NO_METRICS.iter().any(|word| code.contains(word));
    let code = code.split('`').skip(1).step_by(2).filter(is_asked);
    code.map(str::to_owned).collect()
}

#[test]
fn every_expression_asks_for_what_is_exported() {
    let known = Known::exported();
    let mut wrong = Vec::new();
    let mut check = |file: &Path, expression: &str, named: &BTreeSet<String>| {
        let (mut faults, labels) = known.faults(expression);
        faults.extend(named.difference(&labels).map(|label| format!("the legend's {label} is no label of it")));
        let place = file.file_name().unwrap().display().to_string();
        wrong.extend(faults.into_iter().map(|fault| format!("{place}: {fault} in {expression}")));
    };
    let (mut in_dashboards, mut in_rules, mut in_documents) = (0, 0, 0);
    for file in files("charts/elysia-operator/dashboards", "json") {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let mut found = Vec::new();
        of_dashboard(&dashboard, &mut found);
        in_dashboards += found.len();
        for (expression, named) in &found {
            check(&file, expression, named);
        }
    }
    let rule = repository().join("charts/elysia-operator/templates/prometheusrule.yaml");
    for expression in of_rules(&fs::read_to_string(&rule).unwrap()) {
        in_rules += 1;
        check(&rule, &expression, &BTreeSet::new());
    }
    for file in files("docs", "md") {
        for expression in of_document(&fs::read_to_string(&file).unwrap()) {
            in_documents += 1;
            check(&file, &expression, &BTreeSet::new());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!((in_dashboards > 50) && (in_rules > 10) && (in_documents > 3), "{in_dashboards} {in_rules} {in_documents}");
}

#[test]
fn every_metric_of_backups_and_restores_is_on_a_dashboard() {
    let shown: String = files("charts/elysia-operator/dashboards", "json")
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let known = Known::exported();
    let is_ours = |name: &&String| name.starts_with("elysia_backup") || name.starts_with("elysia_restore");
    let missing: Vec<&String> = known.0.keys().filter(is_ours).filter(|name| !shown.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_is_not_exported_is_found() {
    let known = Known::exported();
    for (expression, wrong) in [
        ("elysia_backups", Some("no metric is called elysia_backups")),
        (r#"elysia_leader{name="x"}"#, Some("elysia_leader has no label name")),
        (r#"sum by (nome) (elysia_backup_bytes{name=~"a,b", namespace!="c"})"#, Some("nothing has the label nome")),
        ("rate(elysia_reconcile_duration_seconds[5m])", Some("no metric is called elysia_reconcile_duration_seconds")),
        ("sum by (kind, le) (rate(elysia_reconcile_duration_seconds_bucket[5m]))", None),
        ("sum by (le) (rate(elysia_reconcile_duration_seconds_sum[5m]))", Some("nothing has the label le")),
        (r#"max by (namespace, name) (elysia_backup_state{state=~"Failed|Suspect"}) == 1 or vector(0)"#, None),
    ] {
        assert_eq!(known.faults(expression).0.first().map(String::as_str), wrong, "{expression}");
    }
    let told = of_rules("  - alert: a\n    expr: |-\n      one\n        two\n    for: 5m\n  - expr: three\n");
    assert_eq!(told, [" one two", "three"]);
}
