//! Reads a process's cgroup text: which containers it names, from the outside in. Pure.
//!
//! A name found here is a claim until the host's disk confirms it, because a container can make
//! a cgroup called `docker-<somebody else's id>.scope` below its own. Hence all levels are kept,
//! in order, and the caller trusts the outermost one it can confirm.
//!
//! Byte parsers of our own: the text is the crashed process's to choose, and procfs' parser
//! gives up on the whole file at one byte that is not UTF-8. The names each runtime uses are
//! from its own source (moby `daemon/oci_linux.go`, containerd `internal/cri/server/helpers.go`,
//! cri-o `cgmgr_linux.go`, podman `container.go`, lxc `cgfsng.c`, systemd `nspawn-cgroup.c`).

use crate::text::escape_bytes;

/// A container that a cgroup level names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `systemd-nspawn`; `unknown` when only
    /// the shape of the id says that it is a container.
    pub runtime: &'static str,
    /// 64 hexadecimal digits, or the name for LXC and nspawn.
    pub id: String,
    /// Kubernetes pod UID, with dashes as Kubernetes writes it.
    pub pod_uid: Option<String>,
}

/// Where a process stands in the cgroup tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Containers from the outermost to the innermost; empty for a process of the host.
    pub candidates: Vec<Candidate>,
    /// The innermost systemd unit or else the last level, when no container is named.
    pub unit: Option<String>,
}

/// Names the levels of one process from the text of its `/proc/P/cgroup`.
pub fn placement(cgroup: &[u8]) -> Placement {
    let paths = paths_by_preference(cgroup);
    let named = paths
        .iter()
        .map(|path| candidates(path))
        .find(|found| !found.is_empty());
    match named {
        Some(candidates) => Placement {
            candidates,
            unit: None,
        },
        None => Placement {
            candidates: Vec::new(),
            unit: paths.iter().find_map(|path| unit(path)),
        },
    }
}

/// The paths of all lines, those first that systemd and the runtimes place processes by: the
/// unified hierarchy, systemd's own, memory, pids, and then whatever else is mounted.
fn paths_by_preference(cgroup: &[u8]) -> Vec<&[u8]> {
    let mut ranked: Vec<(u8, &[u8])> = cgroup
        .split(|b| *b == b'\n')
        .filter_map(ranked_path)
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, path)| path).collect()
}

fn ranked_path(line: &[u8]) -> Option<(u8, &[u8])> {
    let mut fields = line.splitn(3, |b| *b == b':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let has = |name: &[u8]| {
        controllers
            .split(|b| *b == b',')
            .any(|controller| controller == name)
    };
    let rank = match controllers {
        b"" if hierarchy == b"0" => 0,
        _ if has(b"name=systemd") => 1,
        _ if has(b"memory") => 2,
        _ if has(b"pids") => 3,
        _ => 4,
    };
    Some((rank, path))
}

/// Levels of a path. `..` appears when the reader's cgroup namespace lies below the process.
fn levels(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/')
        .filter(|level| !level.is_empty() && *level != b"..")
}

fn candidates(path: &[u8]) -> Vec<Candidate> {
    let levels: Vec<&str> = levels(path)
        .map(|level| str::from_utf8(level).unwrap_or(""))
        .collect();
    let mut found = Vec::new();
    let mut pod = None;
    for (index, level) in levels.iter().enumerate() {
        let parent = index
            .checked_sub(1)
            .and_then(|before| levels.get(before))
            .copied()
            .unwrap_or("");
        let child = levels.get(index.saturating_add(1)).copied().unwrap_or("");
        pod = pod_uid(level).or(pod);
        if let Some((runtime, id)) = container_named(level, parent, child) {
            found.push(Candidate {
                runtime,
                id,
                pod_uid: pod.take(),
            });
        }
    }
    found
}

fn container_named(level: &str, parent: &str, child: &str) -> Option<(&'static str, String)> {
    by_id(level, parent)
        .or_else(|| lxc(level, parent))
        .or_else(|| nspawn(level, parent, child))
}

/// `<id>`, `<prefix>-<id>[.scope]` (systemd driver) and `<slice>:<prefix>:<id>` (a systemd
/// name given to the cgroupfs driver).
fn by_id(level: &str, parent: &str) -> Option<(&'static str, String)> {
    let name = level.strip_suffix(".scope").unwrap_or(level);
    let start = name.len().checked_sub(64)?;
    let (before, id) = name.split_at_checked(start)?;
    if !is_container_id(id) {
        return None;
    }
    let runtime = match before {
        "" => bare_id_runtime(parent),
        _ if before.ends_with(':') => {
            prefix_runtime(before.trim_end_matches(':').rsplit(':').next()?)?
        }
        _ => prefix_runtime(before.strip_suffix('-')?)?,
    };
    Some((runtime, id.to_owned()))
}

/// Whether `id` has the shape all these runtimes give their container ids.
pub fn is_container_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Monitors (`crio-conmon-…`, `libpod-conmon-…`) run beside their container, on the host.
fn prefix_runtime(prefix: &str) -> Option<&'static str> {
    match prefix {
        "docker" => Some("docker"),
        "cri-containerd" | "nerdctl" | "containerd" => Some("containerd"),
        "crio" => Some("cri-o"),
        "libpod" | "libpod-payload" => Some("podman"),
        _ => None,
    }
}

fn bare_id_runtime(parent: &str) -> &'static str {
    match parent {
        "docker" => "docker",
        "libpod_parent" => "podman",
        // Namespaces of containerd, which its cgroupfs paths begin with.
        "default" | "k8s.io" => "containerd",
        _ if pod_uid(parent).is_some() => "containerd",
        _ => "unknown",
    }
}

fn lxc(level: &str, parent: &str) -> Option<(&'static str, String)> {
    let name = match level.strip_prefix("lxc.payload.") {
        Some(name) => name,
        None if matches!(parent, "lxc" | "lxc.payload") => level,
        None => return None,
    };
    (!name.is_empty()).then(|| ("lxc", name.to_owned()))
}

/// nspawn keeps its own process in `supervisor`, the container in `payload`. A `machine-….scope`
/// may also be a virtual machine, whose processes are the host's.
fn nspawn(level: &str, parent: &str, child: &str) -> Option<(&'static str, String)> {
    let escaped = if let Some(rest) = level.strip_prefix("systemd-nspawn@") {
        rest.strip_suffix(".service")
            .filter(|_| child != "supervisor")?
    } else if parent == "machine.slice" && child == "payload" {
        level.strip_prefix("machine-")?.strip_suffix(".scope")?
    } else {
        return None;
    };
    (!escaped.is_empty()).then(|| ("systemd-nspawn", systemd_unescape(escaped)))
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
    escape_bytes(&bytes, 255)
}

/// `pod<uid>`, `kubepods-burstable-pod<uid>.slice`, and the same before `:cri-containerd:…`.
/// Static pods have 32 digits without dashes; slices have `_` for `-`.
fn pod_uid(level: &str) -> Option<String> {
    let slice = level.split(':').next()?;
    let name = slice.strip_suffix(".slice").unwrap_or(slice);
    let uid = name
        .strip_prefix("pod")
        .or_else(|| Some(name.strip_prefix("kubepods")?.rsplit_once("-pod")?.1))?;
    let uid = uid.replace('_', "-");
    let dashes = uid.match_indices('-').map(|(at, _)| at);
    let shaped = match uid.len() {
        36 => dashes.eq([8, 13, 18, 23]),
        32 => dashes.count() == 0,
        _ => false,
    };
    (shaped
        && uid
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-')))
    .then_some(uid)
}

fn unit(path: &[u8]) -> Option<String> {
    let is_unit = |level: &&[u8]| level.ends_with(b".service") || level.ends_with(b".scope");
    let last_unit = levels(path).filter(is_unit).last();
    last_unit
        .or_else(|| levels(path).last())
        .map(|level| escape_bytes(level, 255))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const POD: &str = "12345678-9abc-def0-1234-56789abcdef0";
    const POD_: &str = "12345678_9abc_def0_1234_56789abcdef0";

    /// `A`, `B`, `POD` and `POD_` stand for ids in text and in the expected `runtime:id[@pod]`,
    /// outermost first; a host process is expected as `-unit`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let fill = |text: &str| {
            text.replace("<A>", A)
                .replace("<B>", B)
                .replace("<POD>", POD)
                .replace("<POD_>", POD_)
        };
        let placement = placement(fill(text).as_bytes());
        let mut seen: Vec<String> = placement
            .candidates
            .iter()
            .map(|c| {
                let pod = c
                    .pod_uid
                    .as_ref()
                    .map(|pod| format!("@{pod}"))
                    .unwrap_or_default();
                format!("{}:{}{pod}", c.runtime, c.id)
            })
            .collect();
        seen.extend(placement.unit.map(|unit| format!("-{unit}")));
        assert_eq!(seen.join(" "), fill(expected), "{text}");
    }

    #[test]
    fn docker() {
        check("0::/docker/<A>\n", "docker:<A>");
        check(
            "12:memory:/docker/<A>\n1:name=systemd:/docker/<A>\n0::/\n",
            "docker:<A>",
        );
        check("0::/system.slice/docker-<A>.scope\n", "docker:<A>");
        check(
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-<A>.scope\n",
            "docker:<A>",
        );
        check("0::/system.slice:docker:<A>\n", "docker:<A>");
        check("0::/my/own/parent/<A>\n", "unknown:<A>");
        check("0::/<A>\n", "unknown:<A>");
        check("0::/../../docker/<A>\n", "docker:<A>");
        check("0::/docker/<A>/init.scope\n", "docker:<A>");
    }

    #[test]
    fn docker_in_docker_keeps_the_order() {
        check("0::/docker/<A>/docker/<B>\n", "docker:<A> docker:<B>");
        check(
            "0::/docker/<A>/system.slice/docker-<B>.scope\n",
            "docker:<A> docker:<B>",
        );
        check(
            "0::/docker/<A>/kubelet/kubepods/pod<POD>/<B>\n",
            "docker:<A> containerd:<B>@<POD>",
        );
    }

    #[test]
    fn containerd() {
        check("0::/default/<A>\n", "containerd:<A>");
        check("0::/system.slice/nerdctl-<A>.scope\n", "containerd:<A>");
        check(
            "0::/kubepods/burstable/pod<POD>/<A>\n",
            "containerd:<A>@<POD>",
        );
        check("0::/kubepods/pod<POD>/<A>\n", "containerd:<A>@<POD>");
        check(
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<POD_>.slice/cri-containerd-<A>.scope\n",
            "containerd:<A>@<POD>",
        );
        check(
            "0::/kubepods.slice/kubepods-pod<POD_>.slice/cri-containerd-<A>.scope\n",
            "containerd:<A>@<POD>",
        );
        check(
            "1:name=systemd:/system.slice/containerd.service/kubepods-burstable-pod<POD_>.slice:cri-containerd:<A>\n",
            "containerd:<A>@<POD>",
        );
        check(
            "0::/kubepods/burstable/pod0123456789abcdef0123456789abcdef/<A>\n",
            "containerd:<A>@0123456789abcdef0123456789abcdef",
        );
        check("0::/kubepods/burstable/podxyz/<A>\n", "unknown:<A>");
    }

    #[test]
    fn crio_and_podman() {
        check(
            "0::/kubepods.slice/kubepods-pod<POD_>.slice/crio-<A>.scope/container\n",
            "cri-o:<A>@<POD>",
        );
        check("0::/kubepods/pod<POD>/crio-<A>\n", "cri-o:<A>@<POD>");
        check(
            "0::/machine.slice/libpod-<A>.scope/container\n",
            "podman:<A>",
        );
        check(
            "0::/user.slice/user-7.slice/user@7.service/user.slice/libpod-<A>.scope\n",
            "podman:<A>",
        );
        check("0::/libpod_parent/libpod-<A>\n", "podman:<A>");
        check(
            "0::/system.slice/web.service/libpod-payload-<A>\n",
            "podman:<A>",
        );
        check(
            "0::/machine.slice/machine-libpod_pod_<B>.slice/libpod-<A>.scope\n",
            "podman:<A>",
        );
    }

    #[test]
    fn monitors_are_processes_of_the_host() {
        check(
            "0::/machine.slice/libpod-conmon-<A>.scope\n",
            &format!("-libpod-conmon-{A}.scope"),
        );
        check(
            "0::/kubepods.slice/crio-conmon-<A>.scope\n",
            &format!("-crio-conmon-{A}.scope"),
        );
        check("0::/libpod_parent/conmon\n", "-conmon");
        check("0::/lxc.monitor.web\n", "-lxc.monitor.web");
        check(
            "0::/machine.slice/systemd-nspawn@web.service/supervisor\n",
            "-systemd-nspawn@web.service",
        );
    }

    #[test]
    fn lxc_and_nspawn() {
        check("0::/lxc.payload.web/system.slice/cron.service\n", "lxc:web");
        check("4:memory:/lxc/web\n", "lxc:web");
        check("0::/lxc.payload/web\n", "lxc:web");
        check("0::/lxc.payload.web/docker/<A>\n", "lxc:web docker:<A>");
        check(
            "0::/machine.slice/systemd-nspawn@web.service/payload/init.scope\n",
            "systemd-nspawn:web",
        );
        check(
            "0::/machine.slice/machine-my\\x2dweb.scope/payload\n",
            "systemd-nspawn:my-web",
        );
        check(
            "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/emulator\n",
            "-machine-qemu\\x2d1\\x2dvm.scope",
        );
    }

    #[test]
    fn processes_of_the_host_have_a_unit() {
        check("0::/system.slice/ssh.service\n", "-ssh.service");
        check(
            "0::/user.slice/user-1000.slice/session-3.scope\n",
            "-session-3.scope",
        );
        check(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service\n",
            "-foo.service",
        );
        check("0::/system.slice/ssh.service/worker\n", "-ssh.service");
        check("9:name=systemd:/\n4:memory:/batch/job-7\n0::/\n", "-job-7");
        check("0::/\n", "");
        check("", "");
    }

    #[test]
    fn near_misses_are_no_containers() {
        check("0::/system.slice/docker.service\n", "-docker.service");
        check("0::/docker/0123456789ab\n", "-0123456789ab");
        check(
            &format!("0::/docker/{}\n", A.to_uppercase()),
            &format!("-{}", A.to_uppercase()),
        );
        check("0::/docker/<A>0\n", &format!("-{A}0"));
        check("0::/docker/0<A>\n", &format!("-0{A}"));
        check(
            "0::/system.slice/backup-<A>.scope\n",
            &format!("-backup-{A}.scope"),
        );
        check(
            "0::/system.slice/docker-<A>.mount\n",
            &format!("-docker-{A}.mount"),
        );
        check(
            "0::/docker/buildkit/abcdefghijklmnopqrstuvwxy\n",
            "-abcdefghijklmnopqrstuvwxy",
        );
        check("no colons at all\n:::\n::\n0:\n", "-:");
    }

    #[test]
    fn bytes_that_are_not_text_harm_nothing() {
        let mut text = b"0::/docker/\xff\xfe/".to_vec();
        text.extend_from_slice(A.as_bytes());
        text.extend_from_slice(b"\n7:memory:/\xff");
        assert_eq!(placement(&text).candidates.len(), 1);
        assert_eq!(placement(b"0::/a\xff\n").unit.as_deref(), Some("a\\xff"));
    }
}
