//! Gives a crash also to the handler that was there before us: systemd-coredump, apport, or what
//! else `aground install` found in `core_pattern`.
//!
//! It is started as the kernel would have started it (fs/coredump.c, `umh_coredump_setup`): its own
//! arguments, the core on its standard input, a pidfd under number 3 where it asks for one, an empty
//! environment, while the process is still held. What it does, or fails to do, costs us nothing but
//! time, and that is bounded: it must read on, and the process is held no longer than it may be.
//!
//! Which crashes it gets is the daemon's to say (`capture.json`). Which program that is, is not: it
//! runs as root, so that only root's `previous.json` names it.

mod facts;
mod template;

use crate::bounded::wait_until;
use crate::capture::stream::enlarge_pipe;
use crate::install::remembered;
use crate::process::Pinned;
use crate::record::{Forward, Forwarded, Record};
use crate::sys;
use crate::text::escape_bytes;
use facts::Facts;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the handler may leave the pipe full before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The other handler at work.
pub(crate) struct Forwarding {
    handler: Child,
    /// Where it reads; `None` when it wants no more.
    core: Option<OwnedFd>,
    outcome: Forwarded,
}

impl Forwarding {
    /// Starts the other handler if the crash is for it. What prevents that becomes a problem
    /// sentence of the record, and the crash is ours alone.
    pub(crate) fn begin(
        forward: Forward,
        state_dir: &Path,
        pinned: Option<&Pinned>,
        record: &mut Record,
    ) -> Option<Self> {
        if forward == Forward::No {
            return None;
        }
        let facts = Facts { record, pinned };
        match Self::start(forward, state_dir, &facts) {
            Ok(forwarding) => Some(forwarding),
            Err(why) => {
                let problem = format!("the crash was not passed on: {why}");
                record.problems.push(problem);
                None
            }
        }
    }

    fn start(forward: Forward, state_dir: &Path, facts: &Facts<'_>) -> Result<Self, String> {
        let previous = remembered(state_dir)
            .ok_or("it is not known who handled crashes before aground install")?;
        let pattern = previous.core_pattern;
        let (program, arguments) =
            template::expand(&pattern, |specifier| facts.value(specifier))
                .ok_or_else(|| format!("the setting before, {pattern:?}, names no program"))?;
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let pidfd = facts.pidfd().filter(|_| pattern.contains("%F"));
        let to = shown(&program);
        let mut handler = sys::spawn_handler(&mut command, pidfd)
            .map_err(|error| format!("{to} could not be started: {error}"))?;
        let core = handler.stdin.take().map(OwnedFd::from);
        if let Some(core) = &core {
            enlarge_pipe(core);
            // Our end alone: whoever reads waits as on any pipe.
            let _ = rustix::fs::fcntl_setfl(core, OFlags::NONBLOCK);
        }
        Ok(Self {
            handler,
            core,
            outcome: Forwarded {
                to,
                instead: forward == Forward::Instead,
                ..Forwarded::default()
            },
        })
    }

    /// Who has the memory for itself, if it is not to be kept here too.
    pub(crate) fn instead(&self) -> Option<&str> {
        Some(self.outcome.to.as_str()).filter(|_| self.outcome.instead)
    }

    /// Whether the handler still reads.
    pub(crate) fn wants_more(&self) -> bool {
        self.core.is_some()
    }

    /// Hands the next bytes of the core on, `end` at the latest.
    pub(crate) fn give(&mut self, mut bytes: &[u8], end: Instant) {
        while let Some(core) = self.core.as_ref().filter(|_| !bytes.is_empty()) {
            let now = Instant::now();
            let patience = now.checked_add(PATIENCE).unwrap_or(now).min(end);
            match wait_for_room(core, patience).and_then(|()| Ok(rustix::io::write(core, bytes)?)) {
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    let written = u64::try_from(written).unwrap_or(0);
                    self.outcome.bytes = self.outcome.bytes.saturating_add(written);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => self.give_up(&error),
            }
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        self.core = None;
        self.outcome.trouble = Some(match error.kind() {
            io::ErrorKind::BrokenPipe => "it did not read all of the core".to_owned(),
            io::ErrorKind::TimedOut => {
                let _ = self.handler.kill();
                "it stopped reading and was ended".to_owned()
            }
            _ => format!("the core could not be handed over: {error}"),
        });
    }

    /// Ends the core and waits for the handler, until `end`; `cut` is why the core is not whole.
    pub(crate) fn finish(mut self, cut: Option<&io::Error>, end: Instant) -> Forwarded {
        self.core = None;
        let ended = self.ended(end);
        let trouble = match (cut, ended) {
            (Some(cut), _) => Some(format!("the core ended early: {cut}")),
            (None, Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Some("it was still at work when the process was let go".to_owned())
            }
            (None, Err(error)) => Some(format!("it is not known how it ended: {error}")),
            (None, Ok(status)) if status.success() => None,
            (None, Ok(status)) => Some(format!("it ended with {status}")),
        };
        if self.outcome.trouble.is_none() {
            self.outcome.trouble = trouble;
        }
        self.outcome
    }

    fn ended(&mut self, end: Instant) -> io::Result<std::process::ExitStatus> {
        let pid = i32::try_from(self.handler.id())
            .ok()
            .and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        wait_until(pidfd.as_fd(), end)?;
        self.handler.wait()
    }
}

fn shown(program: &OsStr) -> String {
    escape_bytes(program.as_bytes(), 256)
}

fn is_passing(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn wait_for_room(pipe: &OwnedFd, end: Instant) -> io::Result<()> {
    let left = end.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&timeout)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => Ok(()),
        Err(Errno::INTR) => Err(io::ErrorKind::Interrupted.into()),
        Err(error) => Err(error.into()),
    }
}
