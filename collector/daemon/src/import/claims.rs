//! What whoever hands in a core says of it, beside what the core says.

use aground_helper::id::DumpId;
use aground_helper::kernel_args::signal_named;
use aground_helper::record::{
    Capture, CaptureState, Host, Imported as Origin, Kept, KernelFacts, Module, Policy, Process,
    RECORD_SCHEMA, Record, Way,
};
use aground_helper::text::escape_bytes;
use aground_import::Imported;

/// Bytes kept of each text.
const MAX_TEXT: usize = 4096;

/// What is said of a core. Where it is silent, the core speaks; where that is silent too, nothing
/// is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Name of the file.
    pub file: Option<String>,
    /// When the process died, milliseconds since the epoch.
    pub died_at_ms: Option<i64>,
    /// The machine it died on.
    pub hostname: Option<String>,
    /// Name of the process.
    pub name: Option<String>,
    /// Path of the executable.
    pub executable: Option<String>,
    /// Process id.
    pub pid: Option<i32>,
    /// Its real user id.
    pub uid: Option<u32>,
    /// Its real group id.
    pub gid: Option<u32>,
    /// The signal.
    pub signal: Option<i32>,
}

impl Claims {
    /// The record of a core that is stored.
    pub fn record(&self, id: DumpId, core: &Imported, now_ms: i64) -> Record {
        let text = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(|text| escape_bytes(text.as_bytes(), MAX_TEXT))
        };
        let signal = Some(core.signal).filter(|signal| *signal != 0);
        let pid = core.pid.or(self.pid);
        let mut record = Record {
            schema: RECORD_SCHEMA,
            id,
            captured_at_ms: self.died_at_ms.unwrap_or(now_ms),
            signal: signal_named(signal.or(self.signal).unwrap_or(0)),
            kernel: KernelFacts {
                pid: pid.unwrap_or(0),
                tid: core.tid,
                uid: self.uid,
                gid: self.gid,
                time: self.died_at_ms.map(|milliseconds| milliseconds / 1000),
                ..KernelFacts::default()
            },
            process: Process {
                pid: pid.unwrap_or(0),
                name: core.name.clone().or(text(&self.name)).unwrap_or_default(),
                executable: text(&self.executable),
                args: words(core.arguments.as_deref().unwrap_or_default()),
                threads: Some(core.threads),
                ..Process::default()
            },
            host: Host {
                hostname: text(&self.hostname).unwrap_or_default(),
                arch: core.arch.clone(),
                ..Host::default()
            },
            capture: capture(core),
            modules: core.files.iter().map(module).collect(),
            imported: Some(Origin {
                file: text(&self.file),
                at_ms: now_ms,
                sha256: core.sha256.clone(),
            }),
            ..Record::default()
        };
        if self.died_at_ms.is_none() {
            let problem = "when it died is not known: the time is that of the import";
            record.problems.push(problem.to_owned());
        }
        record
    }
}

fn words(arguments: &str) -> Vec<String> {
    arguments.split(' ').map(ToOwned::to_owned).collect()
}

fn capture(core: &Imported) -> Capture {
    let truncated = core.seen < core.announced;
    let missing = truncated.then(|| {
        let (seen, announced) = (core.seen, core.announced);
        format!("the core is cut: {seen} of {announced} bytes")
    });
    let reason = match (missing, &core.stopped) {
        (Some(missing), Some(stopped)) => Some(format!("{missing} ({stopped})")),
        (missing, stopped) => missing.or_else(|| stopped.clone()),
    };
    Capture {
        state: CaptureState::Complete,
        policy: Policy::Full,
        policy_from: "import".to_owned(),
        way: Some(Way::Import),
        kept: if reason.is_some() {
            Kept::Partial
        } else {
            Kept::Full
        },
        reason,
        core_size: Some(core.announced),
        bytes_seen: core.seen,
        bytes_kept: core.kept,
        bytes_stored: core.stored,
        truncated,
        ..Capture::default()
    }
}

fn module(file: &aground_import::MappedFile) -> Module {
    Module {
        path: file.path.clone(),
        base: file.base,
        end: file.end,
        build_id: None,
        sha256: None,
        size: None,
        missing: Some("the core was imported without its files".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core() -> Imported {
        Imported {
            announced: 100,
            seen: 100,
            kept: 100,
            signal: 11,
            pid: Some(7),
            ..Imported::default()
        }
    }

    #[test]
    fn the_core_knows_better_than_who_hands_it_in() {
        let claims = Claims {
            signal: Some(6),
            pid: Some(8),
            name: Some("a".repeat(5000)),
            died_at_ms: Some(5),
            ..Claims::default()
        };
        let record = claims.record(DumpId::default(), &core(), 9);
        assert_eq!(
            (
                record.signal.name.as_str(),
                record.process.pid,
                record.captured_at_ms
            ),
            ("SIGSEGV", 7, 5)
        );
        assert!(record.process.name.len() <= MAX_TEXT + 4);
        assert_eq!(record.problems, [] as [String; 0]);
        let silent = Imported {
            signal: 0,
            pid: None,
            ..core()
        };
        let record = claims.record(DumpId::default(), &silent, 9);
        assert_eq!((record.signal.number, record.process.pid), (6, 8));
        let record = Claims::default().record(DumpId::default(), &core(), 9);
        assert_eq!((record.captured_at_ms, record.problems.len()), (9, 1));
    }

    #[test]
    fn a_core_that_was_cut_is_called_that() {
        let whole = Claims::default()
            .record(DumpId::default(), &core(), 9)
            .capture;
        assert_eq!(
            (whole.kept, whole.reason, whole.truncated),
            (Kept::Full, None, false)
        );
        let cut = Imported {
            seen: 60,
            kept: 60,
            ..core()
        };
        let cut = Claims::default().record(DumpId::default(), &cut, 9).capture;
        assert_eq!((cut.kept, cut.truncated), (Kept::Partial, true));
        assert_eq!(
            cut.reason.as_deref(),
            Some("the core is cut: 60 of 100 bytes")
        );
    }
}
