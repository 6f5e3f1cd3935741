//! Aliases that led to a collection when it was backed up: made again behind its last object, and never taken from where
//! they lead by now, since others look at what is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::version::before_aliases;
use super::{Order, RestoreError, Restorer};
use crate::backup::ports::{Named, Store, Target};
use crate::ports::{Clock, PortError};

/// How an alias of the backup stands in the cluster that is restored into.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum AliasState {
    /// There is nothing of that name: it is made behind the last object.
    Absent,
    /// Its name leads to the restored collection.
    Leads,
    /// It leads to another collection, and stays so.
    Elsewhere {
        /// Which.
        collection: String,
    },
    /// A collection has that name.
    Taken,
    /// The servers are older than aliases.
    Unknown {
        /// Their version.
        version: String,
    },
    /// The restore leaves aliases out.
    Skipped,
}

impl AliasState {
    /// Why it does not lead to the restored collection when everything is done; `None` where it does, or is still to be made.
    pub fn why_not(&self) -> Option<String> {
        match self {
            Self::Absent | Self::Leads => None,
            Self::Elsewhere { collection } => Some(format!("it leads to {collection}, and stays so")),
            Self::Taken => Some("a collection has that name".to_owned()),
            Self::Unknown { version } => Some(format!("servers of version {version} have no aliases")),
            Self::Skipped => Some("the restore leaves aliases out".to_owned()),
        }
    }
}

/// How these aliases stand; nothing is written.
pub(super) async fn look<T: Target>(
    target: &T,
    aliases: &[String],
    order: &Order,
) -> Result<BTreeMap<String, AliasState>, PortError> {
    let mut out = BTreeMap::new();
    if aliases.is_empty() {
        return Ok(out);
    }
    let all = |state: &AliasState| aliases.iter().map(|alias| (alias.clone(), state.clone())).collect();
    if !order.aliases {
        return Ok(all(&AliasState::Skipped));
    }
    if let Some(version) = target.version().await?.filter(|version| before_aliases(version)) {
        return Ok(all(&AliasState::Unknown { version }));
    }
    for alias in aliases {
        out.insert(alias.clone(), state(target, alias, order).await?);
    }
    Ok(out)
}

async fn state<T: Target>(target: &T, alias: &str, order: &Order) -> Result<AliasState, PortError> {
    if alias == order.into {
        // The collection itself bears the name that led to it.
        return Ok(AliasState::Leads);
    }
    Ok(match target.named(alias).await? {
        Named::Nothing => AliasState::Absent,
        Named::Collection => AliasState::Taken,
        Named::Alias(collection) if collection == order.into => AliasState::Leads,
        Named::Alias(collection) => AliasState::Elsewhere { collection },
    })
}

impl<S: Store, R: Store, T: Target, C: Clock> Restorer<'_, S, R, T, C> {
    /// Makes those that are absent; answers how all of them stand then. Hours have passed since they were looked at.
    pub(super) async fn make_aliases(&self, aliases: &[String]) -> Result<BTreeMap<String, AliasState>, RestoreError> {
        let mut found = look(&self.patient(self.target), aliases, self.order).await?;
        for (alias, is) in &mut found {
            if *is != AliasState::Absent {
                continue;
            }
            let made = self.call(async || self.target.make_alias(alias).await).await;
            // An answer may have been lost, and somebody may have come first.
            *is = self.call(async || state(self.target, alias, self.order).await).await?;
            if let (AliasState::Absent, Err(error)) = (&*is, made) {
                let message = format!(
                    "all objects are written, and alias {alias} could not be made: {}; the same restore goes on with it",
                    error.message
                );
                return Err(PortError { message, ..error }.into());
            }
        }
        Ok(found)
    }
}
