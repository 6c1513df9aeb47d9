//! Confirms LXC, Incus and LXD containers, which go by names, by their directories.

use super::Found;
use super::host::{Directory, HostRoot};
use crate::container::is_oci_id;
use crate::record::Container;

/// Runtimes, where each keeps its containers, and the file there that says so.
const PLACES: [(&str, &str, &str); 5] = [
    ("lxc", "var/lib/lxc", "config"),
    ("incus", "run/incus", "lxc.conf"),
    ("incus", "var/lib/incus/containers", "backup.yaml"),
    ("lxd", "var/snap/lxd/common/lxd/containers", "backup.yaml"),
    ("lxd", "var/lib/lxd/containers", "backup.yaml"),
];

/// The container called `name`; that of `user` alone when there is one.
pub(super) fn find(host: &HostRoot, name: &str, user: Option<u32>) -> Option<Found> {
    if !is_oci_id(name) {
        return None;
    }
    let found = |name: &str| match user {
        Some(user) => host.homes(user).iter().find_map(|home| {
            let all = host.directory_of(user, &format!("{home}/.local/share/lxc"));
            read(&all.ok()?, "lxc", name, "config", Some(user))
        }),
        None => of_root(host, name),
    };
    // LXC counts up (`web-1`) while an old cgroup of the name is still there.
    let uncounted = || {
        let (before, count) = name.rsplit_once('-')?;
        let counted = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        found(Some(before).filter(|_| counted)?)
    };
    found(name).or_else(uncounted)
}

fn of_root(host: &HostRoot, name: &str) -> Option<Found> {
    let configured = host.text("etc/lxc", "lxc.conf").and_then(|text| {
        let line = |line: &str| {
            Some(
                line.strip_prefix("lxc.lxcpath")?
                    .trim_start()
                    .strip_prefix('=')?
                    .trim()
                    .to_owned(),
            )
        };
        text.lines().find_map(line)
    });
    let configured =
        configured.and_then(|path| read(&host.directory(&path).ok()?, "lxc", name, "config", None));
    configured.or_else(|| {
        PLACES.iter().find_map(|(runtime, path, file)| {
            read(&host.directory(path).ok()?, runtime, name, file, None)
        })
    })
}

fn read(
    all: &Directory,
    runtime: &str,
    name: &str,
    file: &str,
    user: Option<u32>,
) -> Option<Found> {
    let directory = all.directory(name).ok()?;
    if !directory.has(file) {
        return None;
    }
    let text = directory.read(file).unwrap_or_default();
    let hostname = str::from_utf8(&text).ok().and_then(|text| {
        text.lines().find_map(|line| {
            line.strip_prefix("lxc.uts.name")?
                .trim_start()
                .strip_prefix('=')
        })
    });
    let mut found = Found::new(Container {
        runtime: runtime.to_owned(),
        id: name.to_owned(),
        name: Some(name.to_owned()),
        hostname: hostname.and_then(|name| super::fields::bounded(name.trim())),
        user,
        ..Container::default()
    });
    found.note(
        &["runtime", "id", "name", "hostname"],
        directory.path_of(file),
    );
    Some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn containers_are_found_by_name() {
        let temp = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("var/lib/lxc/web/config", "lxc.uts.name = host1\n"),
            ("run/incus/blue_web/lxc.conf", "x"),
            ("srv/lxc/own/config", ""),
            ("etc/lxc/lxc.conf", "lxc.lxcpath = /srv/lxc\n"),
        ] {
            fs::create_dir_all(temp.path().join(file).parent().unwrap()).unwrap();
            fs::write(temp.path().join(file), text).unwrap();
        }
        let host = HostRoot::at(temp.path()).unwrap();
        let seen = |name| {
            find(&host, name, None).map(|found| (found.container.runtime, found.container.id))
        };
        let expected = |runtime: &str, id: &str| Some((runtime.to_owned(), id.to_owned()));
        assert_eq!(seen("web"), expected("lxc", "web"));
        assert_eq!(seen("web-12"), expected("lxc", "web"));
        assert_eq!(seen("blue_web"), expected("incus", "blue_web"));
        assert_eq!(seen("own"), expected("lxc", "own"));
        assert_eq!(
            (seen("other"), seen(".."), seen("web-x")),
            (None, None, None)
        );
        let web = find(&host, "web", None).unwrap().container;
        assert_eq!(web.hostname.as_deref(), Some("host1"));
    }
}
