//! The container a process ran in, and how we know: a part of the record.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The container a process ran in, and how we know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `incus`, `lxd`, `systemd-nspawn`,
    /// `libvirt-lxc`, `runc`, `crun`, `buildkit` or `unknown`.
    pub runtime: String,
    /// containerd's namespace, such as `k8s.io`.
    pub runtime_namespace: Option<String>,
    /// Full id, for engines 64 hexadecimal digits; the name for LXC, nspawn and their like.
    pub id: String,
    /// Name without a leading slash.
    pub name: Option<String>,
    /// Image reference as given to the runtime, such as `app:1.42`.
    pub image: Option<String>,
    /// Image id (`sha256:…` of its configuration).
    pub image_id: Option<String>,
    /// Repository digests (`app@sha256:…`); empty for images that were never pushed or pulled.
    #[serde(default)]
    pub image_digests: Vec<String>,
    /// Labels of image and container, and the pod's labels and annotations where they are on disk.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Hostname inside.
    pub hostname: Option<String>,
    /// When the container started, RFC 3339 as the runtime wrote it.
    pub started_at: Option<String>,
    /// How often the runtime, or the kubelet, has restarted it.
    pub restart_count: Option<u64>,
    /// Where its output goes, as its engine calls it: `json-file`, `local`, `journald`, …
    #[serde(default)]
    pub log_driver: Option<String>,
    /// Memory limit in bytes; `None` when unlimited or unknown.
    pub memory_limit: Option<u64>,
    /// Namespace of the Kubernetes pod.
    pub pod_namespace: Option<String>,
    /// Name of the Kubernetes pod.
    pub pod_name: Option<String>,
    /// Kubernetes pod UID, with dashes unless it is a static pod's.
    pub pod_uid: Option<String>,
    /// Name of the container within its pod.
    pub pod_container: Option<String>,
    /// What keeps the pod alive, such as `deployment/shop`.
    pub pod_owner: Option<String>,
    /// Id of the pod's sandbox.
    pub sandbox_id: Option<String>,
    /// Whether the container is itself a pod's sandbox (the pause container); `None` when unknown.
    pub sandbox: Option<bool>,
    /// The host's user whose rootless engine runs it; all files about it are his to write.
    pub user: Option<u32>,
    /// Where the identity came from.
    pub source: IdentitySource,
    /// Where each fact came from.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// Containers claimed further in (docker in docker): not confirmed by the host.
    #[serde(default)]
    pub chain: Vec<ClaimedContainer>,
}

/// How we know which container it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentitySource {
    /// The cgroup names it and the runtime's files on the host's disk confirm it.
    CgroupAndDisk,
    /// The cgroup names it below a user's manager, and that user's own files confirm it.
    CgroupAndUserDisk,
    /// Only the cgroup names it.
    #[default]
    Cgroup,
    /// The runtime's process that watches over it, an ancestor of the crashed one, names it.
    Supervisor,
    /// Only a mount of the process names it.
    Mountinfo,
    /// A mount of the process names it and files of a runtime confirm that it exists.
    MountinfoAndDisk,
    /// The runtime's daemon was asked after the release.
    RuntimeApi,
    /// The runtime's daemon had told of it before the crash.
    EventCache,
}

/// How far an identity can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The kernel's word and the host's own files, or its own runtime, agree.
    Confirmed,
    /// A user of the host says so of his own container.
    ClaimedByUser,
    /// Names alone, which a container or a user can choose.
    Claimed,
}

impl Confidence {
    /// The word it is stored and shown by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::ClaimedByUser => "claimed-by-user",
            Self::Claimed => "claimed",
        }
    }
}

impl Container {
    /// How far this identity can be relied on.
    pub fn confidence(&self) -> Confidence {
        match self.source {
            _ if self.user.is_some() => Confidence::ClaimedByUser,
            IdentitySource::CgroupAndDisk
            | IdentitySource::Supervisor
            | IdentitySource::RuntimeApi
            | IdentitySource::EventCache => Confidence::Confirmed,
            IdentitySource::CgroupAndUserDisk => Confidence::ClaimedByUser,
            IdentitySource::Cgroup
            | IdentitySource::Mountinfo
            | IdentitySource::MountinfoAndDisk => Confidence::Claimed,
        }
    }
}

/// Where some facts came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Names of the facts, as the fields of [`Container`].
    pub facts: Vec<String>,
    /// What kind of place it was.
    pub from: EvidenceKind,
    /// The file, mount or cgroup path itself.
    pub detail: String,
}

/// The kinds of places facts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// The process's cgroup.
    Cgroup,
    /// An ancestor of the process, the runtime's own on the host.
    Supervisor,
    /// A mount of the process.
    Mountinfo,
    /// A runtime's file on the host's disk.
    Disk,
    /// A file that belongs to the user who runs the container.
    UserDisk,
    /// Concluded from other facts, as Kubernetes builds its names.
    Derived,
    /// The runtime's daemon, after the release.
    RuntimeApi,
    /// What the runtime's daemon had told before the crash.
    EventCache,
}

impl EvidenceKind {
    /// The word it is stored and shown by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Supervisor => "supervisor",
            Self::Mountinfo => "mountinfo",
            Self::Disk => "disk",
            Self::UserDisk => "user-disk",
            Self::Derived => "derived",
            Self::RuntimeApi => "runtime-api",
            Self::EventCache => "event-cache",
        }
    }
}

/// A container named below the trusted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedContainer {
    /// The runtime its cgroup name suggests.
    pub runtime: String,
    /// The id its cgroup name gives.
    pub id: String,
    /// The pod its cgroup names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
}
