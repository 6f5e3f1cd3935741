//! Weaviate's REST API, as anybody can ask it: nothing of the operator's own client.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};
use ureq::Agent;
use ureq::http::{Method, Request};
use uuid::Uuid;

use super::forward::Forward;
use super::stage::Stage;

/// Objects by id, each with its properties.
pub(super) type Objects = BTreeMap<Uuid, Map<String, Value>>;

/// Of texts of up to 128 kB, so that an answer stays well under what ureq reads.
const PAGE: usize = 50;

pub(super) struct Rest {
    agent: Agent,
    forward: Forward,
    key: String,
}

impl Rest {
    /// Talks to `service/search` or to one node such as `pod/search-0`.
    pub(super) fn connect(stage: &Stage, target: &str) -> Result<Self> {
        let template = "--output=go-template={{.data.apiKey | base64decode}}";
        let key = stage.run(&["get", "secret", "search-auth", template])?;
        let forward = Forward::to(stage, target, 8080)?;
        let timeout = Some(Duration::from_secs(60));
        let config = Agent::config_builder().timeout_global(timeout).http_status_as_error(false).proxy(None).build();
        Ok(Self { agent: config.into(), forward, key })
    }

    /// `None` for what is not there.
    pub(super) fn get(&self, path: &str) -> Result<Option<Value>> {
        let (status, answer) = self.ask(Method::GET, path, None)?;
        match status {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            _ => bail!("GET {path}: {status}: {answer}"),
        }
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.ask(Method::POST, path, Some(body))?;
        ensure!(status == 200, "POST {path}: {status}: {answer}");
        Ok(answer)
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let url = format!("http://127.0.0.1:{}{path}", self.forward.port);
        let request =
            Request::builder().method(method).uri(url).header("authorization", format!("Bearer {}", self.key));
        let request = request.header("content-type", "application/json");
        let mut response = match body {
            Some(body) => self.agent.run(request.body(body.to_string())?),
            None => self.agent.run(request.body(())?),
        }
        .with_context(|| format!("Weaviate did not answer {path}"))?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().with_context(|| format!("{path}: half an answer"))?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Writes objects to every replica; an object that is there already is written again.
    pub(super) fn write(&self, class: &str, objects: &Objects) -> Result<()> {
        let all = objects.iter().collect::<Vec<_>>();
        for page in all.chunks(PAGE) {
            let page = page.iter().map(|(id, properties)| json!({"class": class, "id": id, "properties": properties}));
            let body = json!({"objects": page.collect::<Vec<_>>()});
            let answer = self.post("/v1/batch/objects?consistency_level=ALL", &body)?;
            for object in answer.as_array().context("Weaviate answered a batch without a list")? {
                let result = &object["result"];
                ensure!(result["status"] == "SUCCESS", "{}: {}", object["id"], result["errors"]);
            }
        }
        Ok(())
    }

    /// All objects of a class as the asked node lists them: from its own replica, if it has one.
    pub(super) fn list(&self, class: &str) -> Result<Objects> {
        let mut objects = Objects::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/objects?class={class}&limit={PAGE}&after={after}");
            let mut page = self.get(&path)?.with_context(|| format!("there is no class {class}"))?;
            let page = page["objects"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let Some(last) = page.last() else { return Ok(objects) };
            last["id"].as_str().context("an object has no id")?.clone_into(&mut after);
            for mut object in page {
                let id = object["id"].as_str().context("an object has no id")?.parse::<Uuid>()?;
                let properties = object["properties"].as_object_mut().map(std::mem::take).unwrap_or_default();
                objects.insert(id, properties.into_iter().filter(|(_, value)| !value.is_null()).collect());
            }
        }
    }
}
