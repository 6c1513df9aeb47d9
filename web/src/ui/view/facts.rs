//! What is known about process, container and capture, as names and values.

use super::text::{Brief, LINE};
use super::time::{self, Moment};
use super::{bytes, text};
use aground_helper::label;
use aground_helper::record::{
    Access, Capture, CaptureState, Container, Forwarded, IdentitySource, Kept, Record,
};
use aground_store::types::DumpSummary;

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: Brief,
    /// Whether it is code: a path, a command.
    pub code: bool,
    /// Whether it is a long id, whose beginning is enough to see.
    pub id: bool,
}

/// Collects facts, leaving out what is not known.
#[derive(Default)]
pub(super) struct Facts(pub(super) Vec<Fact>);

impl Facts {
    pub(super) fn word(&mut self, name: &'static str, value: impl Into<Option<String>>) {
        self.push(name, value.into(), false);
    }

    pub(super) fn code(&mut self, name: &'static str, value: impl Into<Option<String>>) {
        self.push(name, value.into(), true);
    }

    fn id(&mut self, name: &'static str, value: impl Into<Option<String>>) {
        let count = self.0.len();
        self.code(name, value);
        for fact in self.0.iter_mut().skip(count) {
            fact.id = true;
        }
    }

    fn push(&mut self, name: &'static str, value: Option<String>, code: bool) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let value = Brief::new(&value, LINE);
            self.0.push(Fact {
                name,
                value,
                code,
                id: false,
            });
        }
    }
}

/// The container.
pub fn container(container: &Container) -> Vec<Fact> {
    let mut facts = Facts::default();
    facts.word("Name", container.name.clone());
    facts.code("Image", container.image.clone());
    facts.id("Image id", container.image_id.clone());
    facts.code("Digests", container.image_digests.join(", "));
    facts.word("Runtime", container.runtime.clone());
    facts.id("Container id", container.id.clone());
    facts.word("Runtime namespace", container.runtime_namespace.clone());
    facts.word("Kubernetes namespace", container.pod_namespace.clone());
    facts.word("Pod", container.pod_name.clone());
    facts.id("Pod UID", container.pod_uid.clone());
    facts.word("Container in pod", container.pod_container.clone());
    facts.word("Workload", container.pod_owner.clone());
    let owner = container.labels.get(label::OWNER);
    let owner = owner.and_then(|owner| label::line(owner).ok());
    facts.word("Owner", owner.map(str::to_owned));
    facts.id("Sandbox id", container.sandbox_id.clone());
    facts.word(
        "Pause container",
        container
            .sandbox
            .filter(|pause| *pause)
            .map(|_| "yes".to_owned()),
    );
    facts.word(
        "Rootless, of user",
        container.user.map(|user| user.to_string()),
    );
    facts.code("Hostname", container.hostname.clone());
    facts.word(
        "Started",
        container.started_at.as_deref().map(time::of_runtime),
    );
    facts.word("Restarts", container.restart_count.map(text::grouped));
    facts.word("Log driver", container.log_driver.clone());
    facts.word("Memory limit", container.memory_limit.map(bytes::size));
    let source = match container.source {
        IdentitySource::CgroupAndDisk => "cgroup, confirmed by the runtime's files on the host",
        IdentitySource::CgroupAndUserDisk => "cgroup, and files of the user who runs it",
        IdentitySource::Cgroup => "cgroup alone; no file of a runtime confirms it",
        IdentitySource::Supervisor => "the runtime's process that watches over it",
        IdentitySource::Mountinfo => "its mounts alone; no file of a runtime confirms it",
        IdentitySource::MountinfoAndDisk => "its mounts, and the runtime's files",
        IdentitySource::RuntimeApi => "the runtime, asked after the crash",
        IdentitySource::EventCache => "the runtime, before the crash",
    };
    let confidence = container.confidence().as_str();
    facts.word("Known from", format!("{source} ({confidence})"));
    let claim = |inner: &aground_helper::record::ClaimedContainer| {
        format!("{} {}", inner.runtime, inner.id)
    };
    let claimed: Vec<_> = container.chain.iter().map(claim).collect();
    facts.code("Claimed further in", claimed.join(", "));
    facts.0
}

/// The process.
pub fn process(record: &Record, args: &[String]) -> Vec<Fact> {
    let process = &record.process;
    let mut facts = Facts::default();
    facts.code("Command", args.join(" "));
    facts.code("Executable", process.executable.clone());
    facts.code("Directory", process.cwd.clone());
    facts.word("Pid", pids(process.pid, process.namespace_pid));
    facts.word("Parent pid", process.parent_pid.map(|pid| pid.to_string()));
    facts.word("User", process.uids.map(ids));
    facts.word("Group", process.gids.map(ids));
    facts.word(
        "Raised privileges",
        process
            .secure
            .filter(|secure| *secure)
            .map(|_| "yes".to_owned()),
    );
    let died = record.captured_at_ms;
    let lived = |at: i64| time::span(died.saturating_sub(at));
    facts.word("Lived for", process.started_at_ms.map(lived));
    facts.word(
        "Started",
        process.started_at_ms.map(|at| Moment::new(at, died).exact),
    );
    facts.word("Threads", process.threads.map(text::grouped));
    facts.word("Resident memory", process.resident_bytes.map(bytes::size));
    facts.word("Address space", process.virtual_bytes.map(bytes::size));
    facts.code("Unit", record.unit.clone());
    facts.0
}

fn pids(pid: i32, inside: Option<i32>) -> String {
    match inside {
        Some(inside) if inside != pid => format!("{pid} (inside: {inside})"),
        _ => pid.to_string(),
    }
}

fn ids([real, effective, saved, files]: [u32; 4]) -> String {
    if real == effective && real == saved && real == files {
        return real.to_string();
    }
    format!("real {real}, effective {effective}, saved {saved}, files {files}")
}

/// The capture, and the machine it happened on.
pub fn capture(record: &Record, summary: &DumpSummary) -> Vec<Fact> {
    let capture = &record.capture;
    let mut facts = Facts::default();
    facts.word("Memory captured", kept(capture));
    let left = summary.dropped.as_ref().map(|_| left(summary));
    facts.word("Memory kept now", left);
    facts.word("Why not more", capture.reason.clone());
    facts.word("For root alone", capture.access_reason.clone());
    facts.word("Core size", capture.core_size.map(bytes::size));
    let seen = Some(capture.bytes_seen).filter(|seen| Some(*seen) != capture.core_size);
    facts.word("Bytes that arrived", seen.map(bytes::size));
    facts.word("On disk", bytes::size(summary.memory_bytes));
    facts.word("Process held for", capture.hold_us.map(time::short_span));
    facts.word("Passed on", capture.forwarded.as_ref().map(passed_on));
    if let Some(origin) = &record.imported {
        let file = origin.file.as_deref().unwrap_or("a stream");
        let at = time::Moment::new(origin.at_ms, time::now_ms());
        facts.word(
            "Imported",
            format!(
                "from {file}, {}; name, time and host are what it says",
                at.ago
            ),
        );
        facts.code("SHA-256", Some(origin.sha256.clone()));
    }
    facts.word("Host", record.host.hostname.clone());
    let kernel = format!("{} {}", record.host.kernel, record.host.arch);
    facts.word("Kernel", kernel.trim().to_owned());
    facts.id("Boot", record.host.boot_id.clone());
    facts.id("Machine", record.host.machine_id.clone());
    let version = Some(&record.host.aground).filter(|version| !version.is_empty());
    facts.word(
        "Collected by",
        version.map(|version| format!("aground {version}")),
    );
    facts.0
}

fn passed_on(forwarded: &Forwarded) -> String {
    let sum = format!("{} to {}", bytes::size(forwarded.bytes), forwarded.to);
    match &forwarded.trouble {
        Some(trouble) => format!("{sum}: {trouble}"),
        None => sum,
    }
}

fn left(summary: &DumpSummary) -> String {
    match summary.kept.as_str() {
        "none" => "none".to_owned(),
        kept => format!("{kept}: {}", bytes::size(summary.core_bytes)),
    }
}

fn kept(capture: &Capture) -> String {
    match capture.kept {
        Kept::Full => "all of it".to_owned(),
        Kept::Lean => format!("lean: {}", bytes::size(capture.bytes_kept)),
        Kept::Partial => format!("a beginning: {}", bytes::size(capture.bytes_kept)),
        Kept::None => "none".to_owned(),
    }
}

/// What a reader must know about the capture before trusting anything else, a sentence each.
pub fn warnings(capture: &Capture, summary: &DumpSummary) -> Vec<String> {
    let mut warnings = Vec::new();
    if let (Some(reason), "none") = (&summary.dropped, summary.kept.as_str()) {
        let reason = text::clip(reason, 300);
        warnings.push(format!("Memory was dropped because {reason}."));
    } else if let Some(reason) = &summary.dropped {
        let reason = text::clip(reason, 300);
        warnings.push(format!(
            "The whole core became a lean one because {reason}."
        ));
    }
    if capture.state == CaptureState::Interrupted {
        warnings.push("The capture was interrupted: what follows may be incomplete.".to_owned());
    }
    if capture.access == Access::Root {
        let reason = capture.access_reason.as_deref();
        let reason = text::clip(reason.unwrap_or("the record does not say why"), 300);
        warnings.push(format!(
            "Only root may read the memory, and it was not analyzed: {reason}."
        ));
    }
    if capture.truncated {
        let whole = capture
            .core_size
            .map_or("an unknown size".to_owned(), bytes::size);
        let seen = bytes::size(capture.bytes_seen);
        warnings.push(format!("The core is truncated: {seen} of {whole} arrived."));
    }
    if capture.kept == Kept::None {
        let reason = capture
            .reason
            .as_deref()
            .unwrap_or("the record does not say why");
        let reason = text::clip(reason, 300);
        warnings.push(format!("No memory was kept: {reason}."));
    }
    warnings
}
