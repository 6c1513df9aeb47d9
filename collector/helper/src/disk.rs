//! Confirms containers on the host's disk, and reads there who they are.
//!
//! No socket: a runtime that hangs delays nothing, and one that is down is not missed. The files
//! exist while the container does, also with `--rm`, and the kernel holds the container's process
//! while we read. Each runtime has its own file; this one asks them in turn.

pub mod bolt;
pub mod containerd;
pub mod containers_storage;
pub mod docker;
mod fields;
pub mod host;
pub mod kubernetes;
pub mod lxc;
pub mod nspawn;
pub mod oci;

use crate::container::{Candidate, is_container_id};
use crate::log_tail::Log;
use crate::record::{Container, Evidence, EvidenceKind};
use crate::supervisor::Supervisor;
use containerd::ContainerdFiles;
use containers_storage::StorageFiles;
use docker::DockerFiles;
use host::HostRoot;

/// A container found on disk.
#[derive(Debug)]
pub struct Found {
    /// Its identity; `source`, `chain` and the cgroup's own facts are the caller's to fill.
    pub container: Container,
    /// Its log, when the engine keeps one in a file of its own.
    pub log: Option<Log>,
    /// What could not be learned.
    pub problems: Vec<String>,
    /// Where the runtime put the container, as its files say.
    pub place: Option<Place>,
}

impl Found {
    fn new(container: Container) -> Self {
        Self {
            container,
            log: None,
            problems: Vec::new(),
            place: None,
        }
    }

    /// Notes that `facts` were read from the file `detail`.
    fn note(&mut self, facts: &[&str], detail: String) {
        let from = match self.container.user {
            Some(_) => EvidenceKind::UserDisk,
            None => EvidenceKind::Disk,
        };
        self.container.evidence.push(Evidence {
            facts: facts.iter().map(|fact| (*fact).to_owned()).collect(),
            from,
            detail,
        });
    }
}

/// Where a runtime put a container in the cgroup tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `linux.cgroupsPath` of the OCI runtime specification: a path, or `slice:prefix:name`.
    CgroupsPath(String),
    /// The paths as the runtime's own state gives them, one for each hierarchy.
    Exactly(Vec<String>),
    /// The name of the last level, a systemd unit.
    Unit(String),
}

impl Place {
    /// Whether the cgroup `path` is this place. An absolute path may lie deeper than it says where
    /// the engine itself runs in a cgroup of its own: `below` accepts that too.
    pub fn is(&self, path: &str, below: bool) -> bool {
        let mut levels = path.rsplit('/');
        let (last, parent) = (
            levels.next().unwrap_or_default(),
            levels.next().unwrap_or_default(),
        );
        match self {
            Self::Exactly(places) => places.iter().any(|place| place == path),
            Self::Unit(unit) => unit == last,
            Self::CgroupsPath(place) if place.starts_with('/') => {
                place == path || (below && path.ends_with(place.as_str()))
            }
            Self::CgroupsPath(place) => match place.split(':').collect::<Vec<_>>()[..] {
                [slice, prefix, name] => {
                    let unit = match prefix {
                        "" => format!("{name}.scope"),
                        _ => format!("{prefix}-{name}.scope"),
                    };
                    last == place || (last == unit && (slice.is_empty() || slice == parent))
                }
                // Relative to the runtime's own cgroup, which the file does not name.
                _ => path.ends_with(&format!("/{place}")),
            },
        }
    }
}

/// The files of every runtime on a host.
#[derive(Debug)]
pub struct Disk {
    host: HostRoot,
    docker: DockerFiles,
    containerd: ContainerdFiles,
    storage: StorageFiles,
}

impl Disk {
    /// The files beneath `host`, looked for first where a supervisor keeps its own.
    pub fn new(host: HostRoot, supervisor: Option<&Supervisor>) -> Self {
        let mut disk = Self {
            docker: DockerFiles::of_host(&host),
            containerd: ContainerdFiles::of_host(&host),
            storage: StorageFiles::of_host(&host),
            host,
        };
        if let Some(Supervisor::Bundle(bundle)) = supervisor {
            if let Some((state, _)) = bundle.split_once("/io.containerd.runtime.") {
                disk.docker.look_in(state.to_owned());
                disk.containerd.look_in(state.to_owned());
            } else if let Some((container, _)) = bundle.split_once("/userdata") {
                let mut above = container.rsplitn(3, '/');
                disk.storage
                    .look_in(above.nth(2).unwrap_or_default().to_owned());
            }
        }
        disk
    }

    /// The container that a supervisor watches over.
    pub fn find_supervised(&self, supervisor: &Supervisor) -> Option<Found> {
        let bundle = match supervisor {
            Supervisor::Machine(name) => {
                return nspawn::find(&self.host, name).or_else(|| nspawn::named(name));
            }
            Supervisor::Bundle(bundle) => bundle,
        };
        // Of Podman's, and below that of one `podman exec`.
        let bundle = bundle
            .split_once("/userdata")
            .map_or(bundle.as_str(), |(at, _)| at);
        let mut levels = bundle.rsplit('/');
        let (id, namespace) = (levels.next()?, levels.next()?);
        let docker = || self.docker.find(&self.host, id, None);
        let storage = || self.storage.find(&self.host, id, None);
        let containerd = || self.containerd.find(&self.host, Some(namespace), id);
        containerd().or_else(docker).or_else(storage)
    }

    /// The container a cgroup level names, if files of any runtime know it. Which runtime the
    /// name suggests decides only who is asked first: under a parent cgroup of somebody's own
    /// choice, an id does not tell.
    pub fn find(&self, candidate: &Candidate) -> Option<Found> {
        let (id, user) = (candidate.id.as_str(), candidate.user);
        match candidate.runtime {
            "lxc" | "incus" => return lxc::find(&self.host, id, user),
            "systemd-nspawn" => return nspawn::find(&self.host, id),
            "runc" | "crun" if user.is_none() => return oci::find(&self.host, id),
            _ => {}
        }
        let docker = || self.docker.find(&self.host, id, user);
        // What a user names below his own manager is none of root's.
        let roots = user.is_none();
        let namespace = candidate.namespace.as_deref();
        let containerd = || {
            self.containerd
                .find(&self.host, namespace, id)
                .filter(|_| roots)
        };
        let storage = || self.storage.find(&self.host, id, user);
        let oci = || oci::find(&self.host, id).filter(|_| roots);
        if !is_container_id(id) {
            return containerd().or_else(oci);
        }
        match candidate.runtime {
            "podman" | "cri-o" => storage().or_else(docker).or_else(containerd),
            "containerd" => containerd().or_else(docker).or_else(storage),
            _ => docker().or_else(containerd).or_else(storage).or_else(oci),
        }
    }

    /// The container `id` of `user`'s own engine, for what a mount names.
    pub fn find_mounted(&self, runtime: &str, id: &str, user: Option<u32>) -> Option<Found> {
        match runtime {
            "docker" => self.docker.find(&self.host, id, user),
            "podman" => self.storage.find(&self.host, id, user),
            "containerd" if user.is_none() => self.containerd.find(&self.host, None, id),
            "lxc" => lxc::find(&self.host, id, user),
            "systemd-nspawn" => nspawn::find(&self.host, id),
            _ => None,
        }
    }

    /// The host all this lies on.
    pub fn host(&self) -> &HostRoot {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_recognized_in_both_drivers() {
        let id = "a".repeat(64);
        let cases = [
            ("/docker/ID", "/docker/ID", false, true),
            ("/docker/ID", "/docker/X/docker/ID", false, false),
            ("/docker/ID", "/process/docker/ID", true, true),
            (
                "system.slice:docker:ID",
                "/system.slice/docker-ID.scope",
                false,
                true,
            ),
            (
                "system.slice:docker:ID",
                "/docker/X/docker-ID.scope",
                false,
                false,
            ),
            (
                "system.slice:docker:ID",
                "/system.slice:docker:ID",
                false,
                true,
            ),
            (
                "user.slice:libpod:ID",
                "/u/user@7.service/user.slice/libpod-ID.scope",
                false,
                true,
            ),
            (":runc:ID", "/u/runc-ID.scope", false, true),
            ("work/ID", "/session-1.scope/work/ID", false, true),
            ("", "/docker/ID", true, false),
        ];
        for (place, path, below, expected) in cases {
            let place = Place::CgroupsPath(place.replace("ID", &id));
            assert_eq!(
                place.is(&path.replace("ID", &id), below),
                expected,
                "{place:?} {path}"
            );
        }
    }
}
