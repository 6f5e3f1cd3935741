//! What servers hold, read apart from everything that the product reads with: see `reading.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::servers::Servers;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Differences that are told in full.
const SHOWN: usize = 3;
/// Letters of an object that are told of a difference, from where it begins.
const LETTERS: usize = 160;
/// Letters of a digest that tell two apart in a table.
const SHORT: usize = 16;

/// Digests of objects by their ids.
type Digests = BTreeMap<String, String>;

/// What one node after the other says of a collection or of one of its tenants.
struct Reading {
    texts: BTreeMap<String, String>,
    /// What each node tells at its own address.
    told: BTreeMap<String, Digests>,
}

impl Reading {
    fn take(servers: &Servers, class: &str, tenant: Option<&str>, factor: usize) -> Result<Self> {
        let nodes = servers.running().into_iter().map(|node| Ok((servers.rest(&node)?, node)));
        let nodes = nodes.map(|pair| pair.map(|(address, node)| (node, address)));
        let nodes = nodes.collect::<Result<BTreeMap<_, _>>>()?;
        let named = nodes.len() == factor;
        let order = json!({"nodes": nodes, "class": class, "tenant": tenant, "named": named});
        let mut python = Command::new("python3");
        python.args(["-c", include_str!("reading.py")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().context("failed to start python3")?;
        child.stdin.take().context("it has an input")?.write_all(order.to_string().as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{class} could not be read");
        let read: Value = serde_json::from_slice(&output.stdout).context("the reader printed no JSON")?;
        let of = |value: &Value| value.as_object().map(texts).unwrap_or_default();
        let by_node = |value: &Value| {
            value.as_object().into_iter().flatten().map(|(node, all)| (node.clone(), of(all))).collect()
        };
        Ok(Self { texts: of(&read["texts"]), told: by_node(&read["told"]) })
    }

    /// Why not every node tells the same objects.
    fn disagreement(&self) -> Option<String> {
        let (first, wanted) = self.told.first_key_value()?;
        let (other, told) = self.told.iter().find(|(_, told)| *told != wanted)?;
        let (here, there) = (wanted.len(), told.len());
        let unlike = wanted.keys().chain(told.keys()).find(|id| wanted.get(*id) != told.get(*id))?;
        Some(format!("{first} tells {here} objects and {other} {there}; {unlike} is not the same"))
    }
}

/// Why not every shard, or this tenant's, has so many replicas.
fn misplaced(servers: &Servers, class: &str, tenant: Option<&str>, factor: usize) -> Result<Option<String>> {
    let shards = servers.sharding_state("w-0", class)?.context("there is no such class")?;
    ensure!(tenant.is_none_or(|tenant| shards.contains_key(tenant)), "there is no shard of tenant {tenant:?}");
    let mut meant = shards.iter().filter(|(shard, _)| tenant.is_none_or(|tenant| tenant == shard.as_str()));
    let wrong = meant.find(|(_, replicas)| replicas.len() != factor);
    Ok(wrong.map(|(shard, replicas)| format!("shard {shard} has the replicas {replicas:?}")))
}

fn texts(map: &serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// What all replicas of a collection, or of one of its tenants, hold alike.
#[derive(Default)]
pub(super) struct Contents(BTreeMap<String, String>);

impl Contents {
    /// Reads it at every node; the error inside says why the replicas do not agree.
    pub(super) fn take(
        servers: &Servers,
        class: &str,
        tenant: Option<&str>,
        factor: usize,
    ) -> Result<Result<Self, String>> {
        if let Some(why) = misplaced(servers, class, tenant, factor)? {
            return Ok(Err(why));
        }
        let reading = Reading::take(servers, class, tenant, factor)?;
        Ok(match reading.disagreement() {
            Some(why) => Err(why),
            None => Ok(Self(reading.texts)),
        })
    }

    /// The same where what leads to one collection leads to another.
    pub(super) fn leading(&self, from: &str, to: &str) -> Self {
        let lead = |text: &String| {
            let beacons =
                text.replace(&format!("weaviate://localhost/{from}/"), &format!("weaviate://localhost/{to}/"));
            beacons.replace(&format!("/v1/objects/{from}/"), &format!("/v1/objects/{to}/"))
        };
        Self(self.0.iter().map(|(id, text)| (id.clone(), lead(text))).collect())
    }

    pub(super) fn objects(&self) -> usize {
        self.0.len()
    }

    /// SHA-256 over the objects in the order of their ids, each with its length before it; as many letters of it as a
    /// table needs.
    pub(super) fn digest<'a>(all: impl IntoIterator<Item = &'a Self>) -> String {
        let mut hash = Sha256::new();
        for text in all.into_iter().flat_map(|contents| contents.0.values()) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let mut digest = String::new();
        for byte in hash.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(digest, "{byte:02x}");
        }
        digest.truncate(SHORT);
        digest
    }

    /// What is missing, left over or different in a copy of this.
    pub(super) fn differences(&self, copy: &Self) -> Vec<String> {
        let ids = self.0.keys().chain(copy.0.keys()).collect::<BTreeSet<_>>();
        let unlike = ids.into_iter().filter(|id| self.0.get(*id) != copy.0.get(*id)).collect::<Vec<_>>();
        let mut told = unlike.iter().take(SHOWN).map(|id| match (self.0.get(*id), copy.0.get(*id)) {
            (Some(one), Some(other)) => {
                let alike = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
                let from = |text: &str| text.chars().skip(alike.saturating_sub(LETTERS / 2)).take(LETTERS).collect();
                let (one, other): (String, String) = (from(one), from(other));
                format!("{id} was\n      …{one}…\n    and is\n      …{other}…")
            }
            (Some(_), None) => format!("{id} is missing"),
            (None, _) => format!("{id} was not there"),
        });
        let mut out = told.by_ref().collect::<Vec<_>>();
        if unlike.len() > SHOWN {
            out.push(format!("and {} more differ", unlike.len() - SHOWN));
        }
        out
    }
}

/// Settings of a class that are not what they were, but for its name and for what follows from the factor that a restore
/// was told, or is left to the servers. What a newer server says besides is none of it.
pub(super) fn settings(was: &Value, is: &Value, factor: usize) -> Vec<String> {
    let mut wanted = was.clone();
    wanted["replicationConfig"]["factor"] = json!(factor);
    if factor == 1 {
        // There is nothing to compare, and the servers say so.
        wanted["replicationConfig"]["asyncEnabled"] = json!(false);
    }
    let mut out = Vec::new();
    for (name, value) in wanted.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "class" | "shardingConfig") {
            unlike(name, value, &is[name], &mut out);
        }
    }
    out
}

fn unlike(path: &str, was: &Value, is: &Value, out: &mut Vec<String>) {
    match (was, is) {
        (Value::Object(members), Value::Object(_)) => {
            members.iter().for_each(|(name, value)| unlike(&format!("{path}.{name}"), value, &is[name], out));
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).zip(0..).for_each(|((was, is), at)| unlike(&format!("{path}[{at}]"), was, is, out));
        }
        _ if was == is => {}
        _ => out.push(format!("{path}: {was} became {is}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(all: &[(&str, &str)]) -> Contents {
        Contents(all.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn what_differs_is_named() {
        let was = contents(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(was.differences(&contents(&[("a", "1"), ("b", "2"), ("c", "3")])), Vec::<String>::new());
        let told = was.differences(&contents(&[("a", "1"), ("b", "9"), ("d", "3")])).join("; ");
        assert!(told.contains("b was") && told.contains("c is missing") && told.contains("d was not there"), "{told}");
    }

    #[test]
    fn digests_tell_sets_apart() {
        let one = contents(&[("a", "1"), ("b", "2")]);
        assert_eq!(Contents::digest([&one]), Contents::digest([&contents(&[("b", "2"), ("a", "1")])]));
        assert_ne!(Contents::digest([&one]), Contents::digest([&contents(&[("a", "12")])]));
    }

    #[test]
    fn nodes_agree_when_they_tell_the_same() {
        let digests = |all: &[(&str, &str)]| contents(all).0;
        let reading = |one: Digests, other: Digests| {
            let told = BTreeMap::from([("w-0".to_owned(), one), ("w-1".to_owned(), other)]);
            Reading { texts: BTreeMap::new(), told }.disagreement()
        };
        let whole = digests(&[("a", "1"), ("b", "2")]);
        assert_eq!(reading(whole.clone(), whole.clone()), None);
        let told = reading(whole.clone(), digests(&[("a", "1"), ("b", "3")])).unwrap();
        assert_eq!(told, "w-0 tells 2 objects and w-1 2; b is not the same");
        let told = reading(whole, digests(&[("b", "2")])).unwrap();
        assert_eq!(told, "w-0 tells 2 objects and w-1 1; a is not the same");
    }

    #[test]
    fn settings_that_changed_are_named() {
        let was = json!({"class": "A", "a": {"b": [1, 2]}, "replicationConfig": {"factor": 3, "asyncEnabled": true}});
        let one = json!({"factor": 1, "asyncEnabled": false});
        let is = json!({"class": "B", "a": {"b": [1, 3], "new": 1}, "replicationConfig": one});
        assert_eq!(settings(&was, &is, 1), ["a.b[1]: 2 became 3"]);
        assert_eq!(settings(&was, &is, 3).len(), 3);
    }
}
