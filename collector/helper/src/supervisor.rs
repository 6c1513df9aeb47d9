//! Finds the runtime's own process that watches over a container, among a process's ancestors.
//!
//! containerd's shim stands in the container's bundle, conmon is told its path, nspawn is told the
//! machine's name: so state directories are found that no configuration names, and containers
//! without a cgroup of their own. Anybody can call a process `containerd-shim`; only root's
//! processes in the host's mount namespace are listened to, and what they name is looked up.

use crate::bounded::read_proc_at;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::path::Path;

/// Most ancestors looked at.
const MAX_ANCESTORS: usize = 64;
/// Most bytes of a command line.
const MAX_ARGUMENTS: usize = 16 * 1024;

/// What a supervisor says about the container it watches over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// The container's bundle directory on the host.
    Bundle(String),
    /// A machine of systemd-nspawn.
    Machine(String),
}

/// The nearest supervisor of process `pid`.
pub fn of(pid: i32) -> Option<Supervisor> {
    let host = rustix::fs::readlink("/proc/self/ns/mnt", Vec::new()).ok()?;
    let mut pid = parent(&directory(pid)?)?;
    for _ in 0..MAX_ANCESTORS {
        let proc = directory(pid)?;
        let same = rustix::fs::readlinkat(&proc, "ns/mnt", Vec::new()).is_ok_and(|own| own == host);
        let found = (same && is_roots(&proc)).then(|| read(&proc)).flatten();
        if found.is_some() {
            return found;
        }
        pid = parent(&proc).filter(|parent| *parent > 0)?;
    }
    None
}

fn directory(pid: i32) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty()).ok()
}

/// The numbers after `name` in `status`.
fn status(proc: impl AsFd, name: &str) -> Option<Vec<i64>> {
    let (text, _) = read_proc_at(proc, "status", MAX_ARGUMENTS).ok()?;
    let mut lines = text.split(|b| *b == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
    let words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.map(|word| word.parse().ok()).collect()
}

fn parent(proc: &OwnedFd) -> Option<i32> {
    i32::try_from(*status(proc, "PPid:")?.first()?).ok()
}

fn is_roots(proc: &OwnedFd) -> bool {
    status(proc, "Uid:").is_some_and(|uids| uids.iter().all(|uid| *uid == 0))
}

fn read(proc: &OwnedFd) -> Option<Supervisor> {
    let link = |name: &str| {
        let target = rustix::fs::readlinkat(proc, name, Vec::new()).ok()?;
        Some(target.to_str().ok()?.to_owned())
    };
    let executable = link("exe")?;
    let executable = executable.strip_suffix(" (deleted)").unwrap_or(&executable);
    let (arguments, _) = read_proc_at(proc, "cmdline", MAX_ARGUMENTS).ok()?;
    let arguments: Vec<&str> = arguments
        .split(|b| *b == 0)
        .map(|word| str::from_utf8(word).unwrap_or_default())
        .collect();
    let name = Path::new(executable).file_name()?.to_str()?;
    said(name, &arguments, link("cwd").as_deref())
}

/// What a program says by its arguments and working directory.
fn said(program: &str, arguments: &[&str], cwd: Option<&str>) -> Option<Supervisor> {
    let after = |short: &str, long: &str| {
        let joined = arguments
            .iter()
            .find_map(|word| word.strip_prefix(long)?.strip_prefix('='));
        let at = arguments
            .iter()
            .position(|word| *word == short || *word == long);
        joined.or_else(|| arguments.get(at?.checked_add(1)?).copied())
    };
    match program {
        "conmon" => after("-b", "--bundle").map(|bundle| Supervisor::Bundle(bundle.to_owned())),
        "systemd-nspawn" => {
            let directory = || {
                let directory = after("-D", "--directory")?;
                Path::new(directory).file_name()?.to_str()
            };
            let name = after("-M", "--machine").or_else(directory)?;
            Some(Supervisor::Machine(name.to_owned()))
        }
        shim if shim.starts_with("containerd-shim") => {
            cwd.map(|cwd| Supervisor::Bundle(cwd.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_supervisor_says_it_its_own_way() {
        let bundle = |path: &str| Some(Supervisor::Bundle(path.to_owned()));
        let machine = |name: &str| Some(Supervisor::Machine(name.to_owned()));
        let shim = [
            "/usr/bin/containerd-shim-runc-v2",
            "-namespace",
            "moby",
            "-id",
            "x",
        ];
        assert_eq!(
            said("containerd-shim-runc-v2", &shim, Some("/run/c/moby/x")),
            bundle("/run/c/moby/x")
        );
        assert_eq!(
            said(
                "conmon",
                &["conmon", "-c", "x", "-b", "/g/x/userdata"],
                None
            ),
            bundle("/g/x/userdata")
        );
        assert_eq!(said("conmon", &["conmon", "-b"], None), None);
        assert_eq!(
            said(
                "systemd-nspawn",
                &["n", "-q", "--machine=web", "-D", "/x/other"],
                None
            ),
            machine("web")
        );
        assert_eq!(
            said("systemd-nspawn", &["n", "-D", "/x/other"], None),
            machine("other")
        );
        assert_eq!(
            said("sleep", &["containerd-shim", "-b", "/x"], Some("/y")),
            None
        );
    }

    #[test]
    fn a_process_without_one_has_none() {
        let me = i32::try_from(std::process::id()).unwrap_or_default();
        assert_eq!(of(me), None);
        assert_eq!(of(0), None);
    }
}
