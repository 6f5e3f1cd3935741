//! What a restore has done, beside the data: whoever finds it goes on, and does nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AliasState, Conflict, Order, sequence};
use crate::backup::manifest::{FORMAT, FORMAT_VERSION};
use crate::backup::ports::{Mode, Store};
use crate::backup::stored::document;
use crate::backup::transform::identity;
use crate::checkpoint::Digest;
use crate::ports::PortError;

/// How a restore stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum State {
    /// It may have written.
    Running,
    /// It is over.
    Done,
}

/// What became of objects. A restore that was cut off may have counted a part's objects under another word before.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Counts {
    /// Written as the backup has them.
    pub written: u64,
    /// Left as they were.
    pub skipped: u64,
    /// To be written over, and equal to what was there.
    pub unchanged: u64,
    /// Written over what was there, which kept what only it had.
    pub merged: u64,
    /// Not selected.
    pub unselected: u64,
    /// Left out, since a value could not be converted.
    pub unconverted: u64,
    /// Properties, not objects, that were left out because they could not be converted.
    pub dropped: u64,
}

impl Counts {
    pub(super) fn join(&mut self, other: Self) {
        self.written += other.written;
        self.skipped += other.skipped;
        self.unchanged += other.unchanged;
        self.merged += other.merged;
        self.unselected += other.unselected;
        self.unconverted += other.unconverted;
        self.dropped += other.dropped;
    }

    pub(super) fn all(self) -> u64 {
        self.written + self.skipped + self.unchanged + self.merged + self.unselected + self.unconverted
    }
}

/// A restore.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// What every file of ours says.
    pub format: String,
    /// Its version.
    pub version: u32,
    /// The run.
    pub run: String,
    /// The collection in it.
    pub collection: String,
    /// The collection that it becomes.
    pub into: String,
    /// Where.
    pub target: String,
    /// What becomes of objects whose ids are taken.
    pub conflict: Conflict,
    /// What tells its selection and transformations from others; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Digest>,
    /// How it stands.
    pub state: State,
    /// Identity of the restore's object that went on with it last; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The hash of the approval that it goes by, if it needed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
    /// Whether it makes the class itself: said before it does, while there is none of the name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub makes_class: bool,
    /// Whether it may have written objects into the collection as it is now: said before the first one. Receipts of before
    /// this was noted lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_written: Option<bool>,
    /// Which class of the name it writes into, said with `has_written`. Absent where nothing tells classes of one name apart,
    /// as with tenants, and in receipts of before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_into: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// What became of objects.
    pub counts: Counts,
    /// Keys of the parts that are done.
    #[serde(with = "sequence")]
    pub done: BTreeSet<String>,
    /// Keys of the parts whose references are written as well, where those come behind all objects.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty", with = "sequence")]
    pub linked: BTreeSet<String>,
    /// Properties that the class is made without, since they lead to classes that could not be made before it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deferred: BTreeSet<String>,
    /// Tenants that this restore makes. Those that were at rest are put to rest in the end.
    #[serde(default)]
    pub made: BTreeSet<String>,
    /// Aliases of the backup, and how they stand: as they were found before the first write, or in the end. Receipts of before
    /// aliases were restored lack them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, AliasState>,
}

impl Receipt {
    pub(in crate::backup) fn begin(order: &Order, now: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            run: order.run.clone(),
            collection: order.collection.clone(),
            into: order.into.clone(),
            target: order.target.clone(),
            conflict: order.conflict,
            selection: identity(&order.select, &order.transform),
            state: State::Running,
            uid: order.uid.clone(),
            approved: order.approved.clone(),
            makes_class: false,
            has_written: Some(false),
            written_into: None,
            started_at: now,
            updated_at: now,
            counts: Counts::default(),
            done: BTreeSet::new(),
            linked: BTreeSet::new(),
            deferred: BTreeSet::new(),
            made: BTreeSet::new(),
            aliases: BTreeMap::new(),
        }
    }

    /// Whether objects of it may be in the collection.
    pub fn has_written(&self) -> bool {
        self.has_written.unwrap_or(!self.done.is_empty())
    }

    /// Begins again with the first part, in a collection that holds nothing of it.
    pub(super) fn forget(&mut self) {
        self.begin_again();
        self.makes_class = false;
        self.has_written = Some(false);
        self.written_into = None;
    }

    /// Begins again with the first part.
    pub(super) fn begin_again(&mut self) {
        self.has_written = Some(self.has_written());
        self.counts = Counts::default();
        self.done.clear();
        self.linked.clear();
    }

    /// Notes who goes on with it; answers whether that is new.
    pub(super) fn go_on(&mut self, order: &Order) -> bool {
        let before = (self.uid.clone(), self.approved.clone());
        if self.uid != order.uid {
            self.uid.clone_from(&order.uid);
            self.approved = None;
        }
        if order.approved.is_some() {
            self.approved.clone_from(&order.approved);
        }
        before != (self.uid.clone(), self.approved.clone())
    }

    /// Whether it is of this very restore.
    pub(super) fn is_of(&self, order: &Order) -> bool {
        self.run == order.run
            && self.collection == order.collection
            && self.into == order.into
            && self.target == order.target
            && self.conflict == order.conflict
            && self.selection == identity(&order.select, &order.transform)
    }
}

pub(in crate::backup) async fn save<R: Store>(receipts: &R, key: &str, receipt: &Receipt) -> Result<(), PortError> {
    receipts.put(key, document(receipt), Mode::Overwrite).await.map(drop)
}
