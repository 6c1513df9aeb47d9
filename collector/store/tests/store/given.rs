//! Spool entries, records and reports to test with.

use aground_analyzer::report::{
    Cause, CoreFacts, Frame, ProcessFacts, Report, Signature, SignatureFrame, Thread,
};
use aground_helper::id::DumpId;
use aground_helper::record::{
    Capture, CaptureState, Container, Host, Kept, KernelFacts, Module, Process, Record, Signal,
};
use aground_store::types::{DumpSummary, PageRequest};
use aground_store::{Histogram, Query, Store};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// 2026-11-20T00:00:00Z.
pub const NOON: i64 = 1_795_132_800_000;

/// A store in a directory of its own.
pub struct Given {
    pub directory: TempDir,
    pub store: Store,
}

impl Given {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        Self { directory, store }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Dies (as far as the store can tell) and comes back.
    pub fn restart(self) -> Self {
        let Self { directory, store } = self;
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        Self { directory, store }
    }

    /// Writes a complete entry into the spool.
    pub fn spool(&self, record: &Record, modules: &[&[u8]]) -> PathBuf {
        let entry = self.path("spool/ready").join(record.id.as_str());
        fs::create_dir_all(entry.join("modules")).unwrap();
        fs::write(
            entry.join("record.json"),
            serde_json::to_vec(record).unwrap(),
        )
        .unwrap();
        fs::write(entry.join("core.zst"), b"core").unwrap();
        for module in modules {
            fs::write(entry.join("modules").join(sha256(module)), module).unwrap();
        }
        entry
    }

    /// A crash taken in.
    pub fn admitted(&self, record: &Record) -> DumpId {
        let entry = self.spool(record, &[]);
        self.store.admit(record, &entry).unwrap();
        record.id.clone()
    }

    /// A crash taken in and analysed.
    pub fn analysed(&self, record: &Record, function: &str) -> DumpId {
        let id = self.admitted(record);
        self.store
            .save_report(&id, &report(&[function, "main"]))
            .unwrap();
        id
    }

    pub fn summary(&self, id: &DumpId) -> DumpSummary {
        self.store.dump(id).unwrap().summary
    }

    /// The ids (as numbers given to [`record`]) of the dumps that match, newest first.
    pub fn found(&self, query: &str) -> Vec<u8> {
        let page = self
            .store
            .dumps(&Query::parse(query).unwrap(), &PageRequest::default())
            .unwrap();
        page.items
            .iter()
            .map(|dump| u8::from_str_radix(&dump.id.as_str()[..2], 16).unwrap())
            .collect()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The id whose digits are the number, again and again.
pub fn id(number: u8) -> DumpId {
    DumpId::from_bytes([number; 16])
}

/// A crash of a process of the host, `number` seconds after noon.
pub fn record(number: u8) -> Record {
    Record {
        imported: None,
        schema: 1,
        id: id(number),
        captured_at_ms: NOON + i64::from(number) * 1000,
        signal: Signal {
            number: 11,
            name: "SIGSEGV".into(),
        },
        kernel: KernelFacts {
            pid: 4000 + i32::from(number),
            ..KernelFacts::default()
        },
        process: Process {
            pid: 4000 + i32::from(number),
            name: "server".into(),
            executable: Some("/app/server".into()),
            args: vec!["/app/server".into(), "--port=80".into()],
            ..Process::default()
        },
        container: None,
        unit: None,
        context: aground_helper::record::Context::default(),
        host: Host {
            hostname: "node1".into(),
            ..Host::default()
        },
        capture: Capture {
            state: CaptureState::Complete,
            kept: Kept::Full,
            reason: None,
            hold_us: Some(1500),
            core_size: Some(1 << 20),
            bytes_seen: 1 << 20,
            bytes_kept: 1 << 20,
            bytes_stored: 4,
            truncated: false,
            ..Capture::default()
        },
        modules: vec![],
        debug_files: vec![],
        problems: vec![],
    }
}

/// The same in a container.
pub fn in_container(number: u8, name: &str, image: &str, labels: &[(&str, &str)]) -> Record {
    let labels: BTreeMap<_, _> = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let container = Container {
        runtime: "docker".into(),
        id: sha256(name.as_bytes()),
        name: Some(name.into()),
        image: Some(image.into()),
        image_id: Some(format!("sha256:{}", sha256(image.as_bytes()))),
        labels,
        ..Container::default()
    };
    Record {
        container: Some(container),
        ..record(number)
    }
}

pub fn with_modules(mut record: Record, modules: &[&[u8]]) -> Record {
    record.modules = modules
        .iter()
        .map(|bytes| Module {
            path: "/app/server".into(),
            base: 0x40_0000,
            end: 0x40_1000,
            build_id: Some("abcd".into()),
            sha256: Some(sha256(bytes)),
            size: Some(bytes.len() as u64),
            missing: None,
        })
        .collect();
    record
}

/// A report whose crashed thread and signature have these functions.
pub fn report(functions: &[&str]) -> Report {
    let frame = |function: &&str| Frame {
        function: Some((*function).to_owned()),
        ..Frame::default()
    };
    let kept = |function: &&str| SignatureFrame {
        function: (*function).to_owned(),
        kept: true,
        ..SignatureFrame::default()
    };
    let thread = Thread {
        crashed: true,
        frames: functions.iter().map(frame).collect(),
        ..Thread::default()
    };
    Report {
        schema: 1,
        core: CoreFacts::default(),
        process: ProcessFacts::default(),
        cause: Cause {
            kind: "null-dereference".into(),
            title: format!("write to 0x0 in {}", functions[0]),
            ..Cause::default()
        },
        site: None,
        deadlocks: Vec::new(),
        threads: vec![thread],
        modules: vec![],
        runtimes: vec![],
        revision: 0,
        partial: None,
        signature: Signature {
            version: 1,
            kind: "symbolic".into(),
            title: functions.join(" | "),
            hash: sha256(functions.join("\n").as_bytes()),
            frames: functions.iter().map(kept).collect(),
            ..Signature::default()
        },
        warnings: vec![],
    }
}

/// The hour before one o'clock, in four quarters.
pub fn hour() -> Histogram {
    Histogram {
        now_ms: NOON + 3_600_000,
        window_ms: 3_600_000,
        buckets: 4,
    }
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
