//! What an operator asks first.

use crate::daemon::Daemon;
use crate::doctor;
use crate::notify::TargetStatus;
use crate::regroup::RegroupStatus;
use crate::retention::RetentionStatus;
use crate::spool;
use crate::symbols::SymbolsStatus;
use aground_helper::{install, layout};
use aground_store::types::StoreStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What an operator asks first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Version of the daemon.
    pub version: String,
    /// When it started, milliseconds since the epoch.
    pub started_at_ms: i64,
    /// Entries waiting in the spool (incoming and ready).
    pub spool_incoming: u64,
    /// Entries complete but not taken in yet.
    pub spool_ready: u64,
    /// Last full rescan of the spool, milliseconds since the epoch.
    pub last_rescan_ms: Option<i64>,
    /// Dumps in analysis now.
    pub analyzing: Vec<String>,
    /// Analyses since start that ended, failed, were killed.
    pub analyses: u64,
    /// Workers that were killed or died.
    pub worker_failures: u64,
    /// Resident memory of the daemon, bytes.
    pub resident_bytes: u64,
    /// The kernel's `core_pattern` right now.
    pub core_pattern: String,
    /// Whether that is ours.
    pub installed: bool,
    /// The store.
    pub store: StoreStatus,
    /// Entries that could not be taken in, with the reason.
    pub rejected: Vec<(String, String)>,
    /// Why crashes wait in the spool, of the last one that could not be taken in.
    #[serde(default)]
    pub waiting: Option<String>,
    /// What is held, and what was given up.
    #[serde(default)]
    pub retention: RetentionStatus,
    /// The container engines that are followed.
    #[serde(default)]
    pub engines: Vec<EngineStatus>,
    /// Files of symbols and who is asked for them.
    #[serde(default)]
    pub symbols: SymbolsStatus,
    /// Who is told of what changes, and how that goes.
    #[serde(default)]
    pub targets: Vec<TargetStatus>,
    /// How signing crashes anew goes.
    #[serde(default)]
    pub regroup: RegroupStatus,
}

/// A container engine whose events are followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Its runtime, such as `docker`.
    pub runtime: String,
    /// Its socket.
    pub socket: String,
    /// Containers known of, those that are gone included.
    pub containers: u64,
    /// Why it is not followed; `None` when it is.
    pub trouble: Option<String>,
}

/// The part of the status that moves.
pub(crate) struct Live {
    started_at_ms: i64,
    pub(crate) last_rescan_ms: Option<i64>,
    pub(crate) analyzing: BTreeSet<String>,
    pub(crate) analyses: u64,
    pub(crate) worker_failures: u64,
    pub(crate) waiting: Option<String>,
    pub(crate) waiting_for_room: bool,
    pub(crate) retention: RetentionStatus,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            started_at_ms: now_ms(),
            last_rescan_ms: None,
            analyzing: BTreeSet::new(),
            analyses: 0,
            worker_failures: 0,
            waiting: None,
            waiting_for_room: false,
            retention: RetentionStatus::default(),
        }
    }
}

impl Daemon {
    /// What an operator asks first. Blocks on disk.
    pub fn status(&self) -> DaemonStatus {
        let state_dir = &self.inner.config.state_dir;
        let store = self.store().status().unwrap_or_else(|error| {
            tracing::error!(
                error = crate::daemon::chain(&error),
                "could not read the status of the store"
            );
            StoreStatus::default()
        });
        let symbols = self.inner.symbols_status();
        let targets = self.targets().unwrap_or_else(|error| {
            tracing::error!(
                error = crate::daemon::chain(&error),
                "could not read how notifications go"
            );
            vec![]
        });
        let core_pattern = read_line("/proc/sys/kernel/core_pattern");
        let live = self.inner.live();
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_ms: live.started_at_ms,
            spool_incoming: entries(&state_dir.join(layout::INCOMING)),
            spool_ready: entries(&state_dir.join(layout::READY)),
            last_rescan_ms: live.last_rescan_ms,
            analyzing: live.analyzing.iter().cloned().collect(),
            analyses: live.analyses,
            worker_failures: live.worker_failures,
            resident_bytes: resident_bytes(),
            installed: feeds(&core_pattern, state_dir),
            core_pattern,
            store,
            rejected: spool::rejected(state_dir),
            waiting: live.waiting.clone(),
            retention: live.retention.clone(),
            engines: self.inner.engines.status(),
            symbols,
            targets,
            regroup: self.inner.regroup.status(),
        }
    }
}

impl Daemon {
    /// Examines this machine, as far as the daemon can see it. Blocks on disk.
    pub fn examine(&self) -> Vec<doctor::Check> {
        let min_free = self.inner.live().retention.limits.min_free;
        let mut facts = doctor::Facts::gather(&self.inner.config.state_dir, min_free);
        facts.daemon = Some(Ok(env!("CARGO_PKG_VERSION").to_owned()));
        facts.symbol_servers = self.inner.servers.status();
        doctor::examine(&facts)
    }
}

/// The clock, milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn entries(directory: &Path) -> u64 {
    fs::read_dir(directory).map_or(0, |entries| entries.fold(0, |count, _| count + 1))
}

fn read_line(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// Whether the kernel pipes cores to our helper, and that one into this daemon's spool:
/// `|/usr/lib/aground/aground-collect /var/lib/aground …`. Where a listener of ours writes is its own
/// affair.
fn feeds(core_pattern: &str, state_dir: &Path) -> bool {
    if core_pattern.starts_with("@@") {
        return install::is_ours(core_pattern);
    }
    let into = core_pattern.split_whitespace().nth(1).map(Path::new);
    install::is_ours(core_pattern) && into == Some(state_dir)
}

fn resident_bytes() -> u64 {
    let status = read_line("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pipe_to_our_helper_with_our_spool_feeds_us() {
        for (pattern, ours) in [
            (
                "|/usr/lib/aground/aground-collect /var/lib/aground %P",
                true,
            ),
            ("|/opt/aground-collect /var/lib/aground", true),
            ("|/usr/lib/aground/aground-collect /srv/other %P", false),
            ("|/usr/lib/aground/aground-collect", false),
            ("|/usr/share/apport/apport /var/lib/aground", false),
            ("/usr/lib/aground/aground-collect /var/lib/aground", false),
            ("core", false),
            ("|", false),
            ("", false),
        ] {
            let state_dir = Path::new("/var/lib/aground");
            assert_eq!(feeds(pattern, state_dir), ours, "{pattern}");
        }
        assert!(resident_bytes() > 1 << 20);
    }
}
