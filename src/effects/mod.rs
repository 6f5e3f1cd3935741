//! The only code that writes, to Kubernetes and to Weaviate. It chooses nothing: what to write comes from a plan.

pub mod finalizer;
pub mod kubernetes;
pub mod migration;
pub mod probe;
pub mod proof;
pub mod replicas;
pub mod weaviate;

use elysia_api::condition::Reason;
use elysia_core::collection::judge::Failure;
use elysia_weaviate::WeaviateError;

/// A write that did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// Kubernetes refused or did not answer.
    #[error("failed to {what}")]
    Kubernetes {
        /// What was to be done, to which object.
        what: String,
        /// The API server's words.
        #[source]
        source: Box<kube::Error>,
    },
    /// Weaviate refused or did not answer.
    #[error("failed to {what}")]
    Weaviate {
        /// What was to be done, to which collection.
        what: String,
        /// The server's words.
        #[source]
        source: Box<WeaviateError>,
    },
    /// What was observed is no longer so; the next round looks again.
    #[error("{0}")]
    Changed(String),
    /// Another operator may lead by now: nothing may be written any more, not even that.
    #[error("another operator may lead by now")]
    NotLeading,
    /// What was observed does not allow it.
    #[error("{0}")]
    Refused(String),
}

impl EffectError {
    /// Wraps an error of the API server.
    pub fn kubernetes(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        |source| Self::Kubernetes { what: what.into(), source: Box::new(source) }
    }

    /// Wraps an error of Weaviate.
    pub fn weaviate(what: impl Into<String>) -> impl FnOnce(WeaviateError) -> Self {
        |source| Self::Weaviate { what: what.into(), source: Box::new(source) }
    }

    /// Bounded and stable: the `reason` label of a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kubernetes { .. } => "kubernetes",
            Self::Weaviate { .. } => "weaviate",
            Self::Changed(_) => "changed",
            Self::NotLeading => "not_leading",
            Self::Refused(_) => "refused",
        }
    }

    /// The whole chain in one line, for a condition.
    pub fn chain(&self) -> String {
        chain(self)
    }

    /// As a collection's conditions tell it.
    pub fn failure(&self) -> Failure {
        let retryable = match self {
            Self::Kubernetes { .. } | Self::Changed(_) | Self::NotLeading => true,
            Self::Weaviate { source, .. } => source.retryable(),
            Self::Refused(_) => false,
        };
        Failure { message: self.chain(), reason: Reason::Unknown, retryable }
    }
}

/// An error and all its sources in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
