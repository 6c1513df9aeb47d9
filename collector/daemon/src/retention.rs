//! Keeps what is held within its limits: after every crash, once a minute, and as soon as the disk
//! gets low. What is given up is planned by the store and carried out here, step by step.

use crate::daemon::{Daemon, Event, Inner, blocking, chain};
use crate::status::now_ms;
use crate::thin::{ThinError, thin};
use aground_helper::id::DumpId;
use aground_helper::reserve;
use aground_store::retention::{Action, Limits, Plan, Scope, Step};
use aground_store::{Query, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often the limits are looked at without being told.
const EVERY: Duration = Duration::from_mins(1);
/// How often the free space is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Crashes and reports come in bursts; one look serves many.
const PAUSE: Duration = Duration::from_millis(500);
/// Plans made of estimates are made again until they hold, but not for ever.
const ROUNDS: usize = 10;
/// So much of what was given up is remembered for the status.
const REMEMBERED: usize = 20;
/// With less than this free, the steps themselves could fail for want of room.
const CRAMPED: u64 = 4 << 20;

/// What retention does, for the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionStatus {
    /// The limits, with percentages of the disk worked out.
    pub limits: Limits,
    /// Bytes of dumps and modules.
    pub held_bytes: u64,
    /// When the limits were looked at last, milliseconds since the epoch.
    pub last_run_ms: Option<i64>,
    /// Why a limit does not hold, a sentence.
    pub unmet: Option<String>,
    /// What was given up lately, newest first.
    pub given_up: VecDeque<GivenUp>,
    /// Bytes of disk held ready for records.
    pub reserve_bytes: u64,
    /// Bytes that should be.
    pub reserve_wanted: u64,
}

/// One step that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// What, and what it really freed.
    #[serde(flatten)]
    pub step: Step,
}

/// What [`Daemon::prune`] is asked for.
#[derive(Clone, Debug, Default)]
pub struct Prune {
    /// Only dumps that match.
    pub query: Query,
    /// What must go.
    pub what: What,
}

/// What must go.
#[derive(Clone, Debug, Default)]
pub enum What {
    /// As much as the configured limits need.
    #[default]
    Configured,
    /// As much as these limits need.
    Limits(Limits),
    /// All that matches: deleted, or its memory dropped.
    All(Action),
}

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    let every = |period| {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let (mut minute, mut look) = (every(EVERY), every(LOOK));
    loop {
        tokio::select! {
            () = daemon.stopped() => return,
            _ = minute.tick() => {}
            () = daemon.retain.notified() => {}
            _ = look.tick() => {
                if !got_low(&daemon).await {
                    continue;
                }
            }
        }
        let prune = Prune::default();
        if let Err(error) = keep_within(&daemon, &prune).await {
            tracing::error!(
                error = chain(&error),
                "could not keep what is held within its limits"
            );
        }
        tokio::select! {
            () = daemon.stopped() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Whether there is less free than must be, and it is not known already that nothing helps.
/// Crashes that wait for room are looked at again as soon as there is some.
async fn got_low(daemon: &Arc<Inner>) -> bool {
    let inner = Arc::clone(daemon);
    let low = blocking("look at the disk", move || {
        let (disk, free) = inner.store.disk().ok()?;
        let live = inner.live();
        if live.waiting_for_room && free > CRAMPED {
            inner.room.notify_one();
        }
        let low = free < inner.config.retention.limits(disk).min_free;
        Some(low && live.retention.unmet.is_none())
    });
    low.await.flatten().unwrap_or(false)
}

/// Plans and carries out until the plan is empty. Returns what was done.
async fn keep_within(daemon: &Arc<Inner>, prune: &Prune) -> Result<Plan, StoreError> {
    let _alone = daemon.retaining.lock().await;
    let mut done = Plan::default();
    for round in 0..ROUNDS {
        let plan = planned(daemon, prune).await?;
        if round == 0 {
            done.held = plan.held;
        }
        done.unmet.clone_from(&plan.unmet);
        let failures = daemon.unthinnable().len();
        let steps = carry_out(daemon, &plan).await;
        let progress = !steps.is_empty() || daemon.unthinnable().len() > failures;
        done.steps.extend(steps);
        // What was asked for in full is done in one round.
        if !progress || matches!(prune.what, What::All(_)) {
            break;
        }
    }
    let (inner, freed) = (Arc::clone(daemon), !done.steps.is_empty());
    let configured = matches!(prune.what, What::Configured) && prune.query == Query::default();
    let unmet = done.unmet.clone();
    blocking("note how retention went", move || {
        inner.tidy_up(freed);
        let held = inner
            .store
            .status()
            .map_or(0, |status| status.core_bytes + status.module_bytes);
        let mut live = inner.live();
        live.retention.held_bytes = held;
        if configured {
            if let (Some(unmet), None) = (&unmet, &live.retention.unmet) {
                tracing::warn!(unmet, "a limit of what is held cannot be met");
            }
            live.retention.unmet = unmet;
            live.retention.last_run_ms = Some(now_ms());
        }
    })
    .await;
    Ok(done)
}

async fn planned(daemon: &Arc<Inner>, prune: &Prune) -> Result<Plan, StoreError> {
    let (inner, prune) = (Arc::clone(daemon), prune.clone());
    let planned = blocking("plan what to give up", move || {
        let (disk, _) = inner.store.disk()?;
        let configured = inner.config.retention.limits(disk);
        inner.live().retention.limits = configured.clone();
        let scope = Scope {
            query: prune.query,
            thin: true,
            unthinnable: inner.unthinnable().clone(),
        };
        match prune.what {
            What::Configured => inner.store.plan_retention(&configured, &scope),
            What::Limits(limits) => inner.store.plan_retention(&limits, &scope),
            What::All(action) => inner.store.plan_prune(action, &scope),
        }
    });
    planned.await.unwrap_or(Ok(Plan::default()))
}

/// Carries steps out in order; one that fails is told in the log and stops none of the others.
/// Returns those that were done, with the bytes they freed.
async fn carry_out(daemon: &Arc<Inner>, plan: &Plan) -> Vec<Step> {
    let mut done = vec![];
    for step in &plan.steps {
        if *daemon.stop.borrow() {
            break;
        }
        let mut step = step.clone();
        if step.action == Action::Thin {
            match thin(daemon, &step.id, &step.reason).await {
                Ok(freed) => step.frees = freed,
                Err(ThinError::Stopped) => break,
                Err(error) => {
                    // The next plan drops it instead.
                    tracing::warn!(dump = %step.id, error = chain(&error), "could not make a core lean");
                    daemon.unthinnable().insert(step.id);
                    continue;
                }
            }
        }
        let (inner, planned) = (Arc::clone(daemon), step.clone());
        let result = blocking("give something up", move || inner.give_up(&planned)).await;
        match result {
            Some(Ok(())) => done.push(step.clone()),
            Some(Err(StoreError::NotFound(_))) | None => {}
            Some(Err(error)) => {
                tracing::error!(dump = %step.id, error = chain(&error), "could not give up what a limit demands");
            }
        }
    }
    done
}

impl Inner {
    fn give_up(&self, step: &Step) -> Result<(), StoreError> {
        let Step {
            id, action, reason, ..
        } = step;
        if self.store.disk().is_ok_and(|(_, free)| free < CRAMPED) {
            reserve::give(&self.config.state_dir);
        }
        match action {
            Action::Delete => {
                self.store.remove_dump(id)?;
                self.tell(Event::Removed { id: id.to_string() });
            }
            Action::DropMemory => {
                self.store.drop_memory(id, reason)?;
                self.tell_of_memory(step, "none");
            }
            // Done already.
            Action::Thin => self.tell_of_memory(step, "lean"),
        }
        tracing::info!(dump = %id, ?action, reason, frees = step.frees, "gave something up");
        let mut live = self.live();
        let given_up = &mut live.retention.given_up;
        given_up.truncate(REMEMBERED - 1);
        given_up.push_front(GivenUp {
            at_ms: now_ms(),
            step: step.clone(),
        });
        Ok(())
    }

    fn tell_of_memory(&self, step: &Step, kept: &str) {
        self.tell(Event::Memory {
            id: step.id.to_string(),
            kept: kept.to_owned(),
            reason: step.reason.clone(),
        });
    }

    /// Cores that could not be made lean since the start.
    fn unthinnable(&self) -> MutexGuard<'_, BTreeSet<DumpId>> {
        self.unthinnable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes modules nobody needs and symbols that are too much, and makes the reserve whole again when there is room.
    pub(crate) fn tidy_up(&self, freed: bool) {
        self.limit_symbols();
        if freed && let Err(error) = self.store.sweep_modules() {
            tracing::error!(
                error = chain(&error),
                "could not remove modules that nobody needs"
            );
        }
        let state_dir = &self.config.state_dir;
        let Ok((disk, free)) = self.store.disk() else {
            return;
        };
        // Not more than a small disk can spare.
        let wanted = self.config.retention.reserve.0.min(disk / 16);
        let held = reserve::held(state_dir);
        let missing = wanted.saturating_sub(held);
        if (held > wanted || missing > 0 && free >= missing.saturating_add(wanted))
            && let Err(error) = reserve::fill(state_dir, wanted)
        {
            tracing::warn!(%error, "could not reserve disk space for records");
        }
        let mut live = self.live();
        live.retention.reserve_bytes = reserve::held(state_dir);
        live.retention.reserve_wanted = wanted;
        if freed && live.waiting_for_room {
            self.room.notify_one();
        }
    }
}

impl Daemon {
    /// What [`Self::prune`] would do.
    pub async fn plan_prune(&self, prune: &Prune) -> Result<Plan, StoreError> {
        planned(&self.inner, prune).await
    }

    /// Gives up what is asked for, to the end also when nobody waits for it any longer. Returns
    /// the steps that were carried out.
    pub async fn prune(&self, prune: Prune) -> Result<Plan, StoreError> {
        let daemon = Arc::clone(&self.inner);
        let pruning = tokio::spawn(async move { keep_within(&daemon, &prune).await });
        match pruning.await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a prune did not end well");
                Ok(Plan::default())
            }
        }
    }

    /// The configured limits, for the disk as it is. Blocks on disk.
    pub fn limits(&self) -> Result<Limits, StoreError> {
        let (disk, _) = self.inner.store.disk()?;
        Ok(self.inner.config.retention.limits(disk))
    }

    /// Bytes of the disk that what is held lies on. Blocks on disk.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.inner.store.disk()?.0)
    }
}
