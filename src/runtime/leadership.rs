//! Holds the Lease, so that one operator at a time writes. The decisions are `elysia_core::lease`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use elysia_api::names;
use elysia_core::lease::{self, LeaseView, Memory, Move};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::effects::chain;

/// A clock that only runs forward, whatever is done to the wall clock meanwhile. It is the clock of the waiting, too: in
/// tests both stand still until nothing else is left to do, so how busy a machine is decides nothing.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Timestamp,
    since: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { start: Timestamp::now(), since: Instant::now() }
    }

    fn now(self) -> Timestamp {
        self.start.saturating_add(self.since.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

/// Whether this process leads, as far as it can be certain of it. To be asked before each write: another operator may
/// lead from five seconds after the answer was no.
#[derive(Clone, Debug)]
pub struct Leading {
    standing: Arc<Mutex<Standing>>,
    clock: Clock,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    Always,
    Since(Timestamp),
    Not,
}

impl Leading {
    /// Leads without a lease: for tests, and where nobody else can write.
    pub fn always() -> Self {
        Self { standing: Arc::new(Mutex::new(Standing::Always)), clock: Clock::start() }
    }

    fn not_yet(clock: Clock) -> Self {
        Self { standing: Arc::new(Mutex::new(Standing::Not)), clock }
    }

    /// Whether nobody else can lead now: the lease was renewed a short time ago, and not given up since.
    pub fn is_certain(&self) -> bool {
        let now = self.clock.now();
        self.standing.lock().is_ok_and(|standing| match *standing {
            Standing::Always => true,
            Standing::Since(renewed) => lease::time_left(Some(renewed), now).is_positive(),
            Standing::Not => false,
        })
    }

    /// Another one may lead from now on.
    #[cfg(test)]
    pub fn is_over(&self) {
        self.is(Standing::Not);
    }

    fn is(&self, now: Standing) {
        // A poisoned lock answers "not certain" for ever, which is the safe answer.
        if let Ok(mut standing) = self.standing.lock() {
            *standing = now;
        }
    }
}

/// Why a leader must end its process without giving the lease back: rounds may still be under way.
#[derive(Debug, thiserror::Error)]
pub enum Deposed {
    /// The lease is another's, or could not be renewed in time.
    #[error("leadership was lost")]
    Lost,
    /// The work ended although nobody stopped it.
    #[error("the controllers ended by themselves")]
    Ended,
    /// The work panicked.
    #[error("the controllers failed: {0}")]
    Failed(#[from] JoinError),
    /// The work did not end in time after the signal to stop.
    #[error("rounds under way did not end in time")]
    TooSlow,
}

/// One candidate.
pub struct Candidate {
    api: Api<Lease>,
    namespace: String,
    name: String,
    clock: Clock,
    memory: Memory,
    leading: Leading,
    /// Whether the last renewal did not come about.
    failed: bool,
}

impl Candidate {
    /// A candidate under this name, which must be another one for each process: the pod's.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        let clock = Clock::start();
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            clock,
            memory: Memory::default(),
            leading: Leading::not_yet(clock),
            failed: false,
        }
    }

    /// Whether this candidate leads, kept up to date.
    pub fn leading(&self) -> Leading {
        self.leading.clone()
    }

    /// Returns when this candidate leads, or when stopped: whether it leads.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            if self.round().await == Some(true) {
                tracing::info!(name = self.name, "leading");
                return true;
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(pause()) => {}
            }
        }
    }

    /// Holds the lease for as long as the work runs, while it is stopped as well: rounds under way still write.
    ///
    /// Comes back well only when the work was stopped and has ended, and only then the lease may be released. After an
    /// error the process must end at once.
    pub async fn hold_during(
        &mut self,
        work: JoinHandle<()>,
        stop: &CancellationToken,
        grace: Duration,
    ) -> Result<(), Deposed> {
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        let outcome = tokio::select! {
            biased;
            () = self.hold() => Err(Deposed::Lost),
            ended = work => match ended {
                Ok(()) if stop.is_cancelled() => Ok(()),
                Ok(()) => Err(Deposed::Ended),
                Err(error) => Err(Deposed::Failed(error)),
            },
            () = too_late => Err(Deposed::TooSlow),
        };
        self.leading.is(Standing::Not);
        outcome
    }

    /// Renews until leadership is lost. Whoever comes back from here must not write any more.
    async fn hold(&mut self) {
        loop {
            let left = lease::time_left(self.memory.renewed, self.clock.now());
            let outcome = tokio::select! {
                biased;
                // Whatever hangs, this does not: a leader gives up in time.
                () = tokio::time::sleep(left.unsigned_abs()) => Some(false),
                outcome = self.next_round() => outcome,
            };
            if outcome == Some(false) {
                self.leading.is(Standing::Not);
                tracing::error!(name = self.name, "lost the lease");
                return;
            }
        }
    }

    async fn next_round(&mut self) -> Option<bool> {
        tokio::time::sleep(if self.failed { RETRY } else { pause() }).await;
        let outcome = self.round().await;
        self.failed = outcome.is_none();
        outcome
    }

    /// Gives the lease back, so that another may lead at once and health knows that nobody does.
    pub async fn release(&mut self) {
        self.leading.is(Standing::Not);
        if self.memory.renewed.take().is_none() {
            return;
        }
        match tokio::time::timeout(pause(), self.give_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "failed to release the lease"),
            Err(_) => tracing::warn!("no answer to the lease's release in time"),
        }
    }

    async fn give_back(&self) -> Result<(), kube::Error> {
        // A renewal that was cut off may still arrive between the read and the write; it is the last one.
        for last in [false, true] {
            let Some(mut lease) = self.api.get_opt(names::LEASE_NAME).await? else {
                break;
            };
            if lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) != Some(self.name.as_str()) {
                break;
            }
            lease.spec.get_or_insert_default().holder_identity = None;
            match self.api.replace(names::LEASE_NAME, &PostParams::default(), &lease).await {
                Err(kube::Error::Api(status)) if status.code == 409 && !last => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        Ok(())
    }

    /// One look and the move that follows: `Some(true)` leads, `Some(false)` must stop, `None` nothing changed.
    async fn round(&mut self) -> Option<bool> {
        let bound = ANSWER;
        // A call that hangs must not outlast the lease.
        let read = tokio::time::timeout(bound, self.api.get_opt(names::LEASE_NAME)).await;
        let live = match read {
            Ok(Ok(live)) => Some(live),
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "failed to read the lease");
                None
            }
            Err(_) => {
                tracing::warn!("no answer about the lease in time");
                None
            }
        };
        let view = live.as_ref().map(|live| live.as_ref().map(view));
        let view = view.as_ref().map(Option::as_ref);
        match lease::next(&self.name, view, &mut self.memory, self.clock.now()) {
            Move::Wait => None,
            Move::StepDown => Some(false),
            Move::Create => {
                let asked = self.clock.now();
                let outcome = tokio::time::timeout(bound, self.create()).await;
                self.written(asked, outcome)
            }
            Move::Write => {
                let live = live.flatten().unwrap_or_default();
                let asked = self.clock.now();
                let outcome = tokio::time::timeout(bound, self.write(live)).await;
                self.written(asked, outcome)
            }
        }
    }

    /// What a write that was asked for at this moment came to.
    fn written(
        &mut self,
        asked: Timestamp,
        outcome: Result<Result<(), kube::Error>, tokio::time::error::Elapsed>,
    ) -> Option<bool> {
        match outcome {
            Ok(Ok(())) => {
                self.memory = Memory { seen: None, renewed: Some(asked) };
                self.leading.is(Standing::Since(asked));
                Some(true)
            }
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "failed to write the lease");
                None
            }
            Err(_) => {
                tracing::warn!("no answer to the lease's renewal in time");
                None
            }
        }
    }

    async fn create(&self) -> Result<(), kube::Error> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(names::LEASE_NAME.to_owned()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec(None, Timestamp::now())),
        };
        self.api.create(&PostParams::default(), &lease).await.map(drop)
    }

    /// Replaces what was read: the resourceVersion lets only one candidate win.
    async fn write(&self, mut live: Lease) -> Result<(), kube::Error> {
        live.spec = Some(self.spec(live.spec.as_ref(), Timestamp::now()));
        self.api.replace(names::LEASE_NAME, &PostParams::default(), &live).await.map(drop)
    }

    /// The times in it are of the wall clock: they are for people, and for whoever asks how old the lease is.
    fn spec(&self, before: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
        let held = before.is_some_and(|before| before.holder_identity.as_deref() == Some(self.name.as_str()));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.name.clone()),
            lease_duration_seconds: i32::try_from(lease::DURATION.as_secs()).ok(),
            acquire_time: match before {
                Some(before) if held => before.acquire_time.clone(),
                _ => Some(MicroTime(now)),
            },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if held { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }
}

/// How long one call about the lease may take. Between a renewal and the moment at which the leader gives up there is
/// room for one call that hangs, and for a whole round after it.
const ANSWER: Duration = Duration::from_secs(2);
/// How soon a leader tries again to renew after it could not.
const RETRY: Duration = Duration::from_secs(1);

fn pause() -> Duration {
    Duration::try_from(lease::RENEW_EVERY).unwrap_or(Duration::from_secs(4))
}

fn view(lease: &Lease) -> LeaseView {
    let spec = lease.spec.clone().unwrap_or_default();
    LeaseView {
        holder: spec.holder_identity.unwrap_or_default(),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        duration: SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(15))),
    }
}

#[cfg(test)]
mod tests {
    use elysia_testkit::kubernetes::KubernetesApi;

    use super::*;

    async fn leader(api: &KubernetesApi) -> Candidate {
        let mut candidate = Candidate::new(api.client(), "operator", "a");
        assert!(!candidate.leading().is_certain());
        assert!(candidate.acquire(&CancellationToken::new()).await);
        assert!(candidate.leading().is_certain());
        candidate
    }

    fn holder(api: &KubernetesApi) -> Option<String> {
        api.object::<Lease>("operator", names::LEASE_NAME)?.spec?.holder_identity
    }

    /// The leader renewed this long ago.
    fn renewed_before(candidate: &mut Candidate, ago: SignedDuration) {
        let renewed = candidate.clock.now() - ago;
        candidate.memory.renewed = Some(renewed);
        candidate.leading.is(Standing::Since(renewed));
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_is_held_until_the_work_has_ended() {
        let api = KubernetesApi::new();
        let mut candidate = leader(&api).await;
        let stop = CancellationToken::new();
        stop.cancel();
        let (leading, seen) = (candidate.leading(), api.clone());
        // Rounds under way: they still lead, and the lease is still held.
        let work = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(leading.is_certain());
            assert_eq!(holder(&seen).as_deref(), Some("a"));
        });
        candidate.hold_during(work, &stop, Duration::from_secs(5)).await.unwrap();
        assert!(!candidate.leading().is_certain());
        candidate.release().await;
        assert_eq!(holder(&api), None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_otherwise_is_an_error_and_keeps_the_lease() {
        let never = || tokio::spawn(std::future::pending());
        for (what, work, stopped, expected) in [
            ("ended", tokio::spawn(async {}), false, "the controllers ended by themselves"),
            ("panicked", tokio::spawn(async { panic!("a test") }), false, "the controllers failed: "),
            ("panicked late", tokio::spawn(async { panic!("a test") }), true, "the controllers failed: "),
            ("too slow", never(), true, "rounds under way did not end in time"),
        ] {
            let api = KubernetesApi::new();
            let mut candidate = leader(&api).await;
            let stop = CancellationToken::new();
            if stopped {
                stop.cancel();
            }
            let error = candidate.hold_during(work, &stop, Duration::from_millis(50)).await.unwrap_err();
            assert!(error.to_string().starts_with(expected), "{what}: {error}");
            assert!(!candidate.leading().is_certain(), "{what}");
            assert_eq!(holder(&api).as_deref(), Some("a"), "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_gives_up_in_time_whatever_hangs() {
        // Before a round, and while the read or the write of one hangs.
        let cases = [(None, 9_900), (Some("GET"), 5_500), (Some("PUT"), 5_500)].map(|(method, ago)| async move {
            let ago = SignedDuration::from_millis(ago);
            let api = KubernetesApi::new();
            let mut candidate = leader(&api).await;
            if let Some(method) = method {
                api.hang(method, "leases");
            }
            renewed_before(&mut candidate, ago);
            let started = Instant::now();
            let work = tokio::spawn(std::future::pending());
            let outcome = candidate.hold_during(work, &CancellationToken::new(), Duration::ZERO).await;
            assert!(matches!(outcome, Err(Deposed::Lost)), "{method:?}: {outcome:?}");
            let since = ago + SignedDuration::try_from(started.elapsed()).unwrap();
            assert!(since >= lease::GIVE_UP_AFTER, "{method:?}: {since}");
            assert!(since < lease::GIVE_UP_AFTER + SignedDuration::from_secs(2), "{method:?}: {since}");
            assert!(!candidate.leading().is_certain(), "{method:?}");
        });
        futures::future::join_all(cases).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_that_is_lost_does_not_cost_the_leadership() {
        let cases = [("GET", true), ("PUT", true), ("GET", false), ("PUT", false)].map(|(method, hangs)| async move {
            let api = KubernetesApi::new();
            let mut candidate = leader(&api).await;
            if hangs {
                api.hang(method, "leases");
            } else {
                api.fail_next(method, "leases", 500);
            }
            let renewed = candidate.memory.renewed;
            assert_eq!(candidate.next_round().await, None, "{method}");
            assert!(candidate.leading().is_certain(), "{method}");
            assert_eq!(candidate.next_round().await, Some(true), "{method}");
            let before = lease::time_left(renewed, candidate.clock.now());
            assert!(before.is_positive(), "{method}: the lease had run out");
        });
        futures::future::join_all(cases).await;
    }

    #[tokio::test(start_paused = true)]
    async fn certainty_ends_by_the_clock_alone() {
        assert!(Leading::always().is_certain());
        let mut candidate = leader(&KubernetesApi::new()).await;
        for (ago, certain) in [(0, true), (8, true), (10, false), (60, false)] {
            renewed_before(&mut candidate, SignedDuration::from_secs(ago));
            assert_eq!(candidate.leading().is_certain(), certain, "{ago} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_that_meets_a_late_renewal_is_tried_again() {
        let api = KubernetesApi::new();
        let mut candidate = leader(&api).await;
        api.fail_next("PUT", "leases", 409);
        candidate.release().await;
        assert_eq!(holder(&api), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_of_another_is_not_released() {
        let api = KubernetesApi::new();
        let mut candidate = leader(&api).await;
        api.edit::<Lease>("operator", names::LEASE_NAME, |lease| lease["spec"]["holderIdentity"] = "b".into());
        candidate.release().await;
        assert_eq!(holder(&api).as_deref(), Some("b"));
    }
}
