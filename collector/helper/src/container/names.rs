//! Knows how each runtime names its cgroups, from the runtimes' own sources.
//!
//! moby `daemon/oci_linux.go`; containerd `internal/cri/server/helpers.go`; nerdctl
//! `run_cgroup_linux.go`; cri-o `cgmgr_linux.go`; podman `container.go`, `oci_conmon_linux.go`;
//! runc and crun (`<slice>:<prefix>:<name>` becomes `<prefix>-<name>.scope`); lxc `cgfsng.c`;
//! systemd `nspawn-cgroup.c`; libvirt `vircgroup.c`; kubelet `cgroup_manager_linux.go`.

use crate::text::escape_bytes;

/// One level of a path, and those around it.
pub(super) struct Level<'a> {
    pub(super) name: &'a str,
    pub(super) parent: &'a str,
    pub(super) grandparent: &'a str,
    pub(super) child: &'a str,
    /// 0 for a level right below the root.
    pub(super) depth: usize,
}

/// The container a level stands for.
pub(super) struct Meaning {
    pub(super) runtime: &'static str,
    pub(super) namespace: Option<String>,
    pub(super) id: String,
    pub(super) only_possible: bool,
}

impl Meaning {
    fn named(runtime: &'static str, id: impl Into<String>) -> Self {
        Self {
            runtime,
            namespace: None,
            id: id.into(),
            only_possible: false,
        }
    }

    fn possible(runtime: &'static str, id: impl Into<String>) -> Self {
        Self {
            only_possible: true,
            ..Self::named(runtime, id)
        }
    }
}

impl Level<'_> {
    /// The container this level stands for, if any.
    pub(super) fn meaning(&self) -> Option<Meaning> {
        self.by_id()
            .or_else(|| self.by_name())
            .or_else(|| self.possible())
    }

    /// `<id>`, `<prefix>-<id>[.scope]` (systemd driver) and `<slice>:<prefix>:<id>` (a systemd
    /// name given to the cgroupfs driver).
    fn by_id(&self) -> Option<Meaning> {
        let name = self.name.strip_suffix(".scope").unwrap_or(self.name);
        let start = name.len().checked_sub(64)?;
        let (before, id) = name.split_at_checked(start)?;
        if !is_container_id(id) {
            return None;
        }
        if before.is_empty() {
            // `<id>.scope`, which no runtime makes, is somebody's unit.
            return (name == self.name).then(|| self.bare_id(id)).flatten();
        }
        let prefix = match before.strip_suffix(':') {
            Some(slice_and_prefix) => slice_and_prefix.rsplit(':').next()?,
            None => before.strip_suffix('-')?,
        };
        Some(Meaning::named(prefix_runtime(prefix)?, id))
    }

    fn bare_id(&self, id: &str) -> Option<Meaning> {
        let runtime = match self.parent {
            "docker" => "docker",
            _ if self.grandparent == "ecs" => "docker",
            _ if pod_uid(self.parent).is_some() => "containerd",
            // A pod of Podman's with the cgroupfs driver; its containers lie below.
            "libpod_parent" => return None,
            _ if self.child.starts_with("libpod-") => return None,
            _ if self.is_below_namespace() => {
                return Some(Meaning {
                    namespace: Some(self.parent.to_owned()),
                    ..Meaning::named("containerd", id)
                });
            }
            _ => "unknown",
        };
        Some(Meaning::named(runtime, id))
    }

    /// Namespaces of containerd, which its cgroupfs paths begin with. Any word can be one; these
    /// are what clients use unless told otherwise (`moby` never shows: Docker gives its own path).
    fn is_below_namespace(&self) -> bool {
        let known = matches!(self.parent, "default" | "k8s.io" | "buildkit");
        known && self.depth == 1
    }

    fn by_name(&self) -> Option<Meaning> {
        self.lxc()
            .or_else(|| self.nspawn())
            .or_else(|| self.libvirt())
            .or_else(|| self.buildkit())
            .or_else(|| self.low_level())
            .or_else(|| self.containerd())
            .or_else(|| self.fargate())
    }

    /// `lxc.monitor.<name>` is the monitor's, on the host.
    fn lxc(&self) -> Option<Meaning> {
        let below = |runtime, name: &str| (!name.is_empty()).then(|| Meaning::named(runtime, name));
        if let Some(name) = self.name.strip_prefix("lxc.payload.") {
            return below("lxc", name);
        }
        if let Some(name) = self.name.strip_prefix("incus.payload.") {
            return below("incus", name);
        }
        match self.parent {
            "lxc" | "lxc.payload" => below("lxc", self.name),
            "incus" | "incus.payload" => below("incus", self.name),
            _ => None,
        }
    }

    /// nspawn keeps its own process in `supervisor`, the container in `payload` (on cgroup v1 it
    /// makes neither). A `machine-….scope` may also be a virtual machine's, whose processes are
    /// the host's: libvirt calls those `qemu-…`.
    fn nspawn(&self) -> Option<Meaning> {
        let escaped = if let Some(rest) = self.name.strip_prefix("systemd-nspawn@") {
            rest.strip_suffix(".service")?
        } else if self.parent == "machine.slice" {
            let name = self.name.strip_prefix("machine-")?.strip_suffix(".scope")?;
            let others = ["qemu\\x2d", "lxc\\x2d", "xen\\x2d", "qemu-", "lxc-"];
            Some(name).filter(|name| !others.iter().any(|other| name.starts_with(other)))?
        } else {
            return None;
        };
        if self.child == "supervisor" {
            return None;
        }
        Some(Meaning::named("systemd-nspawn", machine_name(escaped)?))
    }

    /// `machine-lxc\x2d<pid>\x2d<name>.scope`.
    fn libvirt(&self) -> Option<Meaning> {
        let escaped = self
            .name
            .strip_prefix("machine-lxc\\x2d")?
            .strip_suffix(".scope")?;
        let (pid, name) = escaped.split_once("\\x2d")?;
        let numbered = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
        let name = machine_name(name).filter(|_| numbered)?;
        Some(Meaning::named("libvirt-lxc", name))
    }

    /// A step of `docker build`, which has no container id but one of its own.
    fn buildkit(&self) -> Option<Meaning> {
        let base36 = self.name.len() == 25
            && self
                .name
                .bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        (base36 && self.parent == "buildkit" && self.grandparent == "docker")
            .then(|| Meaning::named("buildkit", self.name))
    }

    /// Low-level runtimes started by hand with the systemd driver.
    fn low_level(&self) -> Option<Meaning> {
        let name = self.name.strip_suffix(".scope")?;
        let of = |prefix: &str, runtime| {
            let id = name.strip_prefix(prefix)?;
            is_oci_id(id).then(|| Meaning::named(runtime, id))
        };
        of("runc-", "runc").or_else(|| of("crun-", "crun"))
    }

    /// `/<namespace>/<id>` of `ctr` and nerdctl, whose ids may be names.
    fn containerd(&self) -> Option<Meaning> {
        (self.is_below_namespace() && is_oci_id(self.name) && !is_unit(self.name)).then(|| {
            Meaning {
                namespace: Some(self.parent.to_owned()),
                ..Meaning::named("containerd", self.name)
            }
        })
    }

    /// AWS Fargate: `/ecs/<task>/<task>-<number>`.
    fn fargate(&self) -> Option<Meaning> {
        let (task, number) = self.name.split_once('-')?;
        let shaped = self.grandparent == "ecs"
            && task == self.parent
            && task.len() == 32
            && task.bytes().all(|b| b.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit());
        shaped.then(|| Meaning::named("unknown", self.name))
    }

    /// Any other plain name may be a container's whose runtime goes by names: runc and crun by
    /// hand, containerd in a namespace of its own.
    fn possible(&self) -> Option<Meaning> {
        let plain = is_oci_id(self.name) && !is_unit(self.name) && pod_uid(self.name).is_none();
        plain.then(|| Meaning {
            namespace: (self.depth == 1).then(|| self.parent.to_owned()),
            ..Meaning::possible("unknown", self.name)
        })
    }
}

/// Whether `id` has the shape all engines give their container ids.
pub fn is_container_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `id` is one that containerd, runc and crun accept, and no path leads out of it.
pub(crate) fn is_oci_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    let starts = id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    starts && id.len() <= 128 && id.bytes().all(allowed)
}

fn is_unit(name: &str) -> bool {
    let kinds = [
        ".slice", ".service", ".scope", ".mount", ".socket", ".swap", ".timer", ".path",
    ];
    kinds.iter().any(|kind| name.ends_with(kind))
}

/// Monitors (`crio-conmon-…`, `libpod-conmon-…`) run beside their container, on the host.
fn prefix_runtime(prefix: &str) -> Option<&'static str> {
    match prefix {
        "docker" => Some("docker"),
        "cri-containerd" | "nerdctl" | "containerd" => Some("containerd"),
        "crio" => Some("cri-o"),
        "libpod" | "libpod-payload" => Some("podman"),
        "runc" => Some("runc"),
        "crun" => Some("crun"),
        _ => None,
    }
}

/// The uid of `user@<uid>.service`, below which everything is that user's to name.
pub(super) fn user_manager(level: &str) -> Option<u32> {
    let uid = level.strip_prefix("user@")?.strip_suffix(".service")?;
    uid.parse().ok().filter(|uid| *uid != 0)
}

/// A machine's name from a unit's; none holds a slash, however it is written.
fn machine_name(escaped: &str) -> Option<String> {
    Some(systemd_unescape(escaped)).filter(|name| !name.is_empty() && !name.contains('/'))
}

/// Undoes `\x2d` and its like (systemd.unit(5), string escaping).
fn systemd_unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = rest
            .strip_prefix(b"\\x")
            .and_then(|digits| str::from_utf8(digits.get(..2)?).ok());
        let escaped = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            rest.get(4..).unwrap_or_default()
        } else {
            tail
        };
    }
    escape_bytes(&bytes, super::MAX_LEVEL)
}

/// `pod<uid>`, `kubepods-burstable-pod<uid>.slice`, and the same before `:cri-containerd:…`.
/// Static pods have 32 digits without dashes; slices have `_` for `-`. The kubelet may have a
/// root of its own before `kubepods` (kind: `kubelet-kubepods-…`).
pub(super) fn pod_uid(level: &str) -> Option<String> {
    let slice = level.split(':').next()?;
    let name = slice.strip_suffix(".slice").unwrap_or(slice);
    let uid = name.strip_prefix("pod").or_else(|| {
        let (before, uid) = name.rsplit_once("-pod")?;
        before.contains("kubepods").then_some(uid)
    })?;
    shaped_pod_uid(uid)
}

/// A pod UID with dashes, if `uid` is one in any of its spellings.
pub(super) fn shaped_pod_uid(uid: &str) -> Option<String> {
    let uid = uid.replace('_', "-");
    let dashes = uid.match_indices('-').map(|(at, _)| at);
    let shaped = match uid.len() {
        36 => dashes.eq([8, 13, 18, 23]),
        32 => dashes.count() == 0,
        _ => false,
    };
    let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-');
    (shaped && uid.bytes().all(hexadecimal)).then_some(uid)
}
