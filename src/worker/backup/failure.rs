//! Why work on backups ended early, in words, and whether another attempt can help.

use elysia_engine::backup::restore::{Blocker, RestoreError};
use elysia_engine::backup::retire::RetireError;
use elysia_engine::backup::stored::StoredError;
use elysia_engine::backup::write::WriteError;
use elysia_engine::copy::CopyError;
use elysia_engine::ports::PortError;

use crate::worker::{WorkerError, chain};

/// Why work ended early.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What is wrong, where, and what to do next.
    pub message: String,
    /// Whether another attempt would fail alike until somebody changes something.
    pub is_permanent: bool,
}

impl Failure {
    pub(crate) fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_permanent: true }
    }

    fn of(error: &(dyn std::error::Error + 'static), is_permanent: bool) -> Self {
        Self { message: chain(error), is_permanent }
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        Self { is_permanent: !error.retryable, message: error.message }
    }
}

impl From<StoredError> for Failure {
    fn from(error: StoredError) -> Self {
        match error {
            StoredError::Port(error) => error.into(),
            StoredError::Missing(_)
            | StoredError::TooLarge { .. }
            | StoredError::Unreadable { .. }
            | StoredError::Crowded { .. }
            | StoredError::Newer { .. } => Self::of(&error, true),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stored(error) => error.into(),
            WriteError::Port(error) => error.into(),
            // The next attempt reads the class as it is then.
            WriteError::Changed(_) | WriteError::Restored { .. } | WriteError::Stopped => Self::of(&error, false),
            error => Self::of(&error, true),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Stored(error) => error.into(),
            RestoreError::Port(error) => error.into(),
            RestoreError::Waits { .. } | RestoreError::Stopped => Self::of(&error, false),
            RestoreError::Blocked(ref blockers) => Self::of(&error, !blockers.iter().all(Blocker::is_passing)),
            error => Self::of(&error, true),
        }
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Stored(error) => error.into(),
            CopyError::Port(error) => error.into(),
            CopyError::Stopped => Self::of(&error, false),
            error => Self::of(&error, true),
        }
    }
}

impl From<RetireError> for Failure {
    fn from(error: RetireError) -> Self {
        match error {
            RetireError::Stored(error) => error.into(),
            RetireError::Port(error) => error.into(),
            error => Self::of(&error, true),
        }
    }
}

impl From<Failure> for WorkerError {
    fn from(failure: Failure) -> Self {
        let Failure { message, is_permanent } = failure;
        if is_permanent { Self::Permanent(message) } else { Self::Again(message) }
    }
}
