//! Confirms systemd-nspawn containers by what systemd-machined writes about them, or by the
//! directory that holds their files.

use super::host::HostRoot;
use super::{Found, Place};
use crate::container::is_oci_id;
use crate::record::Container;

/// The machine called `name`, unless machined says that it is a virtual one.
pub(super) fn find(host: &HostRoot, name: &str) -> Option<Found> {
    let mut found = named(name)?;
    if let Some(state) = host.text("run/systemd/machines", name) {
        // src/machine/machine.c, machine_save: NAME=value lines, C-escaped.
        let value = |key: &str| {
            state
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        if value("CLASS").is_some_and(|class| class != "container") {
            return None;
        }
        found.place = value("SCOPE").map(|unit| Place::Unit(unit.to_owned()));
        found.note(&["runtime", "id"], format!("/run/systemd/machines/{name}"));
        return Some(found);
    }
    let machines = host.directory("var/lib/machines").ok()?;
    machines.directory(name).ok()?;
    found.note(&["runtime", "id"], machines.path_of(name));
    Some(found)
}

/// A machine that nothing is known of but its name.
pub(super) fn named(name: &str) -> Option<Found> {
    is_oci_id(name).then(|| {
        Found::new(Container {
            runtime: "systemd-nspawn".to_owned(),
            id: name.to_owned(),
            name: Some(name.to_owned()),
            ..Container::default()
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn machines_are_found_and_virtual_ones_are_not() {
        let temp = tempfile::tempdir().unwrap();
        let state = temp.path().join("run/systemd/machines");
        fs::create_dir_all(&state).unwrap();
        fs::create_dir_all(temp.path().join("var/lib/machines/plain")).unwrap();
        let web = "# private\nNAME=web\nSCOPE=machine-web.scope\nSERVICE=nspawn\nCLASS=container\n";
        fs::write(state.join("web"), web).unwrap();
        fs::write(state.join("vm"), "NAME=vm\nCLASS=vm\n").unwrap();
        let host = HostRoot::at(temp.path()).unwrap();
        let place = Place::Unit("machine-web.scope".to_owned());
        assert_eq!(find(&host, "web").unwrap().place, Some(place));
        assert!(find(&host, "plain").is_some());
        assert!(find(&host, "vm").is_none() && find(&host, "..").is_none());
    }
}
