//! Lets go of the process, and of the helper, when something that must be quick is not.
//!
//! While the kernel holds the process we read its memory and the disk. Both can stop for ever in
//! a way no signal ends: a process can put its own arguments on a file system that hangs, and a
//! disk can die. A thread waits for that. It releases the process, writes what is known into the
//! record, gives the entry free for the daemon, and ends the helper, as far as it can be ended.

use crate::record::Record;
use crate::spool::Witness;
use crate::surroundings;
use std::ffi::OsString;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long process and container may be read before there is a record.
pub(crate) const BEFORE_THE_RECORD: Duration = Duration::from_secs(15);
/// How much longer than it may be held a process is, before we no longer trust ourselves to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// What to do with the record when the time is over and there is no entry yet.
type Leave = Box<dyn FnOnce(&mut Record) + Send>;

/// The thread; it does nothing once it is called off.
pub(crate) struct Watchdog {
    shared: Arc<(Mutex<State>, Condvar)>,
    thread: JoinHandle<()>,
}

struct State {
    deadline: Option<Instant>,
    allowed: Duration,
    record: Record,
    leave: Option<Leave>,
    args: Vec<OsString>,
}

impl Watchdog {
    /// Begins to wait. `record` is what is known so far, `leave` puts it where it is found.
    /// `None` when there can be no thread: the rest works as well without.
    pub(crate) fn start(record: Record, args: &[OsString], leave: Leave) -> Option<Self> {
        let state = State {
            deadline: Instant::now().checked_add(BEFORE_THE_RECORD),
            allowed: BEFORE_THE_RECORD,
            record,
            leave: Some(leave),
            args: args.to_vec(),
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let watched = Arc::clone(&shared);
        let thread = std::thread::Builder::new().spawn(move || watch(&watched));
        Some(Self {
            shared,
            thread: thread.ok()?,
        })
    }

    /// The first record is written; memory may be read for `hold_max`.
    pub(crate) fn record_written(
        &self,
        record: Record,
        witness: Option<Witness>,
        hold_max: Duration,
    ) {
        let mut state = lock(&self.shared.0);
        state.record = record;
        state.allowed = hold_max.saturating_add(GRACE);
        state.deadline = Instant::now().checked_add(state.allowed);
        if let Some(witness) = witness {
            state.leave = Some(Box::new(move |record| witness.leave(record)));
        }
        self.shared.1.notify_one();
    }

    /// The process is released. Afterwards there is no second thread.
    pub(crate) fn call_off(self) {
        lock(&self.shared.0).deadline = None;
        self.shared.1.notify_one();
        // It has nothing to say.
        let _ = self.thread.join();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(shared: &(Mutex<State>, Condvar)) {
    let mut state = lock(&shared.0);
    while let Some(deadline) = state.deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Whoever holds us up finds the lock taken, and the process ended.
            end(&mut state);
        }
        let woken = shared.1.wait_timeout(state, left);
        state = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn end(state: &mut State) -> ! {
    surroundings::release();
    let seconds = state.allowed.as_secs();
    let trouble = format!("reading the process took longer than {seconds} seconds, it was let go");
    state.record.capture.reason = Some(trouble.clone());
    if let Some(leave) = state.leave.take() {
        leave(&mut state.record);
    }
    surroundings::tell_kernel_log(&trouble, &state.args);
    std::process::exit(1)
}
