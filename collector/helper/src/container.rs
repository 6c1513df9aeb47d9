//! Reads a process's cgroup text: which containers it names, from the outside in. Pure.
//!
//! A name found here is a claim until the host's disk confirms it, because a container can make
//! a cgroup called `docker-<somebody else's id>.scope` below its own. Hence all levels are kept,
//! in order, with their place in the tree, and the caller trusts the outermost one it can confirm.
//!
//! Byte parsers of our own: the text is the crashed process's to choose, and procfs' parser
//! gives up on the whole file at one byte that is not UTF-8. [`names`] knows how each runtime
//! calls its cgroups; [`mounts`] reads what mountinfo says where cgroups are silent.

pub mod mounts;
mod names;

pub use names::is_container_id;
pub(crate) use names::is_oci_id;

use crate::text::escape_bytes;
use names::{Level, Meaning};

/// The longest name of one level that the kernel allows (`NAME_MAX`).
const MAX_LEVEL: usize = 255;
/// Deepest path looked at. The kernel's own limit is by bytes; real ones have some ten levels.
const MAX_DEPTH: usize = 128;
/// Most containers taken from one path.
const MAX_CANDIDATES: usize = 32;

/// A container that a cgroup level names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `docker`, `buildkit`, `podman`, `containerd`, `cri-o`, `lxc`, `incus`, `systemd-nspawn`,
    /// `libvirt-lxc`, `runc`, `crun`; `unknown` when only the shape of the id says that it is a
    /// container.
    pub runtime: &'static str,
    /// containerd's namespace, where the path shows it.
    pub namespace: Option<String>,
    /// 64 hexadecimal digits, or the name where a runtime goes by names.
    pub id: String,
    /// Kubernetes pod UID, with dashes as Kubernetes writes it.
    pub pod_uid: Option<String>,
    /// The path down to this level, by which the runtime's own files can confirm it.
    pub path: String,
    /// The user whose systemd manager the level lies below: he can make any name there.
    pub user: Option<u32>,
    /// The name alone says nothing: only a runtime's file with this very path makes it a container.
    pub only_possible: bool,
}

/// Where a process stands in the cgroup tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Containers from the outermost to the innermost, with merely possible ones among them.
    pub candidates: Vec<Candidate>,
    /// The innermost systemd unit or else the last level, when no container is named.
    pub unit: Option<String>,
    /// A pod that the path names without naming a container in it.
    pub pod_uid: Option<String>,
    /// The path all this was read from.
    pub path: Option<String>,
    /// The user in whose session or manager the process is.
    pub user: Option<u32>,
}

impl Placement {
    /// The containers that the names themselves claim.
    pub fn named(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates
            .iter()
            .filter(|candidate| !candidate.only_possible)
    }
}

/// Names the levels of one process from the text of its `/proc/P/cgroup`.
pub fn placement(cgroup: &[u8]) -> Placement {
    let paths = paths_by_preference(cgroup);
    let mut walks = paths.iter().map(|path| Walk::along(path));
    let Some(mut best) = walks.clone().find(Walk::names_something) else {
        let placed = paths.iter().find(|path| unit(path).is_some());
        return Placement {
            candidates: paths
                .iter()
                .flat_map(|path| Walk::along(path).candidates)
                .take(MAX_CANDIDATES)
                .collect(),
            unit: placed.and_then(|path| unit(path)),
            pod_uid: None,
            path: placed
                .or(paths.first())
                .map(|path| escape_bytes(path, 4096)),
            user: paths.iter().find_map(|path| session_user(path)),
        };
    };
    // On cgroup v1 an engine inside a container may make cgroups in some hierarchies only: a
    // path that goes on from the same containers tells more.
    if let Some(longer) = walks.find(|walk| walk.continues(&best)) {
        best = longer;
    }
    let unit = best
        .candidates
        .iter()
        .all(|candidate| candidate.only_possible)
        .then(|| unit(best.path))
        .flatten();
    Placement {
        unit,
        pod_uid: best.pod_uid,
        path: Some(escape_bytes(best.path, 4096)),
        user: session_user(best.path),
        candidates: best.candidates,
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
    if !path.starts_with(b"/") {
        return None;
    }
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
    // kernel/cgroup/cgroup.c, proc_cgroup_show: of a cgroup that was removed under its last process.
    Some((rank, path.strip_suffix(b" (deleted)").unwrap_or(path)))
}

/// Levels of a path. `..` appears when the reader's cgroup namespace lies below the process.
fn levels(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/')
        .filter(|level| !level.is_empty() && *level != b"..")
}

/// What one path says.
#[derive(Clone)]
struct Walk<'a> {
    path: &'a [u8],
    candidates: Vec<Candidate>,
    pod_uid: Option<String>,
}

impl<'a> Walk<'a> {
    fn along(path: &'a [u8]) -> Self {
        let names: Vec<String> = levels(path)
            .take(MAX_DEPTH)
            .map(|level| escape_bytes(level, MAX_LEVEL))
            .collect();
        let at = |index: Option<usize>| {
            index
                .and_then(|index| names.get(index))
                .map_or("", String::as_str)
        };
        let mut candidates = Vec::new();
        let (mut pod_uid, mut user) = (None, None);
        let mut reached = String::new();
        for (index, name) in names.iter().enumerate() {
            reached.push('/');
            reached.push_str(name);
            let level = Level {
                name,
                parent: at(index.checked_sub(1)),
                grandparent: at(index.checked_sub(2)),
                child: at(index.checked_add(1)),
                depth: index,
            };
            user = names::user_manager(name).or(user);
            pod_uid = names::pod_uid(name).or(pod_uid);
            let Some(Meaning {
                runtime,
                namespace,
                id,
                only_possible,
            }) = level.meaning()
            else {
                continue;
            };
            candidates.push(Candidate {
                runtime,
                namespace,
                id,
                pod_uid: if only_possible { None } else { pod_uid.take() },
                path: reached.clone(),
                user,
                only_possible,
            });
            if candidates.len() >= MAX_CANDIDATES {
                break;
            }
        }
        Self {
            path,
            candidates,
            pod_uid,
        }
    }

    fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.candidates
            .iter()
            .filter(|candidate| !candidate.only_possible)
            .map(|candidate| (candidate.runtime, candidate.id.as_str()))
    }

    fn names_something(&self) -> bool {
        self.named().next().is_some() || self.pod_uid.is_some()
    }

    fn continues(&self, other: &Walk<'_>) -> bool {
        let mut mine = self.named();
        other.named().all(|theirs| mine.next() == Some(theirs)) && mine.next().is_some()
    }
}

/// The uid of the first `user-<uid>.slice`, unless it is root's.
fn session_user(path: &[u8]) -> Option<u32> {
    let user = |level: &[u8]| {
        let uid = level.strip_prefix(b"user-")?.strip_suffix(b".slice")?;
        str::from_utf8(uid).ok()?.parse().ok()
    };
    levels(path).find_map(user).filter(|uid| *uid != 0)
}

fn unit(path: &[u8]) -> Option<String> {
    let is_unit = |level: &&[u8]| level.ends_with(b".service") || level.ends_with(b".scope");
    let last_unit = levels(path).filter(is_unit).last();
    last_unit
        .or_else(|| levels(path).last())
        .map(|level| escape_bytes(level, MAX_LEVEL))
}
