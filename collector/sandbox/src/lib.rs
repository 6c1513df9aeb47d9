//! Leaves a worker nothing but memory, time and the files it was handed.
//!
//! A worker reads bytes that a hostile process wrote. [`confine`] comes before the first of them:
//! from there on the process can read and write what is open, allocate, start threads and end.
//! It cannot open, connect, fork, execute, trace or signal anything. [`escape`] tries.
//!
//! Limits of memory, time and output are each worker's own business: they differ.

pub mod escape;
mod filter;
mod sys;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Signal, getppid, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The first user id of a range that neither distributions nor systemd give to anybody: it ends
/// what containers may use, and the kernel's signed numbers end after it
/// (<https://systemd.io/UIDS-GIDS/>, "unused").
const FIRST_UNUSED_USER: u32 = 1_879_048_192;
/// The user without rights, where a user namespace knows no larger number.
const NOBODY: u32 = 65534;

/// What holds the worker, besides the filter of system calls, which always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confined {
    /// The user it became; `None` when it was not root, or could become nobody else.
    pub user: Option<u32>,
    /// Whether the kernel's Landlock holds it too.
    pub landlock: bool,
}

/// Why a worker is not confined; it must not go on.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A system call failed.
    #[error("cannot {0}: {1}")]
    System(&'static str, Errno),
    /// Whoever started the worker is gone.
    #[error("the program that started this is gone")]
    Orphan,
    /// Landlock is there and refused the rules.
    #[error("cannot use Landlock: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// The kernel has no filter for system calls, or not for this processor.
    #[error("cannot filter system calls: {0}")]
    Filter(String),
}

/// Confines this process, which has one thread and the parent `parent`, when that is known.
pub fn confine(parent: Option<i32>) -> Result<Confined, SandboxError> {
    let user = leave_root()?;
    // Changing the user clears it, so it comes after.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| SandboxError::System("end with the parent", error))?;
    let now = getppid().map(|pid| pid.as_raw_nonzero().get());
    if parent.is_some() && now != parent {
        return Err(SandboxError::Orphan);
    }
    let landlock = close_files()?;
    filter::install().map_err(SandboxError::Filter)?;
    Ok(Confined { user, landlock })
}

/// Root becomes a user that nobody else is, not even another worker at the same time.
fn leave_root() -> Result<Option<u32>, SandboxError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let own = FIRST_UNUSED_USER.saturating_add(std::process::id());
    for user in [own, NOBODY] {
        match become_user(user) {
            Ok(()) => {
                // Otherwise a crash of the worker itself would not be recorded.
                set_dumpable_behavior(DumpableBehavior::Dumpable)
                    .map_err(|error| SandboxError::System("stay dumpable", error))?;
                return Ok(Some(user));
            }
            // A user namespace that does not know the number, or root without the right.
            Err(Errno::INVAL | Errno::PERM) => {}
            Err(error) => return Err(SandboxError::System("change the user", error)),
        }
    }
    Ok(None)
}

fn become_user(number: u32) -> Result<(), Errno> {
    let (user, group) = (
        rustix::process::Uid::from_raw(number),
        rustix::process::Gid::from_raw(number),
    );
    set_thread_res_gid(group, group, group)?;
    set_thread_groups(&[])?;
    set_thread_res_uid(user, user, user)
}

/// Opens no path and no port any more, where the kernel has Landlock. The filter refuses the same
/// by number; this holds if a system call that the filter lets pass should learn to open.
fn close_files() -> Result<bool, SandboxError> {
    let abi = ABI::V6;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}
