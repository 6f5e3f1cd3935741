//! A live copy of one collection into another, of the same cluster or of another one, while others write to the source.
//!
//! ```text
//! look      ─▶ every blocker, or none        before the first write
//! state     ─▶ about to make the target      what is made after that is this copy's own
//! first     ─▶ every object, whatever the target has
//! stamps    ─▶ what was written since the last pass began, or is missing; what vanished is removed     until little is left
//! compare   ─▶ contents of every id on both sides, for a final order; what differs is mended once and compared again
//! ```
//!
//! Nothing is written to the source, but that its tenants at rest are woken while they are read. Nothing is removed from a
//! target that was there before the copy. The state is written beside the data as it goes on: a copier that is killed at
//! any moment is followed by one that goes on from there, and what is done twice changes nothing, for every object carries
//! its id.
//!
//! Memory is bounded: each of [`Order::lanes`] stretches holds a page of each side and a batch of objects.

mod blocker;
mod class;
mod join;
mod look;
mod pass;
pub mod ports;
pub mod state;
mod tenants;
mod unit;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;

pub use blocker::Blocker;
pub use class::uncopied;
pub use look::{Look, look};

use self::ports::{Mirror, Side};
use self::state::{Holding, Kind, State};
use crate::backup::ports::Store;
use crate::backup::stored::StoredError;
use crate::backup::transform::{Step, Unconverted};
use crate::backup::write::LANES;
use crate::ports::{Clock, PortError};
use crate::retry::{Faults, Patience, Retry, Stop, with_retry};

/// By how much the clocks of the nodes, and of whoever copies, may differ, together with how long a write may be on its way
/// between the moment that is noted in it and the one at which it is seen: a request is given up after a minute or two,
/// and machines whose clocks differ by minutes fail otherwise. Objects that were written so shortly before the last pass are
/// read once more, which costs little, and written only if they differ. What was written with a clock that is further off
/// is found by the comparison of a final order.
pub const CLOCK_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// Objects that a pass may have had to change for no other pass to follow: they are caught up with in seconds once nobody
/// writes any more.
pub const FEW: u64 = 1000;

/// Passes of an order that is not final: where each leaves as much to do as the one before, more of them do not help.
pub const MOST_PASSES: u32 = 8;

/// Comparisons of a final order: the first one may find what a clock that is off has hidden, and what others have written
/// to the target. What still differs at the second is written by somebody while it is compared.
const MOST_COMPARISONS: u32 = 2;

/// Between two writes of the state: what is done in that time is done again after a kill.
const SAVE_EACH: Duration = Duration::from_secs(2);

/// What is to be copied.
#[expect(clippy::struct_excessive_bools, reason = "each is a leave of its own")]
#[derive(Clone, Debug)]
pub struct Order {
    /// Names the copy: a state of another one says nothing of it.
    pub copy: String,
    /// Names the work: another name is another order of the same copy.
    pub order: String,
    /// The collection that is read.
    pub from: String,
    /// Where, for people.
    pub source: String,
    /// The collection that is written.
    pub into: String,
    /// Where.
    pub target: String,
    /// Whether both are one cluster.
    pub is_within: bool,
    /// Where the state lies.
    pub state: String,
    /// The class to be made; the source's, as the transformation leaves it, when absent.
    pub class: Option<Value>,
    /// Replicas of a class that has to be made; those of that class when absent.
    pub factor: Option<u64>,
    /// Shards of a class that has to be made; likewise.
    pub shards: Option<u64>,
    /// Whether the target is there and was made, empty, for this copy.
    pub is_made: bool,
    /// Whether such a target may hold objects that no state of this copy speaks of: a person approved that they are written
    /// over. Otherwise one with objects and without a state is somebody else's.
    pub may_hold: bool,
    /// What becomes of objects on their way.
    pub transform: Vec<Step>,
    /// Whether nobody writes to the source any more.
    pub is_final: bool,
    /// Objects that a pass may have had to change for no other one to follow.
    pub few: u64,
    /// Passes at most, unless it is final.
    pub most_passes: u32,
    /// Stretches at once.
    pub lanes: usize,
    /// Between two writes of the state.
    pub save_each: Duration,
    /// With what failed calls are met.
    pub retry: Retry,
}

impl Order {
    /// A copy with everything as is usual.
    pub fn new(order: &str, from: &str, into: &str, state: &str) -> Self {
        Self {
            copy: "copy".to_owned(),
            order: order.to_owned(),
            from: from.to_owned(),
            source: String::new(),
            into: into.to_owned(),
            target: String::new(),
            is_within: true,
            state: state.to_owned(),
            class: None,
            factor: None,
            shards: None,
            is_made: false,
            may_hold: false,
            transform: Vec::new(),
            is_final: false,
            few: FEW,
            most_passes: MOST_PASSES,
            lanes: LANES,
            save_each: SAVE_EACH,
            retry: Retry::default(),
        }
    }
}

/// How far a copy is: its state as it stands in memory.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<Option<State>>,
    /// Held by whoever writes the state down.
    saving: tokio::sync::Mutex<()>,
}

impl Progress {
    /// The state; `None` before it has begun.
    pub fn state(&self) -> Option<State> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state, or changes it.
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, CopyError> {
        self.lock().as_mut().map(change).ok_or(CopyError::NotBegun)
    }
}

/// Why a copy ends early.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Nothing more was written.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Blocked(Vec<Blocker>),
    /// A value that cannot be converted, and was not to be left out.
    #[error(transparent)]
    Unconverted(#[from] Unconverted),
    /// The servers refuse an object.
    #[error("object {id} is refused: {reason}")]
    Refused {
        /// Which.
        id: Uuid,
        /// In the server's words.
        reason: String,
    },
    /// The servers do not list in the order of ids.
    #[error("{collection} lists {id} out of order: nothing can be said of what is missing")]
    Disorder {
        /// Which.
        collection: String,
        /// The id.
        id: Uuid,
    },
    /// The state is not what it should be.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Only a defect of ours leads here.
    #[error("the copy was not begun")]
    NotBegun,
    /// It was asked to stop.
    #[error("stopped as asked; the same copy goes on where it stopped")]
    Stopped,
}

/// What a copy is done with.
pub struct Copier<'a, R, S, T, M, C> {
    /// Where the state lies.
    pub states: &'a R,
    /// What is read.
    pub source: &'a S,
    /// The other side, as it is read.
    pub mirrored: &'a T,
    /// The other side, as it is written.
    pub mirror: &'a M,
    /// The time.
    pub clock: &'a C,
    /// Ends it early.
    pub stop: &'a Stop,
    /// How far it is.
    pub progress: &'a Progress,
    /// What is to be copied.
    pub order: &'a Order,
}

/// What comes next; `None`: the order is done.
fn next(state: &State, order: &Order, by_stamps: bool) -> Option<Kind> {
    let catch_up = if by_stamps { Kind::Stamps } else { Kind::Contents };
    if state.caught_up_to.is_none() {
        return Some(Kind::First);
    }
    if state.order_passes == 0 {
        return Some(catch_up);
    }
    if !order.is_final {
        let is_near = state.behind.is_some_and(|behind| behind <= order.few);
        return (!is_near && state.order_passes < order.most_passes).then_some(catch_up);
    }
    match &state.compared {
        None => Some(Kind::Compare),
        Some(compared) if compared.is_same() || state.order_comparisons >= MOST_COMPARISONS => None,
        Some(_) => Some(Kind::Contents),
    }
}

impl<R: Store, S: Side, T: Side, M: Mirror, C: Clock> Copier<'_, R, S, T, M, C> {
    /// Copies, or goes on with it, until the order is done. One that is done already does nothing.
    pub async fn copy(&self) -> Result<State, CopyError> {
        let Look { state, class, blockers, transformation, .. } = self.look().await?;
        let (true, Some(transformation)) = (blockers.is_empty(), transformation) else {
            return Err(CopyError::Blocked(blockers));
        };
        *self.progress.lock() = Some(state);
        if self.progress.with(|state| state.order_is_done)? {
            return self.progress.with(|state| state.clone());
        }
        self.begin(class.as_ref()).await?;
        self.put_to_rest().await?;
        let by_stamps = self.source.tells_times() && !transformation.drops_objects();
        while let Some(kind) = self.progress.with(|state| match &state.pass {
            Some(pass) => Some(pass.kind),
            None => next(state, self.order, by_stamps),
        })? {
            // A class gets properties while it is copied.
            let kit = pass::Kit::new(transformation.clone(), &self.mirror_class().await?);
            let kind = self.resumed(kind, &kit)?;
            self.pass(&kit, kind).await?;
        }
        self.progress.with(|state| state.order_is_done = true)?;
        self.save().await?;
        self.progress.with(|state| state.clone())
    }

    /// What a pass does that goes on: one that was cut off may have left an object without its references, and by the times
    /// alone it would be passed over. So the rest of it goes by contents.
    fn resumed(&self, kind: Kind, kit: &pass::Kit) -> Result<Kind, CopyError> {
        let is_begun = self.progress.with(|state| state.pass.is_some())?;
        let by_contents = is_begun && kind == Kind::Stamps && !kit.references.is_empty();
        Ok(if by_contents { Kind::Contents } else { kind })
    }

    /// Makes the target where there is none. That it will be made is noted before: what is found after a crash was made by
    /// this copy, since there was none when that was noted. Servers that refuse it have made none: then the note is taken
    /// back, for what is found later was made by somebody else.
    async fn begin(&self, class: Option<&Value>) -> Result<(), CopyError> {
        self.save().await?;
        if let Some(class) = class
            && let Err(error) = self.call(async || self.mirror.create(class).await).await
        {
            let is_untouched = self.progress.with(|state| state.holding)? == Holding::Absent;
            if is_untouched && !error.retryable && self.call(async || self.mirror.class().await).await?.is_none() {
                let note = [self.order.state.clone()];
                self.call(async || self.states.remove(&note).await).await?;
            }
            return Err(error.into());
        }
        if self.progress.with(|state| state.holding)? == Holding::Absent {
            self.progress.with(|state| state.holding = Holding::Own)?;
        }
        let (source, target) = self.identities().await?;
        self.progress.with(|state| {
            state.source_identity = state.source_identity.take().or(source);
            state.target_identity = state.target_identity.take().or(target);
        })?;
        self.save().await
    }

    async fn mirror_class(&self) -> Result<Value, CopyError> {
        let class = self.call(async || self.mirror.class().await).await?;
        class.ok_or_else(|| CopyError::Blocked(vec![Blocker::Gone { into: self.order.into.clone() }]))
    }

    async fn identities(&self) -> Result<(Option<String>, Option<String>), PortError> {
        let source = self.call(async || self.source.identity(&self.order.from).await).await?;
        let target = self.call(async || self.mirrored.identity(&self.order.into).await).await?;
        Ok((source, target))
    }

    /// Neither side was made anew since the copy began, as far as that can be told, and nobody uses the target: looked at
    /// before each pass, and before anything is removed.
    async fn are_the_same(&self) -> Result<(), CopyError> {
        let (source, target) = self.identities().await?;
        let known = self.progress.with(|state| (state.source_identity.clone(), state.target_identity.clone()))?;
        let is_other = |known: &Option<String>, found: &Option<String>| matches!((known, found), (Some(known), Some(found)) if known != found);
        let anew = |collection: &str, cluster: &str| {
            let (collection, cluster) = (collection.to_owned(), cluster.to_owned());
            Err(CopyError::Blocked(vec![Blocker::MadeAnew { collection, cluster }]))
        };
        if is_other(&known.0, &source) {
            return anew(&self.order.from, &self.order.source);
        }
        if is_other(&known.1, &target) {
            return anew(&self.order.into, &self.order.target);
        }
        // An alias that was moved here by hand: its writers are acknowledged, and the source knows nothing of what they write.
        let aliases = self.call(async || self.mirrored.aliases(&self.order.into).await).await?;
        match aliases.into_iter().next() {
            Some(alias) => {
                let collection = self.order.into.clone();
                Err(CopyError::Blocked(vec![Blocker::InUse { collection, alias }]))
            }
            None => Ok(()),
        }
    }

    async fn look(&self) -> Result<Look, CopyError> {
        let Self { states, source, mirror, order, clock, .. } = self;
        Ok(look::look(*states, *source, *mirror, order, clock.now()).await?)
    }

    async fn save(&self) -> Result<(), CopyError> {
        // One after another: an older state that lands last would forget a tenant that was woken.
        let _turn = self.progress.saving.lock().await;
        let state = self.progress.with(|state| {
            state.updated_at = self.clock.now();
            state.clone()
        })?;
        Ok(self.call(async || state::save(self.states, &self.order.state, &state).await).await?)
    }

    fn alive(&self) -> Result<(), CopyError> {
        if self.stop.is_set() { Err(CopyError::Stopped) } else { Ok(()) }
    }

    async fn call<V>(&self, call: impl AsyncFnMut() -> Result<V, PortError>) -> Result<V, PortError> {
        let faults = Faults::default();
        let patience =
            Patience { retry: self.order.retry, clock: self.clock, stop: self.stop, faults: &faults, breaker: None };
        with_retry(&patience, call).await
    }
}

/// What was written to the source before this may have been missed by a pass that saw no later change.
fn before(caught_up_to: Timestamp) -> Timestamp {
    caught_up_to.checked_sub(CLOCK_MARGIN).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::state::Comparison;
    use super::*;

    #[test]
    fn an_order_ends_when_little_is_left_or_everything_was_compared() {
        let open = Order::new("a", "A", "B", "s");
        let last = Order { is_final: true, ..open.clone() };
        let fresh = State::begin(&open, Timestamp::UNIX_EPOCH);
        let whole = |order_passes, behind| State {
            caught_up_to: Some(Timestamp::UNIX_EPOCH),
            order_passes,
            behind: Some(behind),
            ..fresh.clone()
        };
        let compared = |differing, order_comparisons| State {
            compared: Some(Comparison { source: 1, target: 1, differing, at: Timestamp::UNIX_EPOCH, tenants: vec![] }),
            order_comparisons,
            ..whole(1, 0)
        };
        for (state, order, wanted) in [
            (fresh.clone(), &open, Some(Kind::First)),
            (fresh.clone(), &last, Some(Kind::First)),
            (whole(0, 0), &open, Some(Kind::Stamps)),
            (whole(1, FEW + 1), &open, Some(Kind::Stamps)),
            (whole(1, FEW), &open, None),
            (whole(MOST_PASSES, u64::MAX), &open, None),
            (whole(0, 0), &last, Some(Kind::Stamps)),
            (whole(1, u64::MAX), &last, Some(Kind::Compare)),
            (compared(0, 1), &last, None),
            (compared(1, 1), &last, Some(Kind::Contents)),
            (compared(1, MOST_COMPARISONS), &last, None),
        ] {
            assert_eq!(next(&state, order, true), wanted, "{state:?} {}", order.is_final);
        }
        assert_eq!(next(&whole(0, 0), &open, false), Some(Kind::Contents));
    }
}
