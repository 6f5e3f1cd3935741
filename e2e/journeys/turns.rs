//! Which journeys may run beside each other.
//!
//! Most of a journey is waiting, so two of them at once fit into the two cores of the smallest machine that CI has. Each has a
//! namespace and servers of its own; the operator is everybody's. One that is killed in the middle of another's
//! journey must not be seen by that one. Where the operator is taken away for longer, or a time is promised, a
//! journey has the ground to itself.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Fair: who waits to be alone is not overtaken by those who come after.
static GROUND: RwLock<()> = RwLock::const_new(());

/// Volumes are emptied by one at a time: a second one would go on with a list of volumes that are already in use again.
static VOLUMES: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Held by a journey as long as it runs.
pub(crate) enum Turn {
    Beside { _others: RwLockReadGuard<'static, ()> },
    Alone { _nobody: RwLockWriteGuard<'static, ()> },
}

impl Turn {
    /// Waits until nobody has the ground to himself.
    pub(crate) async fn beside_others() -> Self {
        Self::Beside { _others: GROUND.read().await }
    }

    /// Waits until no other journey runs.
    pub(crate) async fn alone() -> Self {
        Self::Alone { _nobody: GROUND.write().await }
    }
}

/// Empties the volumes whose claims are gone.
pub(crate) fn recycle_volumes() -> anyhow::Result<Vec<String>> {
    let _one_at_a_time = VOLUMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    elysia_e2e::ground::Ground::running().and_then(|ground| ground.recycle_volumes())
}
