//! Examines whether crashes of this machine are caught, and says what to do where they are not.
//!
//! Looking ([`Facts::gather`]) and judging ([`examine`]) are apart, so that every judgement has a
//! test. It works without the daemon and without root; what could not be seen is said.

mod checks;
mod kernel_log;

pub use kernel_log::{KernelLog, Loss};

use crate::symbols::ServerStatus;
use aground_helper::install::{self, KernelSettings};
use aground_helper::layout;
use aground_helper::listener::SOCKET_PATH;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or it could not be seen.
    Warn,
    /// Crashes are lost, or will be.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What: a short name, such as `core_pattern`.
    pub name: String,
    /// How well it is.
    pub health: Health,
    /// What was found, a sentence.
    pub finding: String,
    /// What to do about it; `None` when all is well.
    pub advice: Option<String>,
}

/// Owner and mode of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// User id.
    pub owner: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What was looked at.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The state directory.
    pub state_dir: PathBuf,
    /// The kernel's settings now; `None` when they cannot be read.
    pub kernel: Option<KernelSettings>,
    /// What was set before Aground was installed; `None` when not known or not readable.
    pub previous: Option<KernelSettings>,
    /// Whether `previous` could be looked at: only root can.
    pub previous_readable: bool,
    /// The helper the kernel is told to run, and how it lies there.
    pub helper: Option<(PathBuf, Result<Seen, String>)>,
    /// The state directory and those beneath it.
    pub directories: Vec<(PathBuf, Result<Seen, String>)>,
    /// Bytes free on the state directory's disk.
    pub free_bytes: Option<u64>,
    /// Bytes that must stay free.
    pub min_free: u64,
    /// Crashes in the spool, and how many seconds the oldest has been there.
    pub ready: Option<(u64, u64)>,
    /// Records that could only be kept beside the state directory.
    pub fallback: Option<u64>,
    /// Entries that were put aside.
    pub rejected: u64,
    /// The kernel's log.
    pub log: Result<KernelLog, String>,
    /// Whether a file below sysctl.d sets our pattern at the next boot.
    pub lasting: bool,
    /// `fs.suid_dumpable`.
    pub suid_dumpable: Option<u32>,
    /// Version of the daemon that answers; `Err` says why none does, `None` that nobody asked.
    pub daemon: Option<Result<String, String>>,
    /// Whether a listener answers on the socket.
    pub listener: bool,
    /// Servers that the daemon asks for symbols.
    pub symbol_servers: Vec<ServerStatus>,
}

impl Facts {
    /// Looks at this machine. Never fails: what cannot be seen is a fact as well.
    pub fn gather(state_dir: &Path, min_free: u64) -> Self {
        let kernel = install::kernel_settings().ok();
        let pattern = kernel.as_ref().map(|kernel| kernel.core_pattern.as_str());
        let helper = pattern
            .filter(|pattern| install::is_ours(pattern))
            .and_then(|pattern| pattern.strip_prefix('|')?.split(' ').next())
            .map(PathBuf::from);
        let beneath = ["", layout::INCOMING, layout::READY, layout::DUMPS];
        let directories = beneath.map(|name| state_dir.join(name));
        let free = rustix::fs::statvfs(state_dir).ok();
        Self {
            helper: helper.map(|path| (path.clone(), seen(&path))),
            directories: directories
                .into_iter()
                .map(|path| (path.clone(), seen(&path)))
                .collect(),
            free_bytes: free.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            min_free,
            ready: backlog(&state_dir.join(layout::READY)).ok(),
            fallback: backlog(&layout::fallback_dir(state_dir).join(layout::READY))
                .or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok((0, 0)),
                    _ => Err(error),
                })
                .ok()
                .map(|(count, _)| count),
            rejected: u64::try_from(crate::spool::rejected(state_dir).len()).unwrap_or(0),
            previous: install::previous_settings(state_dir),
            previous_readable: rustix::process::geteuid().is_root(),
            log: kernel_log::read().map_err(|error| error.to_string()),
            lasting: is_lasting(Path::new("/etc/sysctl.d")),
            suid_dumpable: first_number("/proc/sys/fs/suid_dumpable"),
            daemon: None,
            symbol_servers: vec![],
            listener: Path::new(SOCKET_PATH).exists(),
            state_dir: state_dir.to_owned(),
            kernel,
        }
    }
}

/// What is well and what is not, in the order of the path of a crash.
pub fn examine(facts: &Facts) -> Vec<Check> {
    checks::all(facts)
}

/// The worst of what was found.
pub fn worst(checks: &[Check]) -> Health {
    checks::worst(checks)
}

fn seen(path: &Path) -> Result<Seen, String> {
    let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    Ok(Seen {
        owner: metadata.uid(),
        mode: metadata.mode() & 0o7777,
    })
}

/// Entries of a directory, and the age in seconds of the oldest.
fn backlog(directory: &Path) -> io::Result<(u64, u64)> {
    let (mut count, mut oldest) = (0u64, 0u64);
    for entry in fs::read_dir(directory)? {
        count = count.saturating_add(1);
        let changed = entry?.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| changed.elapsed().ok());
        oldest = oldest.max(age.map_or(0, |age| age.as_secs()));
    }
    Ok((count, oldest))
}

fn is_lasting(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    let names_us = |path: PathBuf| {
        let text = File::open(path).and_then(|file| {
            let mut text = String::new();
            io::Read::read_to_string(&mut io::Read::take(file, 64 * 1024), &mut text)?;
            Ok(text)
        });
        text.is_ok_and(|text| {
            text.lines().any(|line| {
                let set = line
                    .split_once('=')
                    .filter(|(name, _)| name.trim().replace('/', ".") == "kernel.core_pattern");
                set.is_some_and(|(_, value)| install::is_ours(value.trim()))
            })
        })
    };
    entries.flatten().any(|entry| names_us(entry.path()))
}

fn first_number(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
