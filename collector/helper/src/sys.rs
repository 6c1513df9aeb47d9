//! Speaks to the kernel where no safe crate does; the only unsafe code of this crate.
#![allow(
    unsafe_code,
    reason = "kernel interfaces that neither rustix nor std wrap"
)]

use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, Signal};
use std::io;

/// The pidfd the kernel left open under `number` (`%F`), as a descriptor of our own.
pub(crate) fn inherited_pidfd(number: i32) -> Option<OwnedFd> {
    if number < 3 {
        return None;
    }
    // SAFETY: the borrow lives for the next call only, and duplicating a number that is not open
    // fails with EBADF instead of touching anybody's descriptor.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(inherited, 4).ok()
}

/// Forgets every environment variable.
///
/// # Safety of use
/// Must be called before a second thread exists; `main` does so first of all.
pub(crate) fn clear_environment() {
    // SAFETY: the caller promises that no other thread reads the environment.
    unsafe { libc::clearenv() };
}

/// Runs `work` in a child process that has no descriptors but `kept`, and dies with us as far as
/// it can. Returns the child's id.
///
/// # Safety of use
/// Must be called while there is one thread: of several, only the caller's goes on in the child.
pub(crate) fn in_a_child(mut kept: Vec<i32>, work: impl FnOnce()) -> io::Result<Pid> {
    kept.sort_unstable();
    // SAFETY: fork is as safe as what the child does, and with one thread no lock is held by
    // another that is not there any more.
    let pid = unsafe { libc::fork() };
    if pid != 0 {
        return Pid::from_raw(pid)
            .filter(|_| pid > 0)
            .ok_or_else(io::Error::last_os_error);
    }
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let mut first = 0;
    for next in kept.into_iter().chain([i32::MAX]) {
        close_between(first, next);
        first = next.saturating_add(1);
    }
    // Nothing of the child may run on in what is the parent's story.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // SAFETY: ends the process without running anything more of it.
    unsafe { libc::_exit(0) }
}

/// Closes every descriptor from `first` up to, but not with, `end`.
fn close_between(first: i32, end: i32) {
    let (first, last) = (first, end.saturating_sub(1));
    if first <= last {
        // SAFETY: takes three integers. What it closes belongs to nobody in this process, which
        // ends without dropping anything it had before it was forked.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Lets every other disk user go first (best effort class, lowest priority). The kernel's
/// schedulers are free to ignore it, so a failure is of no interest.
pub(crate) fn lower_io_priority() {
    const WHO_PROCESS: libc::c_int = 1;
    const BEST_EFFORT_LOWEST: libc::c_int = (2 << 13) | 7;
    // SAFETY: ioprio_set takes three integers and touches no memory.
    unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT_LOWEST) };
}

/// `struct pidfd_info` of include/uapi/linux/pidfd.h, the size of its first version and room for
/// later ones (the kernel copies at most what the request's size says).
#[repr(C)]
struct PidfdInfo {
    mask: u64,
    rest: [u64; 15],
}

const PIDFD_INFO_COREDUMP: u64 = 1 << 4;
/// `_IOWR(0xFF, 11, struct pidfd_info)` for our size of the structure.
const PIDFD_GET_INFO: libc::c_ulong =
    (3 << 30) | ((size_of::<PidfdInfo>() as libc::c_ulong) << 16) | (0xff << 8) | 0x0b;

/// Whether this kernel knows about core dumps through a pidfd. That came in the same release
/// (6.16) as `%F`, and can be asked without a crash.
pub(crate) fn pidfd_tells_core_dumps(pidfd: &OwnedFd) -> bool {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_COREDUMP,
        rest: [0; 15],
    };
    // SAFETY: the request's number carries the size of `info`, the kernel writes no more than that.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    std::hint::black_box(&info.rest);
    done == 0 && info.mask & PIDFD_INFO_COREDUMP != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_open_is_no_pidfd() {
        assert!(inherited_pidfd(-1).is_none());
        assert!(inherited_pidfd(0).is_none());
        assert!(inherited_pidfd(1023).is_none());
    }
}
