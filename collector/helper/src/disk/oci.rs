//! Reads what all OCI runtimes share, and confirms containers of runc and crun started by hand.

use super::fields::text;
use super::host::HostRoot;
use super::{Found, Place};
use crate::container::is_oci_id;
use crate::record::Container;
use serde_json::Value;

/// Facts of a bundle's `config.json` (OCI runtime specification).
pub(super) fn from_bundle(found: &mut Found, config: &Value) {
    let container = &mut found.container;
    container.hostname = text(config, "/hostname");
    container.memory_limit = config
        .pointer("/linux/resources/memory/limit")
        .and_then(Value::as_u64)
        .filter(|limit| *limit > 0);
    found.place = text(config, "/linux/cgroupsPath").map(Place::CgroupsPath);
}

/// The container `id` that root started with runc or crun, by the state these keep of it.
pub(super) fn find(host: &HostRoot, id: &str) -> Option<Found> {
    let id = Some(id).filter(|id| is_oci_id(id))?;
    runc(host, id).or_else(|| crun(host, id))
}

fn runc(host: &HostRoot, id: &str) -> Option<Found> {
    let directory = host.directory("run/runc").ok()?.directory(id).ok()?;
    let state = directory.json("state.json")?;
    let mut found = named("runc", id);
    found.container.hostname = text(&state, "/config/hostname");
    found.container.started_at = text(&state, "/created");
    // One path for each controller on v1, a single one on v2, all below the mount points.
    let paths = state.get("cgroup_paths")?.as_object()?;
    let below = |(controller, path): (&String, &Value)| below_mount(controller, path.as_str()?);
    found.place = Some(Place::Exactly(paths.iter().filter_map(below).collect()));
    found.note(&["runtime", "id"], directory.path_of("state.json"));
    found.place.is_some().then_some(found)
}

/// `/sys/fs/cgroup/memory/web` for `memory` is `/web`; so is `/sys/fs/cgroup/web` on v2.
fn below_mount(controller: &str, path: &str) -> Option<String> {
    let path = path.strip_prefix("/sys/fs/cgroup")?;
    if controller.is_empty() {
        // Beside v1 hierarchies the unified one has a directory of its own.
        return Some(path.strip_prefix("/unified").unwrap_or(path).to_owned());
    }
    // Controllers are mounted alone or together (`cpu,cpuacct`), systemd's under its own name.
    let (_, below) = path.strip_prefix('/')?.split_once('/')?;
    Some(format!("/{below}"))
}

fn crun(host: &HostRoot, id: &str) -> Option<Found> {
    let directory = host.directory("run/crun").ok()?.directory(id).ok()?;
    let status = directory.json("status")?;
    let mut found = named("crun", id);
    found.container.started_at = text(&status, "/created");
    found.place = text(&status, "/cgroup-path")
        .map(|path| Place::Exactly(vec![format!("/{}", path.trim_matches('/'))]));
    found.note(&["runtime", "id"], directory.path_of("status"));
    found.place.is_some().then_some(found)
}

fn named(runtime: &str, id: &str) -> Found {
    Found::new(Container {
        runtime: runtime.to_owned(),
        id: id.to_owned(),
        name: Some(id.to_owned()),
        ..Container::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn containers_by_hand_are_found_with_their_place() {
        let temp = tempfile::tempdir().unwrap();
        for (file, text) in [
            (
                "run/runc/web/state.json",
                r#"{"cgroup_paths":{"memory":"/sys/fs/cgroup/memory/user.slice/web"},"created":"2026-01-01T00:00:00Z"}"#,
            ),
            (
                "run/runc/two/state.json",
                r#"{"cgroup_paths":{"":"/sys/fs/cgroup/two"}}"#,
            ),
            (
                "run/crun/web2/status",
                r#"{"cgroup-path":"web2","created":"x"}"#,
            ),
            ("run/crun/bad/status", "[]"),
        ] {
            fs::create_dir_all(temp.path().join(file).parent().unwrap()).unwrap();
            fs::write(temp.path().join(file), text).unwrap();
        }
        let host = HostRoot::at(temp.path()).unwrap();
        let place =
            |id| find(&host, id).map(|found| (found.container.runtime, found.place.unwrap()));
        let expected = |runtime: &str, path: &str| {
            Some((runtime.to_owned(), Place::Exactly(vec![path.to_owned()])))
        };
        assert_eq!(place("web"), expected("runc", "/user.slice/web"));
        assert_eq!(place("two"), expected("runc", "/two"));
        assert_eq!(place("web2"), expected("crun", "/web2"));
        assert_eq!(place("bad"), None);
        assert_eq!(place("../runc/web"), None);
    }
}
