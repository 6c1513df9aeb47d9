//! What surrounded the process at death: its share of the machine, its connections, its mounts,
//! its confinement. Everything here helps a reader and decides nothing.

use serde::{Deserialize, Serialize};

/// What surrounded a process when it died.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// What its cgroup used and was allowed; of the container's cgroup where it ran in one.
    pub resources: Resources,
    /// Its open sockets, in the order of their descriptors.
    pub sockets: Vec<Socket>,
    /// Its mounts, in the kernel's order.
    pub mounts: Vec<Mount>,
    /// What confined it.
    pub security: Security,
    /// The processor, from `/proc/cpuinfo`.
    pub cpu: Cpu,
}

/// Use and limits of a cgroup, from its files. A limit of `None` is none, or was not readable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory in use, bytes.
    pub memory_current: Option<u64>,
    /// The most memory that was ever in use, bytes.
    pub memory_peak: Option<u64>,
    /// The memory limit, bytes.
    pub memory_max: Option<u64>,
    /// How often the limit was hit.
    pub memory_max_hits: Option<u64>,
    /// How often the limit could not be kept by reclaiming (`oom`; cgroup v2 only).
    pub oom_events: Option<u64>,
    /// Processes of the cgroup killed by the out-of-memory killer.
    pub oom_kills: Option<u64>,
    /// The processor limit in thousandths of a processor.
    pub cpu_millis: Option<u64>,
    /// Scheduling periods that passed while there was a processor limit.
    pub cpu_periods: Option<u64>,
    /// Periods in which the cgroup had to wait for the next one.
    pub cpu_throttled_periods: Option<u64>,
    /// How long it waited, microseconds over all processors.
    pub cpu_throttled_us: Option<u64>,
    /// Tasks (processes and threads).
    pub pids_current: Option<u64>,
    /// The most tasks allowed.
    pub pids_max: Option<u64>,
}

/// An open socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// File descriptor.
    pub fd: i32,
    /// `tcp`, `tcp6`, `udp`, `udp6` or `unix`.
    pub protocol: String,
    /// Own address and port; the path of a unix socket, `@name` when abstract, or empty.
    pub local: String,
    /// The other side's address and port; `None` when there is none, and for unix sockets.
    pub peer: Option<String>,
    /// State in the words of `ss`, such as `ESTAB` or `LISTEN`.
    pub state: String,
}

/// A mount in the process's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is mounted, as seen from inside.
    pub path: String,
    /// Type of file system, such as `overlay`.
    pub kind: String,
    /// What is mounted: a device or a name.
    pub source: String,
    /// The directory of that file system that is mounted.
    pub root: String,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// What confined a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// `AppArmor` profile or `SELinux` context, as `/proc/P/attr/current` has it.
    pub profile: Option<String>,
    /// `off`, `strict` or `filter`.
    pub seccomp: Option<String>,
    /// Whether it could gain privileges by `execve` no more.
    pub no_new_privileges: Option<bool>,
    /// Effective capabilities, the kernel's bit mask in hexadecimal.
    pub capabilities: Option<String>,
    /// Namespaces it shared with the host, such as `net`.
    pub host_namespaces: Vec<String>,
    /// `oom_score_adj`, -1000 to 1000.
    pub oom_score_adjust: Option<i32>,
}

/// The processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Model name.
    pub model: Option<String>,
    /// Version of the microcode.
    pub microcode: Option<String>,
}
