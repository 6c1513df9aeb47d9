//! Reads what a process's mountinfo says of its container, where its cgroup is silent. Pure.
//!
//! Runtimes mount files of their own into every container, and the kernel shows where in their
//! file system those lie. Prefixes differ (user homes, `/var/lib/rancher`, other deployments), so
//! only the ends of paths are compared, and only together with the place of the mount: the host
//! itself sees other mounts of the same files. A container that may mount can imitate all of
//! this, so that everything here is a claim.
//!
//! The trap: `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` belong to whoever owns the
//! network, which in a pod is the sandbox, and may be another container with Docker and Podman.

use super::names::{is_container_id, is_oci_id, shaped_pod_uid};
use crate::text::{escape_bytes, unescape_octal};

/// Most mounts looked at.
const MAX_MOUNTS: usize = 4096;

/// What the mounts claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The container, by a mount that is its own.
    pub container: Option<Named>,
    /// A container that owns the network: itself or another.
    pub network: Option<Named>,
    /// Pod UID, from the kubelet's mounts.
    pub pod_uid: Option<String>,
    /// The container's name within the pod, from the kubelet's termination log.
    pub pod_container: Option<String>,
}

/// A container named by a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As [`super::Candidate::runtime`].
    pub runtime: &'static str,
    /// Its id or name.
    pub id: String,
    /// The path that names it, as far as the mount shows it.
    pub path: String,
}

impl Claims {
    /// The container these mounts are of, as far as they can say; of a pod, the owner of the
    /// network is the sandbox and never the container.
    pub fn container(&self) -> Option<&Named> {
        let shared = self.network.as_ref().filter(|_| self.pod_uid.is_none());
        self.container
            .as_ref()
            .or(shared.filter(|owner| owner.runtime != "containerd-sandbox"))
    }

    /// The sandbox of the pod, when the mounts name one.
    pub fn sandbox(&self) -> Option<&str> {
        let owner = self.network.as_ref()?;
        (self.pod_uid.is_some() || owner.runtime == "containerd-sandbox")
            .then_some(owner.id.as_str())
    }
}

/// Reads a `/proc/P/mountinfo`.
pub fn claims(mountinfo: &[u8]) -> Claims {
    let mut claims = Claims::default();
    for line in mountinfo.split(|b| *b == b'\n').take(MAX_MOUNTS) {
        if let Some((root, point)) = root_and_point(line) {
            claims.read(&root, &point);
        }
    }
    claims
}

/// The fourth and fifth field: the path within the file system, and where it is mounted.
fn root_and_point(line: &[u8]) -> Option<(String, String)> {
    let mut fields = line.split(|b| *b == b' ').skip(3);
    let text = |field| escape_bytes(&unescape_octal(field), 4096);
    Some((text(fields.next()?), text(fields.next()?)))
}

impl Claims {
    fn read(&mut self, root: &str, point: &str) {
        let parts: Vec<&str> = root.rsplit('/').take(8).collect();
        let named = |runtime, id: &str| {
            Some(Named {
                runtime,
                id: id.to_owned(),
                path: root.to_owned(),
            })
        };
        match (point, parts.as_slice()) {
            (_, [hash, name, "containers", uid, "pods", ..]) if is_log_hash(hash) => {
                if let Some(uid) = shaped_pod_uid(uid) {
                    self.pod_uid = Some(uid);
                    self.pod_container = is_oci_id(name).then(|| (*name).to_owned());
                }
            }
            ("/etc/hosts", ["etc-hosts", uid, "pods", ..]) => {
                self.pod_uid = shaped_pod_uid(uid).or(self.pod_uid.take());
            }
            // Podman and CRI-O write these for each container (CRI-O's .containerenv is the pod's).
            ("/run/secrets", ["secrets", "run", "userdata", id, store, ..])
                if is_stored(store, id) =>
            {
                self.container = named("podman", id);
            }
            ("/run/.containerenv", [".containerenv", "userdata", id, store, ..])
                if is_stored(store, id) =>
            {
                self.network = named("podman", id);
            }
            _ => {
                if let Some(owner) = network_owner(point, &parts) {
                    let owner = named(owner.0, owner.1);
                    self.network = self.network.take().or(owner);
                } else if let Some(own) = root_of_container(point, &parts) {
                    self.container = self.container.take().or(named(own.0, own.1));
                }
            }
        }
    }
}

/// `overlay-containers/<id>`, `vfs-containers/<id>`, as the storage driver is called.
fn is_stored(store: &str, id: &str) -> bool {
    store.ends_with("-containers") && is_container_id(id)
}

/// The kubelet names a termination log by eight random hexadecimal digits.
fn is_log_hash(text: &str) -> bool {
    (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn network_owner<'a>(point: &str, parts: &[&'a str]) -> Option<(&'static str, &'a str)> {
    let file = point.strip_prefix("/etc/")?;
    if !matches!(file, "hostname" | "hosts" | "resolv.conf") {
        return None;
    }
    match parts {
        [_, id, "containers", ..] if is_container_id(id) => Some(("docker", id)),
        [_, "userdata", id, store, ..] if is_stored(store, id) => Some(("podman", id)),
        [_, id, "sandboxes", ..] if is_container_id(id) => Some(("containerd-sandbox", id)),
        // nerdctl: …/containers/<namespace>/<id>/hostname and …/etchosts/<namespace>/<id>/hosts.
        [_, id, _namespace, "containers" | "etchosts", ..] if is_container_id(id) => {
            Some(("containerd", id))
        }
        _ => None,
    }
}

/// Containers whose root is a plain directory under their name.
fn root_of_container<'a>(point: &str, parts: &[&'a str]) -> Option<(&'static str, &'a str)> {
    if point != "/" {
        return None;
    }
    match parts {
        ["rootfs", name, "lxc", ..] => Some(("lxc", *name)),
        [name, "machines", "lib", ..] => Some(("systemd-nspawn", *name)),
        _ => None,
    }
    .filter(|(_, name)| is_oci_id(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const POD: &str = "12345678-9abc-def0-1234-56789abcdef0";

    /// Lines of `root point` as a mountinfo, and the claims as
    /// `runtime:id sandbox=id pod=uid name=container`.
    #[track_caller]
    fn check(mounts: &[&str], expected: &str) {
        let fill = |text: &str| {
            text.replace("<A>", A)
                .replace("<B>", B)
                .replace("<POD>", POD)
        };
        let lines: Vec<String> = mounts
            .iter()
            .map(|mount| {
                format!(
                    "36 35 98:0 {} rw,noatime master:1 - ext4 /dev/vda rw",
                    fill(mount)
                )
            })
            .collect();
        let claims = claims(lines.join("\n").as_bytes());
        let mut seen = Vec::new();
        seen.extend(
            claims
                .container()
                .map(|named| format!("{}:{}", named.runtime, named.id)),
        );
        seen.extend(claims.sandbox().map(|id| format!("sandbox={id}")));
        seen.extend(claims.pod_uid.as_ref().map(|uid| format!("pod={uid}")));
        seen.extend(
            claims
                .pod_container
                .as_ref()
                .map(|name| format!("name={name}")),
        );
        assert_eq!(seen.join(" "), fill(expected), "{mounts:?}");
    }

    #[test]
    fn containers_by_their_own_mounts() {
        check(
            &[
                "/home/u/.local/share/containers/storage/overlay-containers/<A>/userdata/.containerenv /run/.containerenv",
            ],
            "podman:<A>",
        );
        check(
            &[
                "/containers/overlay-containers/<B>/userdata/hostname /etc/hostname",
                "/containers/overlay-containers/<B>/userdata/resolv.conf /etc/resolv.conf",
                "/containers/overlay-containers/<A>/userdata/.containerenv /run/.containerenv",
            ],
            "podman:<A>",
        );
        check(
            &[
                "/run/user/7/containers/vfs-containers/<A>/userdata/.containerenv /run/.containerenv",
            ],
            "podman:<A>",
        );
        check(
            &["/home/u/.local/share/docker/containers/<A>/hostname /etc/hostname"],
            "docker:<A>",
        );
        check(
            &["/var/lib/nerdctl/1935db59/containers/default/<A>/resolv.conf /etc/resolv.conf"],
            "containerd:<A>",
        );
        check(&["/var/lib/lxc/web/rootfs /"], "lxc:web");
        check(&["/var/lib/machines/web /"], "systemd-nspawn:web");
    }

    #[test]
    fn a_sandbox_is_not_the_container() {
        check(
            &[
                "/ostree/deploy/rhcos/var/lib/kubelet/pods/<POD>/containers/web/0a1b2c3d /dev/termination-log",
                "/ostree/deploy/rhcos/var/lib/kubelet/pods/<POD>/etc-hosts /etc/hosts",
                "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/<B>/hostname /etc/hostname",
            ],
            "sandbox=<B> pod=<POD> name=web",
        );
        check(
            &[
                "/containers/storage/overlay-containers/<B>/userdata/hostname /etc/hostname",
                "/containers/storage/overlay-containers/<B>/userdata/.containerenv /run/.containerenv",
                "/containers/storage/overlay-containers/<A>/userdata/run/secrets /run/secrets",
                "/var/lib/kubelet/pods/<POD>/etc-hosts /etc/hosts",
            ],
            "podman:<A> sandbox=<B> pod=<POD>",
        );
        check(
            &[
                "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/<B>/resolv.conf /etc/resolv.conf",
            ],
            "sandbox=<B>",
        );
    }

    #[test]
    fn what_the_host_sees_of_containers_is_no_container() {
        check(
            &[
                "/ /var/lib/docker/overlay2/x/merged",
                "/ /var/lib/docker/containers/<A>/mounts/shm",
                "/var/lib/docker/containers/<A>/hostname /srv/x",
                "/ /run/containerd/io.containerd.runtime.v2.task/k8s.io/<A>/rootfs",
                "/var/lib/lxc/web/rootfs /usr/lib/x86_64-linux-gnu/lxc/rootfs",
            ],
            "",
        );
    }

    #[test]
    fn near_misses_and_hostile_lines() {
        check(
            &["/pods/not-a-uid/containers/web/0a1b2c3d /dev/termination-log"],
            "",
        );
        check(&["/docker/containers/short/hostname /etc/hostname"], "");
        check(&["/var/lib/machines/.. /"], "");
        assert_eq!(claims(b""), Claims::default());
        assert_eq!(
            claims(b"\n \n1 2 3\n1 2 3 \xff\xfe\n36 35 98:0 /a\\04 /b\\999 rw"),
            Claims::default()
        );
    }
}
