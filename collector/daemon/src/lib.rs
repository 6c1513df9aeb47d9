//! What runs: takes the spool in, has dumps analysed in worker processes, groups them.
//! CONTRACT SKELETON: bodies to be written.

use aground_store::Store;
use aground_store::types::StoreStatus;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Configuration: `/etc/aground/config.toml` < `AGROUND_*` < flags.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// State directory.
    pub state_dir: PathBuf,
    /// Runtime directory: `api.sock` is below it.
    pub runtime_dir: PathBuf,
    /// TCP address of API and pages; loopback unless changed.
    pub listen: std::net::SocketAddr,
    /// Analyzer program; `None`: `aground-analyzer` beside the running program.
    pub analyzer: Option<PathBuf>,
    /// Seconds one analysis may take.
    pub analysis_seconds: u64,
    /// Bytes of address space one analysis may take.
    pub analysis_memory: u64,
    /// Analyses at the same time.
    pub workers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: aground_helper::layout::STATE_DIR.into(),
            runtime_dir: aground_helper::layout::RUNTIME_DIR.into(),
            listen: ([127, 0, 0, 1], 7400).into(),
            analyzer: None,
            analysis_seconds: 120,
            analysis_memory: 4 << 30,
            workers: 1,
        }
    }
}

/// The running service. Cheap to clone.
#[derive(Clone)]
pub struct Daemon {}

/// Something happened that people follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// A crash was taken in.
    Dump {
        /// Its id.
        id: String,
    },
    /// A report was written.
    Report {
        /// The dump's id.
        id: String,
        /// The group it went to.
        group: String,
        /// Whether the group is new.
        new: bool,
    },
    /// A dump was removed.
    Removed {
        /// The dump's id.
        id: String,
    },
}

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
    /// The kernel's core_pattern right now.
    pub core_pattern: String,
    /// Whether that is ours.
    pub installed: bool,
    /// The store.
    pub store: StoreStatus,
    /// Entries that could not be taken in, with the reason.
    pub rejected: Vec<(String, String)>,
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] aground_store::StoreError),
    /// Reading or making something on disk failed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Daemon {
    /// Opens the store and starts intake and workers.
    pub async fn start(_config: Config) -> Result<Self, DaemonError> {
        todo!()
    }
    /// The store.
    pub fn store(&self) -> &Store {
        todo!()
    }
    /// What an operator asks first. Blocks on disk.
    pub fn status(&self) -> DaemonStatus {
        todo!()
    }
    /// Events from now on.
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<Event> {
        todo!()
    }
    /// Removes a dump and tells those who follow. Blocks on disk.
    pub fn remove_dump(&self, _id: &aground_helper::id::DumpId) -> Result<(), aground_store::StoreError> {
        todo!()
    }
    /// Queues an analysis of the dump again. Blocks on disk.
    pub fn reanalyze(&self, _id: &aground_helper::id::DumpId) -> Result<(), aground_store::StoreError> {
        todo!()
    }
    /// Stops intake, ends workers (their jobs stay queued), returns when all is quiet.
    pub async fn shutdown(&self) {
        todo!()
    }
}
