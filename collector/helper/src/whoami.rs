//! Answers whose a process is, of a living one or from captured files, as the helper would see it.

use crate::bounded::{open_dir, read_proc_at};
use crate::disk::Disk;
use crate::disk::host::HostRoot;
use crate::identity::{Identity, Texts, identify};
use crate::process::{PinError, Pinned};
use crate::record::{ClaimedContainer, Confidence, Evidence, EvidenceKind, IdentitySource};
use crate::supervisor::{self, Supervisor};
use crate::text::escape_bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Most bytes taken of one captured file.
const MAX_FILE: usize = 1 << 20;

/// Whose a process is. `id` and `runtime` are empty for a process of the host.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Process id on the host, where it is known.
    pub pid: Option<i32>,
    /// The command line, where it is known.
    pub command: Option<String>,
    /// As [`crate::record::Container::runtime`].
    pub runtime: Option<String>,
    /// containerd's namespace.
    pub runtime_namespace: Option<String>,
    /// The container's full id.
    pub id: Option<String>,
    /// The container's name.
    pub name: Option<String>,
    /// Image reference.
    pub image: Option<String>,
    /// Image id.
    pub image_id: Option<String>,
    /// Repository digests of the image.
    pub image_digests: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// Pod name.
    pub pod: Option<String>,
    /// Pod UID.
    pub pod_uid: Option<String>,
    /// Name of the container in its pod.
    pub container: Option<String>,
    /// What keeps the pod alive.
    pub owner: Option<String>,
    /// Id of the pod's sandbox.
    pub sandbox_id: Option<String>,
    /// Whether it is the pod's sandbox itself.
    pub sandbox: Option<bool>,
    /// How often it was restarted.
    pub restart_count: Option<u64>,
    /// The user whose rootless engine runs it.
    pub user: Option<u32>,
    /// The systemd unit, or else the last cgroup, of a process of the host.
    pub unit: Option<String>,
    /// The cgroup path that was believed.
    pub cgroup: Option<String>,
    /// Containers claimed further in.
    pub chain: Vec<ClaimedContainer>,
    /// Where the identity came from.
    pub source: IdentitySource,
    /// How far it can be relied on.
    pub confidence: Confidence,
    /// Where each fact came from, in the order of asking.
    pub evidence: Vec<Evidence>,
    /// What could not be learned, and what was not believed.
    pub problems: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The process cannot be looked at.
    #[error(transparent)]
    Process(#[from] PinError),
    /// The host's root directory cannot be opened.
    #[error("{path}: {source}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing was captured.
    #[error("{0} has neither a cgroup nor a mountinfo")]
    Empty(String),
}

/// Whose the living process `pid` is.
pub fn of_process(pid: i32) -> Result<Answer, NoAnswer> {
    let pinned = Pinned::new(pid, None)?;
    let mut facts = Facts::read(pinned.proc());
    facts.texts.supervisor = supervisor::of(pid);
    let root = Path::new("/");
    let disk = disk_of(root, HostRoot::at(root), facts.texts.supervisor.as_ref())?;
    let mut identity = identify(&facts.texts, Some(&disk));
    if !pinned.is_still_there() {
        let ended = "the process ended while it was read: some facts may be missing";
        identity.problems.push(ended.to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        let hidden =
            "only root can read all files of the runtimes: without them, names are mere claims";
        identity.problems.push(hidden.to_owned());
    }
    Ok(answer(identity, facts.command, Some(pid), true))
}

/// Whose the process was of which `proc` holds captured files (`cgroup`, `mountinfo`, and if
/// there are any `status` and `cmdline`). Without a copy of the host's disk beneath `root`, what
/// the texts alone claim.
pub fn of_captured(proc: &Path, root: Option<&Path>) -> Result<Answer, NoAnswer> {
    let directory = open_dir(proc).map_err(|source| NoAnswer::Directory {
        path: proc.display().to_string(),
        source,
    })?;
    let facts = Facts::read(&directory);
    if facts.texts.cgroup.is_empty() && facts.texts.mountinfo.is_empty() {
        return Err(NoAnswer::Empty(proc.display().to_string()));
    }
    let disk = root
        .map(|root| disk_of(root, HostRoot::copied(root), None))
        .transpose()?;
    let identity = identify(&facts.texts, disk.as_ref());
    Ok(answer(identity, facts.command, facts.pid, disk.is_some()))
}

fn disk_of(
    root: &Path,
    host: io::Result<HostRoot>,
    supervisor: Option<&Supervisor>,
) -> Result<Disk, NoAnswer> {
    let host = host.map_err(|source| NoAnswer::Directory {
        path: root.display().to_string(),
        source,
    })?;
    Ok(Disk::new(host, supervisor))
}

/// What the files of a process say.
struct Facts {
    texts: Texts,
    pid: Option<i32>,
    command: Option<String>,
}

impl Facts {
    fn read(directory: &OwnedFd) -> Self {
        let bytes = |name: &str| {
            let read = read_proc_at(directory, name, MAX_FILE);
            read.map(|(bytes, _)| bytes).unwrap_or_default()
        };
        let status = bytes("status");
        let number = |name: &[u8]| {
            let mut lines = status.split(|b| *b == b'\n');
            let value = lines.find_map(|line| line.strip_prefix(name))?;
            str::from_utf8(value)
                .ok()?
                .split_ascii_whitespace()
                .next()?
                .parse::<u32>()
                .ok()
        };
        let command = bytes("cmdline");
        let command = command.strip_suffix(b"\0").unwrap_or(&command);
        let words: Vec<String> = command
            .split(|b| *b == 0)
            .map(|word| escape_bytes(word, 4096))
            .collect();
        Self {
            pid: number(b"Pid:").and_then(|pid| i32::try_from(pid).ok()),
            command: Some(words.join(" ")).filter(|command| !command.is_empty()),
            texts: Texts {
                cgroup: bytes("cgroup"),
                mountinfo: bytes("mountinfo"),
                uid: number(b"Uid:"),
                supervisor: None,
            },
        }
    }
}

fn answer(identity: Identity, command: Option<String>, pid: Option<i32>, disk: bool) -> Answer {
    let Identity {
        container,
        unit,
        pod_uid,
        cgroup,
        problems,
        ..
    } = identity;
    let confidence = match &container {
        Some(container) => container.confidence(),
        // The kernel's word that no container is named, and no file of a runtime objects.
        None if disk => Confidence::Confirmed,
        None => Confidence::Claimed,
    };
    let is_host = container.is_none();
    let container = container.unwrap_or_default();
    let mut evidence = container.evidence;
    if is_host && unit.is_some() {
        evidence.push(Evidence {
            facts: vec!["unit".to_owned()],
            from: EvidenceKind::Cgroup,
            detail: cgroup.clone().unwrap_or_default(),
        });
    }
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    Answer {
        pid,
        command,
        runtime: text(container.runtime),
        runtime_namespace: container.runtime_namespace,
        id: text(container.id),
        name: container.name,
        image: container.image,
        image_id: container.image_id,
        image_digests: container.image_digests,
        labels: container.labels,
        namespace: container.pod_namespace,
        pod: container.pod_name,
        pod_uid: container.pod_uid.or(pod_uid),
        container: container.pod_container,
        owner: container.pod_owner,
        sandbox_id: container.sandbox_id,
        sandbox: container.sandbox,
        restart_count: container.restart_count,
        user: container.user,
        unit,
        cgroup,
        chain: container.chain,
        source: container.source,
        confidence,
        evidence,
        problems,
    }
}
