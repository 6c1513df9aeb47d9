//! Reads what a cgroup used and was allowed: v2, v1, and the two side by side.
//!
//! The path is the container's to choose below its own cgroup, hence it is resolved beneath the
//! mount without links, and only the kernel's own file names are read there.

use crate::bounded::{open_dir, read_proc_at};
use crate::record::Resources;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most bytes of one file: a handful of short lines.
const MAX_FILE: usize = 4096;
/// Below this, a v1 limit is a limit: "none" is the largest multiple of the page size.
const NO_LIMIT: u64 = 1 << 60;

/// Use and limits of the cgroups in `cgroup`, the text of `/proc/P/cgroup`, as mounted at `mount`.
/// With a container's `id` they are read at its level, wherever below it the process had moved.
pub(super) fn resources(mount: &Path, cgroup: &[u8], id: Option<&str>) -> Resources {
    let mut resources = Resources::default();
    for (controllers, path) in cgroup.split(|b| *b == b'\n').filter_map(line) {
        let Some(path) = of_container(path, id) else {
            continue;
        };
        let at = |below: &str| directory(&mount.join(below), &path);
        if controllers.is_empty() {
            // Without v1 the unified hierarchy is the mount itself.
            let alone = mount.join("cgroup.controllers").exists();
            if let Some(cgroup) = at(if alone { "" } else { "unified" }) {
                v2(&cgroup, &mut resources);
            }
        }
        for controller in controllers.split(|b| *b == b',') {
            let (name, read): (_, fn(&OwnedFd, &mut Resources)) = match controller {
                b"memory" => ("memory", v1_memory),
                b"cpu" => ("cpu", v1_cpu),
                b"pids" => ("pids", pids),
                _ => continue,
            };
            if let Some(cgroup) = at(name) {
                read(&cgroup, &mut resources);
            }
        }
    }
    resources
}

/// Controllers and path of a line, `hierarchy:controllers:path`.
fn line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = line.splitn(3, |b| *b == b':').skip(1);
    Some((fields.next()?, fields.next()?))
}

/// The path up to the level that names the container, relative to the mount.
fn of_container<'p>(path: &'p [u8], id: Option<&str>) -> Option<PathBuf> {
    let plain = |level: &&'p [u8]| !level.is_empty();
    let mut kept = PathBuf::new();
    for level in path.split(|b| *b == b'/').filter(plain) {
        if level == b".." {
            // The cgroup lies outside our namespace, and its mount outside our sight.
            return None;
        }
        kept.push(OsStr::from_bytes(level));
        let names = |id: &str| level.windows(id.len()).any(|part| part == id.as_bytes());
        if id.is_some_and(|id| !id.is_empty() && names(id)) {
            break;
        }
    }
    Some(kept)
}

fn directory(mount: &Path, path: &Path) -> Option<OwnedFd> {
    let mount = open_dir(mount).ok()?;
    if path.as_os_str().is_empty() {
        return Some(mount);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(mount, path, flags, Mode::empty(), beneath).ok()
}

fn v2(cgroup: &OwnedFd, resources: &mut Resources) {
    let memory = |name| number(cgroup, name);
    resources.memory_current = memory("memory.current").or(resources.memory_current);
    resources.memory_peak = memory("memory.peak").or(resources.memory_peak);
    resources.memory_max = memory("memory.max").or(resources.memory_max);
    let events = text(cgroup, "memory.events").unwrap_or_default();
    resources.memory_max_hits = value(&events, "max").or(resources.memory_max_hits);
    resources.oom_events = value(&events, "oom").or(resources.oom_events);
    resources.oom_kills = value(&events, "oom_kill").or(resources.oom_kills);
    let limit = text(cgroup, "cpu.max").unwrap_or_default();
    let quota = limit.split_whitespace().map(|word| word.parse().ok());
    if let [Some(quota), Some(period)] = quota.collect::<Vec<Option<u64>>>()[..] {
        resources.cpu_millis = millis(quota, period);
    }
    let stat = text(cgroup, "cpu.stat").unwrap_or_default();
    throttling(&stat, resources);
    resources.cpu_throttled_us = value(&stat, "throttled_usec").or(resources.cpu_throttled_us);
    pids(cgroup, resources);
}

fn v1_memory(cgroup: &OwnedFd, resources: &mut Resources) {
    resources.memory_current = number(cgroup, "memory.usage_in_bytes");
    resources.memory_peak = number(cgroup, "memory.max_usage_in_bytes");
    resources.memory_max =
        number(cgroup, "memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT);
    resources.memory_max_hits = number(cgroup, "memory.failcnt");
    let control = text(cgroup, "memory.oom_control").unwrap_or_default();
    resources.oom_kills = value(&control, "oom_kill");
}

fn v1_cpu(cgroup: &OwnedFd, resources: &mut Resources) {
    // The quota is -1 where there is none, which is no number of ours.
    let quota = number(cgroup, "cpu.cfs_quota_us");
    let limit = quota.zip(number(cgroup, "cpu.cfs_period_us"));
    resources.cpu_millis = limit.and_then(|(quota, period)| millis(quota, period));
    let stat = text(cgroup, "cpu.stat").unwrap_or_default();
    throttling(&stat, resources);
    resources.cpu_throttled_us =
        value(&stat, "throttled_time").map(|nanoseconds| nanoseconds / 1000);
}

fn throttling(stat: &str, resources: &mut Resources) {
    resources.cpu_periods = value(stat, "nr_periods").or(resources.cpu_periods);
    resources.cpu_throttled_periods =
        value(stat, "nr_throttled").or(resources.cpu_throttled_periods);
}

fn pids(cgroup: &OwnedFd, resources: &mut Resources) {
    resources.pids_current = number(cgroup, "pids.current").or(resources.pids_current);
    resources.pids_max = number(cgroup, "pids.max").or(resources.pids_max);
}

fn millis(quota: u64, period: u64) -> Option<u64> {
    quota.checked_mul(1000)?.checked_div(period)
}

/// A file that holds one number; `max` and `-1` are none.
fn number(cgroup: &OwnedFd, name: &str) -> Option<u64> {
    text(cgroup, name)?.trim().parse().ok()
}

/// The number after `key` in a file of `key value` lines.
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

fn text(cgroup: &OwnedFd, name: &str) -> Option<String> {
    let (bytes, _) = read_proc_at(cgroup, name, MAX_FILE).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = mount.path().join(path.replace("ID", ID));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        mount
    }

    fn read(mount: &tempfile::TempDir, cgroup: &str) -> Resources {
        resources(mount.path(), cgroup.replace("ID", ID).as_bytes(), Some(ID))
    }

    #[test]
    fn version_2_is_read_at_the_containers_level() {
        let mount = tree(&[
            ("cgroup.controllers", "memory"),
            ("system.slice/docker-ID.scope/memory.current", "1000\n"),
            ("system.slice/docker-ID.scope/memory.peak", "5000\n"),
            ("system.slice/docker-ID.scope/memory.max", "8192\n"),
            (
                "system.slice/docker-ID.scope/memory.events",
                "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n",
            ),
            ("system.slice/docker-ID.scope/cpu.max", "150000 100000\n"),
            (
                "system.slice/docker-ID.scope/cpu.stat",
                "usage_usec 1\nnr_periods 9\nnr_throttled 3\nthrottled_usec 77\n",
            ),
            ("system.slice/docker-ID.scope/pids.current", "4\n"),
            ("system.slice/docker-ID.scope/pids.max", "max\n"),
            (
                "system.slice/docker-ID.scope/made/inside/memory.current",
                "1\n",
            ),
        ]);
        let found = read(&mount, "0::/system.slice/docker-ID.scope/made/inside\n");
        let expected = Resources {
            memory_current: Some(1000),
            memory_peak: Some(5000),
            memory_max: Some(8192),
            memory_max_hits: Some(7),
            oom_events: Some(2),
            oom_kills: Some(1),
            cpu_millis: Some(1500),
            cpu_periods: Some(9),
            cpu_throttled_periods: Some(3),
            cpu_throttled_us: Some(77),
            pids_current: Some(4),
            pids_max: None,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn version_1_is_read_from_its_hierarchies() {
        let mount = tree(&[
            ("memory/docker/ID/memory.usage_in_bytes", "1000\n"),
            (
                "memory/docker/ID/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            (
                "memory/docker/ID/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
            ),
            ("cpu/docker/ID/cpu.cfs_quota_us", "-1\n"),
            ("cpu/docker/ID/cpu.cfs_period_us", "100000\n"),
            (
                "cpu/docker/ID/cpu.stat",
                "nr_periods 2\nnr_throttled 1\nthrottled_time 5000\n",
            ),
            ("pids/docker/ID/pids.max", "100\n"),
            ("unified/docker/ID/cgroup.procs", ""),
        ]);
        let found = read(
            &mount,
            "8:pids:/docker/ID\n4:memory:/docker/ID\n2:cpu,cpuacct:/docker/ID\n0::/docker/ID\n",
        );
        assert_eq!((found.memory_current, found.memory_max), (Some(1000), None));
        assert_eq!((found.oom_kills, found.cpu_millis), (Some(5), None));
        assert_eq!(
            (found.cpu_throttled_us, found.pids_max),
            (Some(5), Some(100))
        );
    }

    #[test]
    fn paths_lead_nowhere_else() {
        let mount = tree(&[("cgroup.controllers", ""), ("outside/memory.current", "1")]);
        std::os::unix::fs::symlink(mount.path().join("outside"), mount.path().join("link"))
            .unwrap();
        for path in [
            "/../outside",
            "/link",
            "/no/such",
            "relative/../outside",
            "\0",
        ] {
            assert_eq!(
                read(&mount, &format!("0::{path}")),
                Resources::default(),
                "{path}"
            );
        }
        assert_eq!(read(&mount, "0::/outside").memory_current, Some(1));
        assert_eq!(read(&mount, "garbage\n::::\n0"), Resources::default());
    }
}
