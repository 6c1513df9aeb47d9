//! Reads what /proc knows about the dead process, while the kernel still holds it.
//!
//! Everything goes through one directory descriptor opened first of all: a pid that is recycled
//! later cannot slip another process under it (CVE-2025-4598, CVE-2025-5054). Nothing is
//! believed, everything is bounded, and what cannot be read makes a problem sentence.

use crate::bounded::{open_dir_at, read_proc_at};
use crate::record::{Limit, Process};
use crate::text::escape_bytes;
use procfs::FromBufRead;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Most bytes taken of the command line, and of the environment.
const MAX_STRINGS: usize = 128 * 1024;
/// Most bytes taken of a file with a bounded number of short lines.
const MAX_LINES: usize = 64 * 1024;
/// Most bytes taken of the list of mounts.
const MAX_MOUNTS: usize = 1 << 20;
/// Most bytes taken of the memory map (about 100 bytes a line; `vm.max_map_count` is 65,530).
const MAX_MAPS: usize = 8 << 20;
/// Most open files recorded, and most threads named.
const MAX_LISTED: usize = 1024;
/// Longest path kept of an open file or a directory.
const MAX_PATH: usize = 1024;

/// The dead process, held so that it cannot be confused with another.
#[derive(Debug)]
pub struct Pinned {
    proc: OwnedFd,
    pidfd: Option<OwnedFd>,
    pid: i32,
}

/// Why the process could not be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There is no usable pid in the arguments.
    #[error("the kernel's arguments name no process")]
    NoPid,
    /// /proc has no such process.
    #[error("/proc/{pid} cannot be opened")]
    Gone {
        /// The pid.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// The pidfd is not that of the pid: the process ended and its number may be another's.
    #[error("process {pid} has ended, its number may belong to another")]
    Recycled {
        /// The pid.
        pid: i32,
    },
}

impl Pinned {
    /// Holds process `pid`; `pidfd` is the kernel's own handle to it, where it gave one.
    pub fn new(pid: i32, pidfd: Option<OwnedFd>) -> Result<Self, PinError> {
        let number = Some(pid)
            .filter(|pid| *pid > 0)
            .and_then(Pid::from_raw)
            .ok_or(PinError::NoPid)?;
        let pidfd = pidfd
            .filter(|given| pid_of(given).is_some())
            .or_else(|| rustix::process::pidfd_open(number, PidfdFlags::empty()).ok());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc =
            rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty()).map_err(|source| {
                PinError::Gone {
                    pid,
                    source: source.into(),
                }
            })?;
        let pinned = Self { proc, pidfd, pid };
        if pinned.is_still_there() {
            Ok(pinned)
        } else {
            Err(PinError::Recycled { pid })
        }
    }

    /// Whether the directory is still that of the pidfd's process. A directory of /proc never
    /// changes its process, so that one answer after reading covers all that was read.
    pub fn is_still_there(&self) -> bool {
        match &self.pidfd {
            Some(pidfd) => pid_of(pidfd) == Some(self.pid),
            None => rustix::fs::statat(&self.proc, "stat", AtFlags::empty()).is_ok(),
        }
    }

    /// Whether the kernel is dumping the process's core: it keeps the memory until that is over.
    pub fn is_dumping(&self) -> bool {
        let status = read_proc_at(&self.proc, "status", MAX_LINES);
        status.is_ok_and(|(status, _)| {
            status
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"CoreDumping:\t1")
        })
    }

    /// Makes the kernel give the dump up, if it is still at it: closing the pipe does not wake a
    /// kernel that waits for a file system of the container's. The process is as dead as before.
    pub fn end_dump(&self) {
        if let Some(pidfd) = self.pidfd.as_ref().filter(|_| self.is_dumping()) {
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
    }

    /// The kernel's handle of the process.
    pub(crate) fn pidfd(&self) -> Option<&OwnedFd> {
        self.pidfd.as_ref()
    }

    /// The directory `/proc/<pid>`.
    pub fn proc(&self) -> &OwnedFd {
        &self.proc
    }

    /// The raw text of `cgroup`.
    pub fn cgroup(&self) -> io::Result<Vec<u8>> {
        read_proc_at(&self.proc, "cgroup", MAX_LINES).map(|(bytes, _)| bytes)
    }

    /// The raw text of `mountinfo`, of which what matters stands near the beginning.
    pub fn mountinfo(&self) -> io::Result<Vec<u8>> {
        read_proc_at(&self.proc, "mountinfo", MAX_MOUNTS).map(|(bytes, _)| bytes)
    }

    /// The raw text of `maps`.
    pub fn maps(&self) -> io::Result<Vec<u8>> {
        read_proc_at(&self.proc, "maps", MAX_MAPS).map(|(bytes, _)| bytes)
    }
}

/// The process a pidfd stands for, -1 when it has been reaped; `None` for what is no pidfd.
pub(crate) fn pid_of(pidfd: &OwnedFd) -> Option<i32> {
    use std::os::fd::AsRawFd;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    info.lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}

/// Reads everything the record has a place for, secrets included: [`crate::redact`] takes them out
/// as soon as the container's labels are known. Sentences about what is missing go to `problems`.
pub fn snapshot(pinned: &Pinned, problems: &mut Vec<String>) -> Process {
    let mut reader = Reader {
        proc: pinned.proc.as_fd(),
        problems,
    };
    let mut process = Process {
        pid: pinned.pid,
        ..Process::default()
    };
    reader.identity(&mut process);
    process.args = reader.strings("cmdline");
    process.executable = reader.link("exe", "executable");
    process.cwd = reader.link("cwd", "working directory");
    process.cgroup = reader.lines("cgroup");
    process.secure = reader
        .bytes("auxv", MAX_LINES)
        .and_then(|auxv| unprivileged(&auxv))
        .map(|unprivileged| !unprivileged);
    process.limits = reader
        .lines("limits")
        .iter()
        .filter_map(|line| limit(line))
        .collect();
    reader.threads(&mut process);
    process.open_files = reader.open_files();
    process.environment = reader.strings("environ");
    process
}

struct Reader<'a> {
    proc: rustix::fd::BorrowedFd<'a>,
    problems: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn bytes(&mut self, name: &str, limit: usize) -> Option<Vec<u8>> {
        match read_proc_at(self.proc, name, limit) {
            Ok((bytes, false)) => Some(bytes),
            Ok((bytes, true)) => {
                self.problems.push(format!(
                    "only the first {limit} bytes of /proc/P/{name} were kept"
                ));
                Some(bytes)
            }
            Err(error) => {
                self.problems
                    .push(format!("/proc/P/{name} could not be read: {error}"));
                None
            }
        }
    }

    fn lines(&mut self, name: &str) -> Vec<String> {
        let bytes = self.bytes(name, MAX_LINES).unwrap_or_default();
        bytes
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| escape_bytes(line, 4096))
            .collect()
    }

    fn strings(&mut self, name: &str) -> Vec<String> {
        let bytes = self.bytes(name, MAX_STRINGS).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        if bytes.is_empty() {
            return Vec::new();
        }
        bytes
            .split(|b| *b == 0)
            .map(|word| escape_bytes(word, MAX_STRINGS))
            .collect()
    }

    fn link(&mut self, name: &str, what: &str) -> Option<String> {
        match rustix::fs::readlinkat(self.proc, name, Vec::new()) {
            Ok(target) => {
                let target = target.as_bytes();
                let path = target.strip_suffix(b" (deleted)").unwrap_or(target);
                Some(escape_bytes(path, 4096))
            }
            Err(error) => {
                self.problems
                    .push(format!("the {what} is not known: {error}"));
                None
            }
        }
    }

    /// `comm`, `status` and `stat`. The name is read from `comm`, where it is alone: in the other
    /// two it has fooled parsers (CVE-2021-25682). They go to procfs as text without stray bytes.
    fn identity(&mut self, process: &mut Process) {
        let name = self.bytes("comm", 64).unwrap_or_default();
        process.name = escape_bytes(name.strip_suffix(b"\n").unwrap_or(&name), 64);
        if let Some(status) = self
            .text("status")
            .and_then(|text| self.parsed("status", status_of(&text)))
        {
            process.namespace_pid = status.nspid.as_ref().and_then(|pids| pids.last().copied());
            process.parent_pid = Some(status.ppid);
            process.uids = Some([status.ruid, status.euid, status.suid, status.fuid]);
            process.gids = Some([status.rgid, status.egid, status.sgid, status.fgid]);
            process.threads = Some(status.threads);
            process.resident_bytes = status.vmrss.and_then(|kib| kib.checked_mul(1024));
            process.virtual_bytes = status.vmsize.and_then(|kib| kib.checked_mul(1024));
        }
        let ticks = self
            .text("stat")
            .and_then(|text| self.parsed("stat", start_ticks(&text)));
        process.started_at_ms = ticks.and_then(epoch_ms);
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.bytes(name, MAX_LINES)
            .map(|bytes| escape_bytes(&bytes, MAX_LINES))
    }

    fn parsed<T>(&mut self, name: &str, parsed: Option<T>) -> Option<T> {
        if parsed.is_none() {
            self.problems
                .push(format!("/proc/P/{name} was not understood"));
        }
        parsed
    }

    /// Numeric entries of a directory, in the kernel's (ascending) order, at most [`MAX_LISTED`].
    fn numbers(&mut self, directory: &str) -> Option<(OwnedFd, Vec<i32>)> {
        let listed = open_dir_at(self.proc, directory).and_then(|dir| {
            let mut numbers = Vec::new();
            for entry in rustix::fs::Dir::read_from(&dir)? {
                numbers.extend(
                    entry?
                        .file_name()
                        .to_str()
                        .ok()
                        .and_then(|name| name.parse::<i32>().ok()),
                );
                if numbers.len() > MAX_LISTED {
                    break;
                }
            }
            Ok((dir, numbers))
        });
        match listed {
            Ok((dir, mut numbers)) => {
                if numbers.len() > MAX_LISTED {
                    numbers.truncate(MAX_LISTED);
                    self.problems.push(format!(
                        "only the first {MAX_LISTED} entries of /proc/P/{directory} were kept"
                    ));
                }
                Some((dir, numbers))
            }
            Err(error) => {
                self.problems
                    .push(format!("/proc/P/{directory} could not be listed: {error}"));
                None
            }
        }
    }

    /// Names of the threads, and where it is not the same their ids in the innermost namespace.
    fn threads(&mut self, process: &mut Process) {
        let Some((dir, tids)) = self.numbers("task") else {
            return;
        };
        let name = |tid: i32| {
            let (name, _) = read_proc_at(&dir, &format!("{tid}/comm"), 64).ok()?;
            Some((
                tid,
                escape_bytes(name.strip_suffix(b"\n").unwrap_or(&name), 64),
            ))
        };
        process.thread_names = tids.iter().copied().filter_map(name).collect();
        let is_nested = process
            .namespace_pid
            .is_some_and(|inside| inside != process.pid);
        let inside = |tid: i32| {
            let (status, _) = read_proc_at(&dir, &format!("{tid}/status"), MAX_LINES).ok()?;
            Some((tid, innermost_id(&status)?))
        };
        if is_nested {
            process.namespace_tids = tids.into_iter().filter_map(inside).collect();
        }
    }

    fn open_files(&mut self) -> Vec<(i32, String)> {
        let Some((dir, numbers)) = self.numbers("fd") else {
            return Vec::new();
        };
        let target = |number: i32| {
            let target = rustix::fs::readlinkat(&dir, number.to_string(), Vec::new()).ok()?;
            Some((number, escape_bytes(target.as_bytes(), MAX_PATH)))
        };
        numbers.into_iter().filter_map(target).collect()
    }
}

/// The last number of the line `NSpid:`. A thread's name cannot forge it: the kernel escapes line
/// feeds in the line above.
fn innermost_id(status: &[u8]) -> Option<i32> {
    let mut lines = status.split(|byte| *byte == b'\n');
    let ids = lines.find_map(|line| line.strip_prefix(b"NSpid:"))?;
    let last = ids.split(u8::is_ascii_whitespace).next_back()?;
    std::str::from_utf8(last).ok()?.parse().ok()
}

fn status_of(text: &str) -> Option<procfs::process::Status> {
    procfs::process::Status::from_buf_read(text.as_bytes()).ok()
}

/// Start time, the 22nd field of `stat`, in clock ticks since boot. The name before it may hold
/// anything, so fields count from the last parenthesis (procfs panics where there is none).
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(19)?.parse().ok()
}

/// Clock ticks since boot as milliseconds since the epoch.
fn epoch_ms(ticks: u64) -> Option<i64> {
    let ms = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec
            .checked_mul(1000)?
            .checked_add(time.tv_nsec / 1_000_000)
    };
    let since_boot = ticks
        .checked_mul(1000)?
        .checked_div(procfs::ticks_per_second())?;
    let boot = ms(ClockId::Realtime)?.checked_sub(ms(ClockId::Boottime)?)?;
    boot.checked_add(i64::try_from(since_boot).ok()?)
}

/// A line of `limits`, whose columns begin at 0, 26, 47 (fs/proc/base.c, `proc_pid_limits`).
fn limit(line: &str) -> Option<Limit> {
    let column = |from: usize, to: usize| {
        line.get(from..to.min(line.len()))
            .map(|text| text.trim().to_owned())
    };
    let limit = Limit {
        name: column(0, 26)?,
        soft: column(26, 47)?,
        hard: column(47, 68)?,
    };
    let value = |text: &str| {
        text == "unlimited" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
    };
    (value(&limit.soft) && value(&limit.hard)).then_some(limit)
}

/// `AT_SECURE` (include/uapi/linux/auxvec.h).
const AT_SECURE: u64 = 23;

/// Whether an auxiliary vector is that of a program started without raised privileges.
pub(crate) fn unprivileged(auxv: &[u8]) -> Option<bool> {
    auxv_value(auxv, AT_SECURE).map(|secure| secure == 0)
}

/// A value of an auxiliary vector. The words have the process's width, which the vector itself
/// shows: read too wide, the first type holds two words and is absurd.
pub(crate) fn auxv_value(auxv: &[u8], kind: u64) -> Option<u64> {
    let wide = auxv
        .chunks_exact(8)
        .map(|word| word.try_into().map_or(u64::MAX, u64::from_ne_bytes));
    let narrow = auxv.chunks_exact(4).map(|word| {
        word.try_into()
            .map(u32::from_ne_bytes)
            .map_or(u64::MAX, u64::from)
    });
    value_in(wide, kind).or_else(|| value_in(narrow, kind))
}

fn value_in(mut words: impl Iterator<Item = u64>, wanted: u64) -> Option<u64> {
    const AT_NULL: u64 = 0;
    const LARGEST_TYPE: u64 = 4096;
    loop {
        match (words.next()?, words.next()?) {
            (kind, value) if kind == wanted => return Some(value),
            (AT_NULL, _) => return None,
            (kind, _) if kind > LARGEST_TYPE => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_living_process_is_read() {
        let me = i32::try_from(std::process::id()).unwrap();
        let pinned = Pinned::new(me, None).unwrap();
        let mut problems = Vec::new();
        let process = snapshot(&pinned, &mut problems);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(process.pid, me);
        assert_eq!(
            process.executable.unwrap(),
            std::env::current_exe().unwrap().to_str().unwrap()
        );
        assert_eq!(process.args, std::env::args().collect::<Vec<_>>());
        assert_eq!(process.secure, Some(false));
        assert_eq!(process.limits.len(), 16);
        assert!(process.thread_names.contains_key(&me));
        assert!(process.open_files.len() >= 3);
        assert!(process.resident_bytes.unwrap() > 100_000);
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let age = now - process.started_at_ms.unwrap();
        assert!((-20..600_000).contains(&age), "{age} ms old");
    }

    #[test]
    fn another_process_behind_the_pid_is_noticed() {
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let of_child =
            rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let recycled = Pinned::new(me, Some(of_child));
        let pinned = Pinned::new(pid, None).unwrap();
        assert!(pinned.is_still_there());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(recycled, Err(PinError::Recycled { .. })));
        assert!(!pinned.is_still_there());
        assert!(matches!(Pinned::new(0, None), Err(PinError::NoPid)));
        assert!(matches!(Pinned::new(-7, None), Err(PinError::NoPid)));
    }

    #[test]
    fn the_auxiliary_vector_is_read_in_both_widths() {
        let wide: Vec<u8> = [33u64, 0x7fff_0000_0000, 23, 1, 0, 0]
            .iter()
            .flat_map(|w| w.to_ne_bytes())
            .collect();
        let narrow: Vec<u8> = [32u32, 0xf7f0_0000, 23, 1, 0, 0]
            .iter()
            .flat_map(|w| w.to_ne_bytes())
            .collect();
        assert_eq!(unprivileged(&wide), Some(false));
        assert_eq!(unprivileged(&narrow), Some(false));
        assert_eq!(auxv_value(&wide, 33), Some(0x7fff_0000_0000));
        for cut in 0..16 {
            assert_eq!(unprivileged(&wide[..cut]), None);
        }
        assert_eq!(unprivileged(&[0xff; 64]), None);
    }

    #[test]
    fn hostile_stat_and_limits_text_is_refused() {
        for text in ["", ") (", "1 () S", "1 (a", "(a) S 1", "1 (a) "] {
            assert!(start_ticks(text).is_none(), "{text:?}");
        }
        assert_eq!(
            limit("Limit                     Soft Limit           Hard Limit           Units     "),
            None
        );
        assert_eq!(limit("ü"), None);
        let stack =
            limit("Max stack size            8388608              unlimited            bytes     ")
                .unwrap();
        assert_eq!(
            (stack.soft.as_str(), stack.hard.as_str()),
            ("8388608", "unlimited")
        );
    }
}
