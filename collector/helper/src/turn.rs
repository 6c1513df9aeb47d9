//! Lets few helpers at a time take whole cores, so that a storm of crashes leaves processors and
//! disk to everybody else. Records and lean cores wait for nobody.
//!
//! A turn is a lock on one of a few files; the kernel gives it back however a helper dies.

use crate::bounded::open_dir;
use crate::layout::SPOOL;
use crate::policy::Decision;
use crate::surroundings;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// Cores up to this size are taken at once: waiting would cost more.
pub(crate) const SMALL: u64 = 8 << 20;
/// How often a turn is asked for.
const PAUSE: Duration = Duration::from_millis(10);

/// A turn; given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: Option<File>,
}

/// Waits for a turn to take a whole core, `until` at most; then a lean one must do.
pub(crate) fn wait(
    decision: Decision,
    core_size: Option<u64>,
    state_dir: &Path,
    until: Instant,
) -> (Decision, Turn) {
    let none = Turn { _lock: None };
    let Decision::Full { budget } = decision else {
        return (decision, none);
    };
    if core_size.is_some_and(|size| size <= SMALL) {
        return (decision, none);
    }
    match take_one(state_dir, until) {
        Ok(Some(lock)) => (decision, Turn { _lock: Some(lock) }),
        Ok(None) => {
            let reason = "other cores were being taken, and there was no time to wait longer";
            let reason = Some(reason.to_owned());
            (Decision::Lean { budget, reason }, none)
        }
        // Without the files there is no order, but there still is a core.
        Err(_) => (decision, none),
    }
}

/// Turns this machine has: every whole core is compressed on all processors as it is.
fn turns() -> usize {
    std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, 8)
}

fn take_one(state_dir: &Path, until: Instant) -> rustix::io::Result<Option<File>> {
    let spool = open_dir(&state_dir.join(SPOOL)).map_err(|_| Errno::NOENT)?;
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = |turn: usize| {
        rustix::fs::openat(
            &spool,
            format!("turn.{turn}"),
            flags,
            Mode::RUSR | Mode::WUSR,
        )
    };
    let files: Vec<_> = (0..turns()).map(open).collect::<Result<_, _>>()?;
    let mut waiting = false;
    loop {
        for file in &files {
            match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file.try_clone().ok().map(File::from)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        if !std::mem::replace(&mut waiting, true) {
            surroundings::join_own_cgroup();
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_are_so_many_turns_and_one_comes_back() {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join(SPOOL)).unwrap();
        let full = || Decision::Full { budget: 9 };
        let soon = || Instant::now() + Duration::from_millis(30);
        let take = || wait(full(), None, state.path(), soon());
        let mut held: Vec<_> = (0..turns()).map(|_| take()).collect();
        assert!(held.iter().all(|(decision, _)| *decision == full()));
        assert!(matches!(
            take().0,
            Decision::Lean {
                budget: 9,
                reason: Some(_)
            }
        ));
        assert_eq!(wait(full(), Some(SMALL), state.path(), soon()).0, full());
        held.pop();
        assert_eq!(take().0, full());
        let lean = Decision::Lean {
            budget: 1,
            reason: None,
        };
        assert_eq!(wait(lean.clone(), None, state.path(), soon()).0, lean);
        assert_eq!(wait(full(), None, Path::new("/nowhere"), soon()).0, full());
    }
}
