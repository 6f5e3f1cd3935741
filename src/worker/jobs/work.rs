//! What the operator tells the worker of a backup or a restore. No secrets: whoever may read the Job reads this.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::backup::NativeOptions;
use elysia_core::retention::Retention;
use elysia_engine::backup::filter::Expression;
use elysia_engine::backup::level::Level;
use elysia_engine::backup::manifest::RunMode;
use elysia_engine::backup::transform::{How, Salt, Select, Step};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::worker::backup::work::{BackupWork, RestoreWork};

/// The work of one Job of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupJob {
    /// What is written, where from and where to. Its run has no id: the worker makes one, and finds one of this order.
    pub backup: BackupWork,
    /// What its runs hold, and what they build on.
    #[serde(default)]
    pub choice: ChoiceWork,
    /// Names the work, in the ledger and in the id of its run.
    pub order: String,
    /// `ConfigMap` that holds the ledger. It exists already: the worker may get, update and patch this one alone.
    pub ledger: String,
    /// The servers write the run themselves, and this is asked of them.
    #[serde(default)]
    pub native: Option<NativeOptions>,
    /// Instead of writing a run: this Suspect one, and those before it, are accepted.
    #[serde(default)]
    pub accept: Option<String>,
    /// Instead of writing a run: the newest good one is restored into scratch collections and compared.
    #[serde(default)]
    pub drill: Option<DrillWork>,
    /// Collections that are left out, and why.
    #[serde(default)]
    pub left_out: BTreeMap<String, String>,
    /// Runs that restores read which are not over, as far as the operator knows. Of some no receipt lies beside the runs: of
    /// those from a volume, or into another cluster than the runs are of.
    #[serde(default)]
    pub in_use: BTreeSet<String>,
    /// The operator's time when it made the Job; absent in Jobs of before it was told.
    #[serde(default)]
    pub now: Option<Timestamp>,
    /// By how many of a hundred objects a collection may have shrunk.
    pub max_shrink: u8,
    /// Whether the run is read back.
    pub verify: bool,
    /// Which runs are kept.
    #[serde(default)]
    pub retention: RetentionWork,
    /// The zone in which days begin; UTC when absent.
    #[serde(default)]
    pub zone: Option<String>,
    /// How long all of it may take, in seconds: a worker whose node nobody reaches any more ends itself.
    pub deadline_seconds: u64,
}

/// What a policy's runs hold, and what they build on. The key is not here: it comes in a variable of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChoiceWork {
    /// Objects, or classes alone.
    pub mode: RunMode,
    /// Which objects.
    pub filter: Option<Expression>,
    /// Of so many runs the first stands for itself; absent: all do.
    pub full_every: Option<u32>,
    /// Whether they are encrypted: a worker that has no key then writes nothing.
    pub is_encrypted: bool,
    /// How hard parts are compressed.
    pub level: Level,
}

/// What a restore takes of a run, and makes of it. Salts and the key are not here: they come in variables of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChosenWork {
    /// What is taken.
    pub select: Select,
    /// What is made of it.
    pub transform: Vec<Step>,
    /// Whether the collection must be there already.
    pub skip_schema: bool,
    /// Whether aliases of the backup are made, if that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aliases: Option<bool>,
}

impl ChosenWork {
    /// Numbers of the steps, from 1, that need a salt.
    pub fn salted(&self) -> impl Iterator<Item = usize> {
        let needs =
            |(at, step): (usize, &Step)| matches!(step, Step::Mask { how: How::Hash { .. }, .. }).then_some(at + 1);
        self.transform.iter().enumerate().filter_map(needs)
    }

    /// Puts the salts in their places; the error says which is missing.
    pub fn season(&mut self, salt: impl Fn(usize) -> Option<String>) -> Result<(), String> {
        season(&mut self.transform, salt)
    }
}

/// Puts the salts of these steps in their places; the error says which is missing.
pub(super) fn season(steps: &mut [Step], salt: impl Fn(usize) -> Option<String>) -> Result<(), String> {
    for (at, step) in steps.iter_mut().enumerate() {
        if let Step::Mask { how: How::Hash { salt: place }, .. } = step {
            let text = salt(at + 1).filter(|text| !text.is_empty());
            *place = Salt(text.ok_or_else(|| format!("the salt of transformation {} is missing", at + 1))?);
        }
    }
    Ok(())
}

/// A restore drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillWork {
    /// The cluster that the endpoints lead to, with its uid.
    pub cluster: String,
    /// Objects of a collection that are compared one by one, about.
    pub sample: u32,
    /// Searches in a collection.
    pub searches: u32,
    /// Of a hundred nearest objects, so many must be found.
    pub minimum_overlap: u8,
    /// Replicas of scratch collections; as many as the collections had when absent.
    #[serde(default)]
    pub factor: Option<u32>,
}

/// Which runs are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetentionWork {
    /// The newest.
    pub last: Option<u32>,
    /// Of days.
    pub daily: Option<u32>,
    /// Of weeks.
    pub weekly: Option<u32>,
    /// Of months.
    pub monthly: Option<u32>,
    /// None that is older.
    pub max_age_seconds: Option<i64>,
}

impl RetentionWork {
    /// As the operator tells it.
    pub fn of(rules: &Retention) -> Self {
        let Retention { last, daily, weekly, monthly, max_age } = *rules;
        Self { last, daily, weekly, monthly, max_age_seconds: max_age.map(|age| age.as_secs()) }
    }

    /// As it is decided by.
    pub fn rules(self) -> Retention {
        let Self { last, daily, weekly, monthly, max_age_seconds } = self;
        Retention { last, daily, weekly, monthly, max_age: max_age_seconds.map(SignedDuration::from_secs) }
    }
}

/// The work of one Job of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreJob {
    /// What is restored. Its run may be `latest`: the worker finds it, once, and the receipt keeps it.
    pub restore: RestoreWork,
    /// What the ledger calls the restore.
    pub known_as: String,
    /// The pattern of the cluster that protects the collection.
    #[serde(default)]
    pub protection: Option<String>,
    /// What is taken of the run, and made of it.
    #[serde(default)]
    pub chosen: ChosenWork,
    /// Names the work.
    pub order: String,
    /// The value of `elysia.dev/run-now` that it is asked under.
    #[serde(default)]
    pub run_now: Option<String>,
    /// `ConfigMap` that holds the ledger.
    pub ledger: String,
    /// Whether the receipt lies in that `ConfigMap` as well: a volume is mounted for reading alone.
    #[serde(default)]
    pub keeps_receipt: bool,
    /// What a person approved.
    #[serde(default)]
    pub approval: Option<ApprovalWork>,
    /// How long all of it may take, in seconds.
    pub deadline_seconds: u64,
}

/// What a person approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalWork {
    /// The hash.
    pub hash: String,
    /// The run that is written over what is there.
    pub run: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_survives_the_way_to_the_worker() {
        let rules = Retention { last: Some(3), max_age: Some(SignedDuration::from_hours(48)), ..Retention::default() };
        let text = serde_json::to_string(&RetentionWork::of(&rules)).unwrap();
        assert_eq!(serde_json::from_str::<RetentionWork>(&text).unwrap().rules(), rules);
    }

    #[test]
    fn a_choice_survives_the_way_to_the_worker_without_its_salts() {
        let mut chosen: ChosenWork = serde_json::from_value(serde_json::json!({
            "select": {"filter": "lang = 'en'"},
            "transform": [
                {"drop": {"property": "a"}}, {"mask": {"property": "b", "how": {"hash": {"salt": ""}}}},
                {"mask": {"property": "c", "how": {"redact": {}}}}, {"mask": {"property": "d", "how": {"hash": {"salt": ""}}}},
            ],
        }))
        .unwrap();
        let text = serde_json::to_string(&chosen).unwrap();
        assert_eq!(serde_json::from_str::<ChosenWork>(&text).unwrap(), chosen);
        assert_eq!(chosen.salted().collect::<Vec<_>>(), [2, 4]);
        let missing = chosen.clone().season(|step| (step == 2).then(|| "s".to_owned())).unwrap_err();
        assert_eq!(missing, "the salt of transformation 4 is missing");
        chosen.season(|step| Some(format!("salt of {step}"))).unwrap();
        assert!(!format!("{chosen:?}").contains("salt of"), "{chosen:?}");
        let is_of_four =
            matches!(&chosen.transform[3], Step::Mask { how: How::Hash { salt }, .. } if salt.0 == "salt of 4");
        assert!(is_of_four);
    }
}
