//! One crash as a row of a table.

use super::bytes;
use super::kind::Kind;
use super::text::{Brief, LINE, base_name};
use super::time::Moment;
use aground_store::types::{DumpStatus, DumpSummary};

/// One crash as a row of a table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whole id.
    pub id: String,
    /// Its first digits.
    pub short: String,
    /// When the process died.
    pub at: Moment,
    /// Container, unit or process name.
    pub place: Brief,
    /// What `place` is: `docker container`, `unit`, `host process`.
    pub place_kind: String,
    /// Image reference.
    pub image: Option<Brief>,
    /// Command line.
    pub command: Brief,
    /// Signal name.
    pub signal: String,
    /// Cause in one line, or why there is none.
    pub cause: Brief,
    /// Its kind, once analysed.
    pub kind: Option<Kind>,
    /// Topmost frame that counts.
    pub location: Option<Brief>,
    /// Size of the core, or `–`.
    pub size: String,
    /// Where it stands.
    pub status: Standing,
    /// The machine.
    pub host: Brief,
    /// Whether the core arrived cut.
    pub truncated: bool,
    /// What became of the memory: `dropped` or `made lean`.
    pub given_up: Option<&'static str>,
    /// Whether it stays whatever the limits.
    pub pinned: bool,
}

/// Where a dump stands, in words and as a class of the style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `analyzed`, `failed`, …
    pub word: &'static str,
    /// What a reader should know about it.
    pub label: &'static str,
}

impl Standing {
    fn new(status: DumpStatus) -> Self {
        let label = match status {
            DumpStatus::Pending => "Waiting",
            DumpStatus::Analyzing => "Analyzing",
            DumpStatus::Analyzed => "Analyzed",
            DumpStatus::Failed => "Failed",
        };
        Self {
            word: status.as_str(),
            label,
        }
    }
}

impl Row {
    /// The row, seen from `now_ms`.
    pub fn new(dump: &DumpSummary, now_ms: i64) -> Self {
        let (place, place_kind) = place(dump);
        let image = dump.container.as_ref().and_then(|c| c.image.as_deref());
        let size = match dump.core_bytes {
            0 => "–".to_owned(),
            bytes => bytes::size(bytes),
        };
        Self {
            id: dump.id.as_str().to_owned(),
            short: dump.id.short().to_owned(),
            at: Moment::new(dump.crashed_at_ms, now_ms),
            place: Brief::new(&place, 80),
            place_kind,
            image: image.map(|image| Brief::new(image, 100)),
            command: Brief::new(&dump.command, 160),
            signal: dump.signal.clone(),
            cause: Brief::named(&cause(dump), LINE),
            kind: dump.cause.as_deref().map(Kind::new),
            location: dump.location.as_deref().map(|l| Brief::new(l, 120)),
            size,
            status: Standing::new(dump.status),
            host: Brief::new(&dump.host, 60),
            truncated: dump.truncated,
            given_up: dump.dropped.as_ref().map(|_| match dump.kept.as_str() {
                "none" => "dropped",
                _ => "made lean",
            }),
            pinned: dump.pinned,
        }
    }
}

/// The rows of a list.
pub fn rows(dumps: &[DumpSummary], now_ms: i64) -> Vec<Row> {
    dumps.iter().map(|dump| Row::new(dump, now_ms)).collect()
}

/// Where the process ran, and what that is.
pub fn place(dump: &DumpSummary) -> (String, String) {
    if let Some(container) = &dump.container {
        let id = container.id.get(..12).unwrap_or(&container.id);
        let name = container.name.as_deref().unwrap_or(id);
        return (name.to_owned(), format!("{} container", container.runtime));
    }
    // A leaf of a cgroup that systemd did not name says less than the process's own name.
    let unit = dump.unit.as_deref().map(base_name);
    let named = |unit: &&str| matches!(unit.rsplit_once('.'), Some((_, "service" | "scope")));
    match unit.filter(named) {
        Some(unit) => (unit.to_owned(), "unit".to_owned()),
        None => (dump.name.clone(), "host process".to_owned()),
    }
}

/// The cause in one line, or why none is known.
pub fn cause(dump: &DumpSummary) -> String {
    let died = || format!("{} killed {}", dump.signal, dump.name);
    match (&dump.title, dump.status) {
        (Some(title), _) => title.clone(),
        (None, DumpStatus::Failed) => format!("{} – no cause: analysis failed", died()),
        (None, DumpStatus::Analyzed) => died(),
        (None, DumpStatus::Pending | DumpStatus::Analyzing) => {
            format!("{} – the cause is being worked out", died())
        }
    }
}
