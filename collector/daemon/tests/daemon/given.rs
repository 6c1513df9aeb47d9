//! A state directory, a scripted analyzer, and a daemon on them.

use aground_daemon::{Config, Daemon, RulesConfig};
use aground_helper::id::DumpId;
use aground_helper::record::{
    Capture, CaptureState, Host, Kept, KernelFacts, Module, Process, Record, Signal,
};
use aground_store::types::{Dump, DumpStatus};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Prints a report with `$title`, its signature chosen by the digit `$bug`.
pub const REPORT: &str = r#"
say() { cat <<EOF
{"report":{"schema":1,"core":{"arch":"x86_64","size":4,"kept":"full","truncated":false},
 "process":{"pid":1,"executable":null,"signal":{"number":11,"name":"SIGSEGV"}},
 "cause":{"kind":"unknown","title":"$1","confidence":"guess"},"threads":[],"modules":[],
 "signature":{"version":1,"kind":"symbolic","title":"$1","hash":"$(printf '%064d' "${2:-1}")","frames":[]},
 "warnings":[]}}
EOF
}
manifest=$(cat)
"#;

/// The SHA-256 of `module`.
pub const MODULE: &str = "120970d812836f19888625587a4606a5ad23cef31c8684e601771552548fc6b9";

pub struct Given {
    pub directory: TempDir,
    pub config: Config,
}

impl Given {
    /// The script runs with the report's function `say TITLE [BUG]` and the `$manifest` at hand.
    pub fn analyzer(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let analyzer = directory.path().join("analyzer");
        fs::write(&analyzer, format!("#!/bin/sh\n{REPORT}\n{script}\n")).unwrap();
        fs::set_permissions(&analyzer, fs::Permissions::from_mode(0o755)).unwrap();
        let rules = RulesConfig {
            directory: None,
            shipped: false,
            ..RulesConfig::default()
        };
        let config = Config {
            rules,
            state_dir: directory.path().join("state"),
            runtime_dir: directory.path().join("run"),
            analyzer: Some(analyzer),
            analysis_seconds: 20,
            ..Config::default()
        };
        for below in ["spool/incoming", "spool/ready"] {
            fs::create_dir_all(config.state_dir.join(below)).unwrap();
        }
        Self { directory, config }
    }

    pub fn state(&self, below: &str) -> PathBuf {
        self.config.state_dir.join(below)
    }

    /// Writes an entry elsewhere and moves it in. Not where the helper writes: there a daemon that
    /// just starts would take it for an interrupted capture.
    pub fn crash(&self, number: u8) -> DumpId {
        let record = record(number);
        let elsewhere = self.directory.path().join(record.id.as_str());
        write_entry(&elsewhere, &record);
        fs::rename(
            &elsewhere,
            self.state("spool/ready").join(record.id.as_str()),
        )
        .unwrap();
        record.id
    }

    pub async fn start(&self) -> Daemon {
        Daemon::start(self.config.clone()).await.unwrap()
    }
}

pub fn write_entry(entry: &Path, record: &Record) {
    fs::create_dir_all(entry).unwrap();
    fs::write(
        entry.join("record.json"),
        serde_json::to_vec(record).unwrap(),
    )
    .unwrap();
    fs::write(entry.join("core.zst"), b"the core").unwrap();
}

pub fn id(number: u8) -> DumpId {
    DumpId::from_bytes([number; 16])
}

pub fn record(number: u8) -> Record {
    Record {
        imported: None,
        schema: 1,
        id: id(number),
        captured_at_ms: 1_795_132_800_000 + i64::from(number),
        signal: Signal {
            number: 11,
            name: "SIGSEGV".into(),
        },
        kernel: KernelFacts {
            tid: Some(4711),
            ..KernelFacts::default()
        },
        process: Process {
            pid: 4711,
            name: "server".into(),
            ..Process::default()
        },
        container: None,
        unit: None,
        context: aground_helper::record::Context::default(),
        host: Host::default(),
        capture: Capture {
            state: CaptureState::Complete,
            kept: Kept::Full,
            reason: None,
            hold_us: Some(1),
            core_size: Some(8),
            bytes_seen: 8,
            bytes_kept: 8,
            bytes_stored: 8,
            truncated: false,
            ..Capture::default()
        },
        modules: vec![],
        debug_files: vec![],
        problems: vec![],
    }
}

pub fn module(path: &str, sha256: &str) -> Module {
    let sha256 = Some(sha256.to_owned());
    Module {
        path: path.to_owned(),
        base: 0,
        end: 4096,
        build_id: None,
        sha256,
        size: Some(6),
        missing: None,
    }
}

/// Waits until something is so; a test that waits in vain fails here.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a dump's analysis.
#[track_caller]
pub fn concluded(daemon: &Daemon, id: &DumpId) -> Dump {
    eventually("the end of the analysis", || {
        let dump = daemon.store().dump(id).ok()?;
        matches!(
            dump.summary.status,
            DumpStatus::Analyzed | DumpStatus::Failed
        )
        .then_some(dump)
    })
}

/// The names in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return vec![];
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
