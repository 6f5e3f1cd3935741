//! What a feed must come to, worked out by hand: nothing of the operator's own engine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::rest::Objects;

/// The documents after the lines so far.
#[derive(Default)]
pub(super) struct Replay {
    /// By repository and path, each with the properties of its object.
    pub(super) documents: BTreeMap<(String, String), Map<String, Value>>,
}

impl Replay {
    pub(super) fn file(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
        for line in BufReader::new(file).lines() {
            self.line(&line?).with_context(|| format!("in {}", path.display()))?;
        }
        Ok(())
    }

    pub(super) fn lines(&mut self, text: &str) -> Result<()> {
        text.lines().filter(|line| !line.trim().is_empty()).try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let change: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let word = |key: &str| change[key].as_str().map(str::to_owned).with_context(|| format!("no `{key}`: {line}"));
        let (repo, path) = (word("repo")?, word("path")?);
        let key = (repo.clone(), path.clone());
        let (before, path) = match word("op")?.as_str() {
            "add" => (Map::new(), path),
            "modify" => (self.documents.remove(&key).unwrap_or_default(), path),
            "delete" => {
                self.documents.remove(&key);
                return Ok(());
            }
            // A rename of what is not there is rejected, and rejected lines do nothing.
            "rename" => match self.documents.remove(&key) {
                Some(before) => (before, word("new_path")?),
                None => return Ok(()),
            },
            other => bail!("no operation: {other}"),
        };
        let document = changed(before, &change, &repo, &path)?;
        self.documents.insert((repo, path), document);
        Ok(())
    }

    /// The objects that a collection must hold.
    pub(super) fn objects(&self, collection: &str) -> Objects {
        let object = |((repo, path), properties): (&(String, String), &Map<String, Value>)| {
            (document_id(collection, repo, path), properties.clone())
        };
        self.documents.iter().map(object).collect()
    }
}

fn changed(mut document: Map<String, Value>, change: &Value, repo: &str, path: &str) -> Result<Map<String, Value>> {
    document.insert("repo".into(), json!(repo));
    document.insert("path".into(), json!(path));
    if let Some(content) = change["content"].as_str() {
        document.insert("content".into(), json!(content));
    }
    if let Some(encoded) = change["content_base64"].as_str() {
        let content = String::from_utf8(STANDARD.decode(encoded)?).context("the content is no text")?;
        document.insert("content".into(), json!(content));
    }
    for (key, value) in change["metadata"].as_object().into_iter().flatten() {
        document.insert(key.clone(), value.clone());
    }
    document.retain(|_, value| !value.is_null());
    Ok(document)
}

/// What Weaviate's clients call `generate_uuid5("<repo>:<path>", collection)`, a repository's own `:` encoded.
pub(super) fn document_id(collection: &str, repo: &str, path: &str) -> Uuid {
    let repo = repo.replace('%', "%25").replace(':', "%3A");
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{collection}{repo}:{path}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(lines: &[&str]) -> Vec<(String, Value)> {
        let mut replay = Replay::default();
        replay.lines(&lines.join("\n")).unwrap();
        replay.documents.into_iter().map(|((_, path), document)| (path, Value::Object(document))).collect()
    }

    #[test]
    fn every_operation_is_replayed() {
        let documents = replayed(&[
            r#"{"repo": "r", "op": "add", "path": "a", "content": "one", "metadata": {"n": 1, "m": 2}}"#,
            r#"{"repo": "r", "op": "modify", "path": "a", "metadata": {"n": 3, "m": null}}"#,
            r#"{"repo": "r", "op": "rename", "path": "a", "new_path": "b", "content_base64": "dHdv"}"#,
            r#"{"repo": "r", "op": "rename", "path": "never", "new_path": "c"}"#,
            r#"{"repo": "r", "op": "add", "path": "d", "content": ""}"#,
            r#"{"repo": "r", "op": "delete", "path": "d"}"#,
            r#"{"repo": "r", "op": "modify", "path": "e", "content": "new"}"#,
        ]);
        let wanted = [
            ("b".to_owned(), json!({"repo": "r", "path": "b", "content": "two", "n": 3})),
            ("e".to_owned(), json!({"repo": "r", "path": "e", "content": "new"})),
        ];
        assert_eq!(documents, wanted);
    }

    /// Computed with Python: `str(uuid.uuid5(uuid.NAMESPACE_DNS, collection + repo + ":" + path))`.
    #[test]
    fn an_id_is_that_of_the_clients() {
        assert_eq!(document_id("Articles", "a:b", "c").to_string(), "063f513b-39a1-57f9-867d-343db5e72009");
    }
}
