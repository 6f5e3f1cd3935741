//! Files of a followed feed that leave their place once every line of them is counted.
//!
//! | moment | the ledger | the file |
//! |---|---|---|
//! | every line is counted | has its record | in its place |
//! | it is to go | says where to, before anything moves | in its place |
//! | it went | has neither record nor place | there |
//!
//! A worker that dies in between is followed by one that reads in the ledger what was meant, and finds out which of the
//! last two it is by the file itself, not by its name: another file of that name may have come. A file that is not what
//! was counted any more stays where it is, and the next look reads it on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::feed::FeedError;
use crate::follow::Record;
use crate::ledger::Ledger;
use crate::ports::{Clock, LedgerStore, PutAway, Sink, Source};
use crate::run::RunError;
use crate::settle::Settler;

/// Files that are meant to go at once: what is meant stands in the ledger beside the records.
const AT_ONCE: usize = 100;

/// A file on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaving {
    /// Its name from then on.
    pub to: String,
    /// Its version when every line of it was counted.
    pub version: String,
}

impl<K: Sink, L: LedgerStore, C: Clock> Settler<'_, K, L, C> {
    /// Has every file put away that is counted to its end. Everything else is in the ledger by now.
    pub(crate) async fn put_away<S: Source>(&mut self, source: &S) -> Result<(), RunError> {
        if !source.puts_away() {
            return Ok(());
        }
        let Some(followed) = &self.ledger().followed else { return Ok(()) };
        let counted = followed.files.iter().filter(|(_, record)| is_counted(record));
        let counted = counted.filter_map(|(name, record)| Some((name.clone(), record.version.clone()?)));
        let counted = counted.collect::<Vec<_>>();
        for some in counted.chunks(AT_ONCE) {
            let mut leaving = BTreeMap::new();
            for (name, version) in some {
                if let Some(to) = source.destination(name).await.map_err(FeedError::from)? {
                    leaving.insert(name.clone(), Leaving { to, version: version.clone() });
                }
            }
            if leaving.is_empty() {
                continue;
            }
            if let Some(followed) = &mut self.keeper.ledger.followed {
                followed.leaving = leaving;
            }
            self.save().await?;
            self.finish_leaving(source).await?;
        }
        Ok(())
    }

    /// Does what the ledger says is meant.
    pub(crate) async fn finish_leaving<S: Source>(&mut self, source: &S) -> Result<(), RunError> {
        let Some(followed) = self.keeper.ledger.followed.as_mut() else { return Ok(()) };
        let meant = std::mem::take(&mut followed.leaving);
        if meant.is_empty() {
            return Ok(());
        }
        for (name, leaving) in &meant {
            let put_away = source.put_away(name, &leaving.version, &leaving.to).await;
            match put_away.map_err(FeedError::from) {
                Ok(PutAway::Done) => {
                    info!(file = name, to = leaving.to, "a file is put away: every line of it is counted");
                    went(&mut self.keeper.ledger, name, &leaving.to);
                }
                Ok(PutAway::Changed) => warn!(file = name, "a file changed behind its last line, and stays"),
                Ok(PutAway::Occupied) => warn!(file = name, to = leaving.to, "another file is there; it stays for now"),
                Err(error) => {
                    // What went is not forgotten, and what did not is meant still.
                    let left = meant.iter().filter(|(other, _)| *other >= name);
                    let left = left.map(|(name, leaving)| (name.clone(), leaving.clone())).collect();
                    if let Some(followed) = &mut self.keeper.ledger.followed {
                        followed.leaving = left;
                    }
                    self.save().await?;
                    return Err(error.into());
                }
            }
        }
        self.save().await
    }
}

fn is_counted(record: &Record) -> bool {
    !record.is_partial && !record.is_gone && record.waiting.is_none()
}

/// A file that comes under the name is another one; and a rejected line is found where it is now.
fn went(ledger: &mut Ledger, name: &str, to: &str) {
    if let Some(followed) = &mut ledger.followed {
        followed.files.remove(name);
        followed.put_away += 1;
    }
    ledger.rejects.rename(name, to);
    for letter in ledger.dead_letters.iter_mut().filter(|letter| letter.file == name) {
        to.clone_into(&mut letter.file);
    }
}
