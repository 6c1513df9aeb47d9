//! Speaks to the kernel where no safe crate does; the only unsafe code of this crate.
#![allow(
    unsafe_code,
    reason = "kernel interfaces that neither rustix nor std wrap"
)]

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::Mode;
use rustix::process::{Pid, Signal};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// The pidfd the kernel left open under `number` (`%F`), as a descriptor of our own.
pub(crate) fn inherited_pidfd(number: i32) -> Option<OwnedFd> {
    if number < 3 {
        return None;
    }
    inherited(number)
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

/// Starts another program that handles crashes with what the kernel would have given it: an ordinary
/// umask, and `pidfd` as descriptor 3, or none there.
pub(crate) fn spawn_handler(command: &mut Command, pidfd: Option<&OwnedFd>) -> io::Result<Child> {
    const NUMBER: i32 = 3;
    // Number 3 is taken while the child is made, or std could use it for an errand of its own.
    let taken = pidfd.map(|pidfd| rustix::io::fcntl_dupfd_cloexec(pidfd, NUMBER));
    let taken = taken.transpose()?;
    let source = taken.as_ref().map(AsRawFd::as_raw_fd);
    let prepare = move || {
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        // SAFETY: takes integers; whatever had number 3 is of no use to the program that comes.
        let done = unsafe {
            match source {
                Some(NUMBER) => libc::fcntl(NUMBER, libc::F_SETFD, 0),
                Some(source) => libc::dup2(source, NUMBER),
                None => libc::fcntl(NUMBER, libc::F_SETFD, libc::FD_CLOEXEC).max(0),
            }
        };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: between fork and exec the closure makes system calls and nothing else.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
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

/// `struct pidfd_info` of include/uapi/linux/pidfd.h with room for later versions (the kernel
/// copies at most what the request's size says), as words of 32 bits: `mask` (0, 1), `cgroupid`,
/// pid (4), tgid, ppid, ruid (7), rgid (8), six other ids, `exit_code`, `coredump_mask` (16),
/// `coredump_signal` (17), `coredump_code`, padding, `supported_mask` (20, 21).
#[repr(C, align(8))]
struct PidfdInfo([u32; 32]);

const PIDFD_INFO_COREDUMP: u32 = 1 << 4;
const PIDFD_INFO_SUPPORTED_MASK: u32 = 1 << 5;
const PIDFD_INFO_COREDUMP_SIGNAL: u32 = 1 << 6;
/// Bits of `coredump_mask`: the process dumps its core, and its core is for root.
const PIDFD_COREDUMPED: u32 = 1;
const PIDFD_COREDUMP_ROOT: u32 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)` for our size of the structure.
const PIDFD_GET_INFO: libc::Ioctl = libc::_IOWR::<PidfdInfo>(0xff, 0x0b);

impl PidfdInfo {
    /// Asks for what the bits of `mask` name; all of them are in its lower half.
    fn ask(pidfd: &OwnedFd, mask: u32) -> Option<Self> {
        let mut info = Self([0; 32]);
        let low = usize::from(cfg!(target_endian = "big"));
        *info.0.get_mut(low)? = mask;
        // SAFETY: the request's number carries the size of `info`, the kernel writes no more than that.
        let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
        (done == 0).then_some(info)
    }

    fn word(&self, index: usize) -> u32 {
        self.0.get(index).copied().unwrap_or(0)
    }

    fn has(&self, bit: u32) -> bool {
        self.word(usize::from(cfg!(target_endian = "big"))) & bit != 0
    }
}

/// Whether this kernel knows about core dumps through a pidfd. That came in the same release
/// (6.16) as `%F`, and can be asked without a crash.
pub(crate) fn pidfd_tells_core_dumps(pidfd: &OwnedFd) -> bool {
    PidfdInfo::ask(pidfd, PIDFD_INFO_COREDUMP).is_some_and(|info| info.has(PIDFD_INFO_COREDUMP))
}

/// Whether this kernel tells the signal of a crash through a pidfd (6.19), without which a socket
/// leaves it unknown until the core comes.
pub(crate) fn pidfd_tells_signals(pidfd: &OwnedFd) -> bool {
    let info = PidfdInfo::ask(pidfd, PIDFD_INFO_SUPPORTED_MASK);
    let supported = usize::from(cfg!(target_endian = "big")).saturating_add(20);
    info.is_some_and(|info| {
        info.has(PIDFD_INFO_SUPPORTED_MASK)
            && info.word(supported) & PIDFD_INFO_COREDUMP_SIGNAL != 0
    })
}

/// What the kernel says of a process that crashes.
pub(crate) struct CrashInfo {
    /// Process id.
    pub(crate) pid: i32,
    /// Real user id.
    pub(crate) uid: u32,
    /// Real group id.
    pub(crate) gid: u32,
    /// Whether it is dumping its core.
    pub(crate) is_dumping: bool,
    /// Whether its core is for root alone.
    pub(crate) for_root: bool,
    /// The signal, where the kernel tells it.
    pub(crate) signal: Option<i32>,
}

/// What the kernel says of the process behind `pidfd`.
pub(crate) fn crash_info(pidfd: &OwnedFd) -> Option<CrashInfo> {
    let wanted = PIDFD_INFO_COREDUMP | PIDFD_INFO_COREDUMP_SIGNAL;
    // Kernels before 6.19 may refuse a bit they do not know.
    let info = PidfdInfo::ask(pidfd, wanted).or_else(|| PidfdInfo::ask(pidfd, PIDFD_INFO_COREDUMP));
    let info = info.filter(|info| info.has(PIDFD_INFO_COREDUMP))?;
    let (mask, signal) = (info.word(16), i32::try_from(info.word(17)).ok());
    Some(CrashInfo {
        pid: i32::try_from(info.word(5)).ok()?,
        uid: info.word(7),
        gid: info.word(8),
        is_dumping: mask & PIDFD_COREDUMPED != 0,
        for_root: mask & PIDFD_COREDUMP_ROOT != 0,
        signal: signal.filter(|_| info.has(PIDFD_INFO_COREDUMP_SIGNAL)),
    })
}

/// A handle of the process that connected to a unix socket (`SO_PEERPIDFD`).
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut pidfd: libc::c_int = -1;
    let mut size: libc::socklen_t = 4;
    // SAFETY: value and size are ours, and the kernel writes no more than `size` bytes.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut pidfd).cast(),
            &raw mut size,
        )
    };
    if done != 0 || pidfd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// A descriptor we were started with, as one of our own.
pub(crate) fn inherited(number: i32) -> Option<OwnedFd> {
    // SAFETY: the borrow lives for the next call only, and duplicating a number that is not open
    // fails with EBADF instead of touching anybody's descriptor.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(inherited, 4).ok()
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
