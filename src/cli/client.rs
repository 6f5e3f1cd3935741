//! Reads from the API server with the user's own rights, in bounded time, and says in words what could not be read.

use std::fmt::Debug;
use std::time::Duration;

use elysia_core::health::{Listing, Malformed, Sighted, Unread};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{DeserializeGuard, ObjectList};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use elysia_api::GROUP;
use elysia_api::names::LEASE_NAME;

use super::Target;
use crate::runtime::patience::patience;

/// Longest wait for one answer: far above what a living API server takes, and short enough to wait for at a prompt.
pub(super) const REQUEST_TIMEOUT: Duration = patience(Duration::from_secs(5));

/// Objects in one answer, as kubectl asks: a list of thousands must not be one answer of a hundred megabytes.
const PAGE: u32 = 500;

/// Tells where to begin when the API server itself is the trouble.
const ASK_CLUSTER: &str = "kubectl cluster-info";

/// Reads from one API server.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) client: Client,
    /// Namespace of the context.
    pub(super) default_namespace: String,
    timeout: Duration,
}

/// One question, as RBAC knows it.
pub(super) struct Question {
    verb: &'static str,
    resource: String,
    namespace: Option<String>,
}

impl Reader {
    /// Finds the API server and the credentials. Asks nothing yet, but may run the kubeconfig's own login command.
    pub(super) async fn connect(target: &Target) -> Result<Self, Unread> {
        let config = config(target).await.map_err(|message| Unread {
            message: format!("no usable kubeconfig: {message}"),
            next: "kubectl config get-contexts".to_owned(),
        })?;
        Self::new(config, REQUEST_TIMEOUT).map_err(|error| Unread {
            message: format!("the kubeconfig cannot be used: {}", chain(&error)),
            next: "kubectl config view".to_owned(),
        })
    }

    /// A reader that waits this long for each answer.
    pub(super) fn new(mut config: Config, timeout: Duration) -> Result<Self, kube::Error> {
        config.connect_timeout = Some(timeout);
        // Trying again is for those who wait; a person at a prompt is told.
        config.default_retry = false;
        let default_namespace = config.default_namespace.clone();
        Ok(Self::of(Client::try_from(config)?, default_namespace, timeout))
    }

    /// A reader of a client that exists already.
    pub(super) fn of(client: Client, default_namespace: String, timeout: Duration) -> Self {
        Self { client, default_namespace, timeout }
    }

    /// All objects of a kind, in one namespace or in all.
    pub(super) async fn list<K>(&self, namespace: Option<&str>) -> Listing<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        self.pages(namespace, ListParams::default().limit(PAGE)).await
    }

    /// The same from the API server's own cache: a moment old, but several times as fast where there are a thousand.
    pub(super) async fn list_cached<K>(&self, namespace: Option<&str>) -> Listing<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        self.pages(namespace, ListParams::default().match_any()).await
    }

    async fn pages<K>(&self, namespace: Option<&str>, mut parameters: ListParams) -> Listing<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<DeserializeGuard<K>> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let question = Question::new::<K>("list", namespace);
        let mut objects = Vec::new();
        loop {
            let page: ObjectList<_> = match self.ask(&question, api.list(&parameters)).await {
                Ok(page) => page,
                Err(unread) => return Sighted::Unreadable(unread),
            };
            objects.extend(page.items.into_iter().map(understood));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Sighted::Seen(objects),
            }
        }
    }

    /// The operator's Lease, if there is one.
    pub(super) async fn lease(&self, namespace: &str) -> Sighted<Option<Lease>> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let question = Question::new::<Lease>("get", Some(namespace));
        match self.ask(&question, api.get_opt(LEASE_NAME)).await {
            Ok(lease) => Sighted::Seen(lease),
            Err(unread) => Sighted::Unreadable(unread),
        }
    }

    /// The answer to one question, or why there is none.
    pub(super) async fn ask<T>(
        &self,
        question: &Question,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Unread> {
        // Boxed: kube's futures are large, and four of them are held at once.
        match self.within(Box::pin(answer)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(question.unanswered(&error)),
            Err(message) => Err(Unread { message, next: ASK_CLUSTER.to_owned() }),
        }
    }

    /// The answer, or a complaint when it takes too long.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = T>) -> Result<T, String> {
        tokio::time::timeout(self.timeout, answer)
            .await
            .map_err(|_| format!("the API server did not answer within {:?}", self.timeout))
    }
}

impl Question {
    pub(super) fn new<K: Resource<DynamicType = ()>>(verb: &'static str, namespace: Option<&str>) -> Self {
        let group = K::group(&());
        let resource = if group.is_empty() { K::plural(&()).into() } else { format!("{}.{group}", K::plural(&())) };
        Self { verb, resource, namespace: namespace.map(str::to_owned) }
    }

    /// About one object, on which alone a right may have been given.
    pub(super) fn named<K: Resource<DynamicType = ()>>(
        verb: &'static str,
        namespace: Option<&str>,
        name: &str,
    ) -> Self {
        let Self { verb, resource, namespace } = Self::new::<K>(verb, namespace);
        Self { verb, resource: format!("{resource}/{name}"), namespace }
    }

    fn unanswered(&self, error: &kube::Error) -> Unread {
        let Self { verb, resource, namespace } = self;
        let (place, flag) = match namespace {
            Some(namespace) => (format!("in namespace {namespace}"), format!("-n {namespace}")),
            None => ("in all namespaces".to_owned(), "-A".to_owned()),
        };
        let (message, next) = match error {
            kube::Error::Api(status) if status.is_forbidden() => (
                format!("forbidden: your account lacks the verb `{verb}` on `{resource}` {place}"),
                format!("kubectl auth can-i {verb} {resource} {flag}"),
            ),
            kube::Error::Api(status) if status.code == 404 && resource.ends_with(GROUP) => (
                format!("the API server does not know `{resource}`: is the chart installed?"),
                "kubectl api-resources --api-group elysia.dev".to_owned(),
            ),
            error => (complaint(error), ASK_CLUSTER.to_owned()),
        };
        Unread { message, next }
    }
}

/// What went wrong, for errors that mean the same to every question.
pub(super) fn complaint(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => "the API server refused the credentials".to_owned(),
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => {
            format!("the API server answered {} {}", status.code, status.reason)
        }
        kube::Error::Service(cause) => {
            format!("the API server cannot be asked: {}", chain(cause.as_ref()))
        }
        error => format!("the API server cannot be asked: {}", chain(error)),
    }
}

async fn config(target: &Target) -> Result<Config, String> {
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &target.kubeconfig {
        let read = Kubeconfig::read_from(path).map_err(|error| chain(&error))?;
        return Config::from_custom_kubeconfig(read, &options).await.map_err(|error| chain(&error));
    }
    if target.context.is_some() {
        return Config::from_kubeconfig(&options).await.map_err(|error| chain(&error));
    }
    // Without a kubeconfig the account of the pod that this runs in, as kubectl does.
    Config::infer().await.map_err(|error| chain(&error))
}

fn understood<K>(guarded: DeserializeGuard<K>) -> Result<K, Malformed> {
    guarded.0.map_err(|invalid| Malformed {
        namespace: invalid.metadata.namespace.unwrap_or_default(),
        name: invalid.metadata.name.unwrap_or_default(),
        message: invalid.error,
    })
}

/// An error with its causes, each said once: many errors repeat their cause in their own words.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
