//! Which tenant a run has woken, noted in the store before it is: whoever comes after a worker that died puts it back to
//! rest, and does not take it for one that was awake.
//!
//! One run wakes one tenant at a time, so each run has one note at most: `woken/RUN.json`.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::backup::layout;
use crate::backup::manifest::{FORMAT, FORMAT_VERSION, Owner};
use crate::backup::patient::Patient;
use crate::backup::ports::{Mode, ObjectSource, Store};
use crate::backup::stored::{self, StoredError, document};
use crate::ports::{Clock, PortError};
use crate::retry::{Retry, Stop, patiently};

/// Notes that are looked at: one is left by each worker that died, and the next run takes it away.
const MOST_NOTES: usize = 1_000;

/// How long a tenant that a run left awake is put back to rest. After that whoever found it awake may count on it.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A tenant that a run woke and has not put back to rest, as far as it could say.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Woken {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Whose run.
    pub owner: Owner,
    /// The run's id.
    pub run: String,
    /// The collection.
    pub collection: String,
    /// The tenant, which was at rest.
    pub tenant: String,
    /// When.
    pub at: Timestamp,
}

/// Notes it; before the tenant is woken.
pub(super) async fn note<S: Store>(
    store: &S,
    owner: &Owner,
    run: &str,
    (collection, tenant): (&str, &str),
    at: Timestamp,
) -> Result<(), PortError> {
    let woken = Woken {
        format: FORMAT.to_owned(),
        version: FORMAT_VERSION,
        owner: owner.clone(),
        run: run.to_owned(),
        collection: collection.to_owned(),
        tenant: tenant.to_owned(),
        at,
    };
    store.put(&layout::woken(run), document(&woken), Mode::Overwrite).await.map(drop)
}

/// Takes the note away; after the tenant is at rest again.
pub(super) async fn forget<S: Store>(store: &S, run: &str) -> Result<(), PortError> {
    store.remove(&[layout::woken(run)]).await
}

/// What runs of this owner have woken and not put back to rest: those that died, and those that are under way.
pub async fn woken<S: Store, C: Clock>(
    store: &S,
    owner: &Owner,
    (retry, clock, stop): (Retry, &C, &Stop),
) -> Result<Vec<Woken>, PortError> {
    let store = &Patient::new(store, (retry, clock, stop));
    let mut found = Vec::new();
    for key in store.files(layout::WOKEN, MOST_NOTES).await? {
        match stored::read::<Woken, _>(store, &key).await {
            Ok(Some((woken, _))) if woken.owner == *owner && layout::is_run_id(&woken.run) => found.push(woken),
            // A stranger's, or gone meanwhile.
            Ok(_) => {}
            Err(StoredError::Port(error)) => return Err(error),
            // It names no tenant that could be put to rest.
            Err(error) => warn!(key, %error, "a note of a woken tenant cannot be read"),
        }
    }
    Ok(found)
}

/// Puts back to rest what a run left awake that is under way no more, and takes its note away; answers whether the tenant
/// was awake. Somebody who has come to use it meanwhile cannot be told from the run that woke it: a tenant that was at rest
/// a week ago at most is at rest again.
pub async fn put_back<S: Store, O: ObjectSource, C: Clock>(
    store: &S,
    source: &O,
    woken: &Woken,
    patience: (Retry, &C, &Stop),
) -> Result<bool, PortError> {
    let Woken { collection, tenant, run, at, .. } = woken;
    let state = patiently(patience, async || source.tenant(collection, tenant).await).await?;
    let is_meant = state.is_some_and(|state| state.is_awake()) && patience.1.now().duration_since(*at) <= REMEMBERED;
    if is_meant {
        patiently(patience, async || source.rest(collection, tenant).await).await?;
        info!(run, collection, tenant, "put a tenant back to rest that a run had left awake");
    }
    patiently(patience, async || forget(store, run).await).await?;
    Ok(is_meant)
}
