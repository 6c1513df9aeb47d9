//! Settles the helper's own process: takes nothing over from its caller, lets go of the dead
//! process, steps back for others, and reports trouble where somebody may see it.

use crate::capture::modules::MAX_FILES;
use crate::sys;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};

/// Leaves nothing of our caller's surroundings: descriptors, environment, limits.
pub(crate) fn clean_up() {
    sys::clear_environment();
    // The kernel closes 1 and 2 (fs/coredump.c, `umh_coredump_setup`): the next file opened would
    // become our standard output. (std does the same before main; this does not rely on it.)
    if let Ok(null) = null() {
        let closed = |fd| rustix::io::fcntl_getfd(fd).is_err();
        let _ = closed(rustix::stdio::stdin()).then(|| rustix::stdio::dup2_stdin(&null));
        let _ = closed(rustix::stdio::stdout()).then(|| rustix::stdio::dup2_stdout(&null));
        let _ = closed(rustix::stdio::stderr()).then(|| rustix::stdio::dup2_stderr(&null));
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // None of these is worth losing a crash for.
    let _ = rustix::process::chdir("/");
    // A limit of exactly 1 is the kernel's mark of a helper, which it does not dump to a helper
    // again; 0 would not stop it, because a pipe has no limit.
    let _ = rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(1),
            maximum: Some(1),
        },
    );
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let descriptors = u64::try_from(MAX_FILES).unwrap_or(4096).saturating_mul(2);
    let limit = Rlimit {
        current: Some(descriptors),
        maximum: Some(descriptors),
    };
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

/// Lets everybody else go first, now that nobody waits for us.
pub(crate) fn step_back() {
    let _ = rustix::process::setpriority_process(None, 10);
    sys::lower_io_priority();
}

/// Moves into a control group of the helpers' own, which gets a fifth of a processor's ordinary share
/// where others want it too: two hundred crashes at once are one neighbour, not two hundred. It costs
/// a grace period of the kernel, some ten milliseconds, which a single crash had better not wait.
/// Where the host does not let us (or has no such controller), nothing is lost.
pub(crate) fn join_own_cgroup() {
    const NAME: &str = "aground-collect";
    let root = std::path::Path::new("/sys/fs/cgroup");
    let (hierarchy, share, value) = if root.join("cgroup.controllers").exists() {
        (root.to_owned(), "cpu.weight", "20")
    } else {
        (root.join("cpu"), "cpu.shares", "205")
    };
    let own = hierarchy.join(NAME);
    if std::fs::create_dir(&own).is_ok() {
        let _ = std::fs::write(own.join(share), value);
    }
    let _ = std::fs::write(own.join("cgroup.procs"), "0");
}

fn null() -> rustix::io::Result<rustix::fd::OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Closes the pipe. The kernel, which waits for its last reader, lets go of the process.
pub(crate) fn release() {
    if let Ok(null) = null() {
        let _ = rustix::stdio::dup2_stdin(null);
    }
}

/// One bounded line to the kernel's log, without anything that could pass for another line.
pub(crate) fn tell_kernel_log(trouble: &str, args: &[OsString]) {
    let line = kernel_log_line(trouble, args);
    let flags =
        OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK;
    let log = rustix::fs::open("/dev/kmsg", flags, Mode::empty());
    let _ = log.map(|log| File::from(log).write_all(line.as_bytes()));
    // For whoever runs the helper by hand. Below the kernel this is /dev/null.
    let _ = writeln!(io::stderr(), "{}", line.trim_start_matches("<3>"));
}

fn kernel_log_line(trouble: &str, args: &[OsString]) -> String {
    let args: Vec<String> = args
        .iter()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let text = format!("{trouble} (arguments: {})", args.join(" "));
    let plain: String = text
        .chars()
        .map(|c| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            }
        })
        .take(400)
        .collect();
    format!("<3>aground-collect: {plain}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_kernel_log_gets_one_bounded_line() {
        let args: Vec<OsString> = [
            "/s".to_owned(),
            "1\n<0>panic\u{1b}[2J".to_owned(),
            "x".repeat(9999),
        ]
        .map(OsString::from)
        .into();
        let line = kernel_log_line("no space", &args);
        assert!(
            line.starts_with("<3>aground-collect: no space (arguments: 1?<0>panic?[2J x"),
            "{line}"
        );
        assert!(line.len() < 450);
    }
}
