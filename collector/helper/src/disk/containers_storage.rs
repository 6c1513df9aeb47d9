//! Confirms containers of Podman and CRI-O, which share one layout of files (containers/storage),
//! those of root and those of a user.
//!
//! `<root>/<driver>-containers/<id>/userdata/config.json` is the OCI configuration, with CRI-O's
//! annotations. Podman's name and image are in `containers.json` beside it, its labels in the
//! database of its versions before 5; that of later versions (`db.sql`) is not read here.

use super::Found;
use super::bolt::Bolt;
use super::fields::{bounded, labels, repository, text};
use super::host::{Directory, HostRoot, toml_text};
use super::{kubernetes, oci};
use crate::bounded::open_regular_at;
use crate::container::is_container_id;
use crate::log_tail::{Format, Log};
use crate::record::Container;
use serde_json::Value;

/// Where Podman lists its containers, those with `--rm` apart.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];
const DRIVERS: [&str; 5] = ["overlay", "vfs", "btrfs", "zfs", "aufs"];

/// The places root's Podman and CRI-O keep their state.
#[derive(Clone, Debug)]
pub struct StorageFiles {
    roots: Vec<String>,
}

impl StorageFiles {
    /// Roots of `host`: the configured ones and the default.
    pub fn of_host(host: &HostRoot) -> Self {
        let texts = ["etc/containers", "usr/share/containers"]
            .map(|directory| host.text(directory, "storage.conf").unwrap_or_default());
        let configured = texts
            .iter()
            .flat_map(|text| ["graphroot", "runroot"].map(|key| toml_text(text, "storage", key)));
        let mut roots: Vec<String> = configured.flatten().map(str::to_owned).collect();
        let defaults = ["var/lib/containers/storage", "run/containers/storage"];
        roots.extend(defaults.map(str::to_owned));
        roots.dedup();
        Self { roots }
    }

    /// Looks in one more root first.
    pub(super) fn look_in(&mut self, root: String) {
        self.roots.insert(0, root);
    }

    /// The container `id`; that of `user` alone when there is one.
    pub fn find(&self, host: &HostRoot, id: &str, user: Option<u32>) -> Option<Found> {
        if !is_container_id(id) {
            return None;
        }
        let roots: Vec<Directory> = match user {
            Some(user) => of_user(host, user),
            None => self
                .roots
                .iter()
                .flat_map(|root| host.directory(root))
                .collect(),
        };
        let stores: Vec<(Directory, &str)> = roots
            .iter()
            .flat_map(|root| DRIVERS.map(|driver| (root, driver)))
            .filter_map(|(root, driver)| {
                let store = root.directory(&format!("{driver}-containers")).ok()?;
                Some((store, driver))
            })
            .collect();
        let configured = stores.iter().find_map(|(store, driver)| {
            let userdata = store.descend(&[id, "userdata"]).ok()?;
            let config = userdata.json("config.json")?;
            let mut found = read(&userdata, &config, id, user);
            // Podman's log of the driver k8s-file; with others there is none.
            if found.container.runtime == "podman" && userdata.has("ctr.log") {
                let log = Log::new(&userdata.fd, "ctr.log".to_owned(), Format::Cri, user);
                found.log = log
                    .map_err(|error| {
                        let problem = format!("the container's log could not be opened: {error}");
                        found.problems.push(problem);
                    })
                    .ok();
                found.container.log_driver = Some("k8s-file".to_owned());
            }
            Some((found, *driver))
        });
        // Its configuration may be damaged, or be missing from a copy.
        let listed = || {
            stores.iter().find_map(|(store, driver)| {
                LISTS
                    .iter()
                    .find_map(|list| entry(&store.json(list)?, id))?;
                Some((read(store, &Value::Null, id, user), *driver))
            })
        };
        let (mut found, driver) = configured.or_else(listed)?;
        if found.container.runtime == "podman" {
            from_podman(&mut found, &roots, driver);
        } else {
            add_pod_labels(&mut found, &stores);
        }
        Some(found)
    }
}

/// A user's roots: the one he configured, and the defaults.
fn of_user(host: &HostRoot, user: u32) -> Vec<Directory> {
    let mut paths = Vec::new();
    for home in host.homes(user) {
        let config = host.directory_of(user, &format!("{home}/.config/containers"));
        let config = config.and_then(|directory| directory.read("storage.conf"));
        let config = config.map(|bytes| String::from_utf8(bytes).unwrap_or_default());
        let config = config.unwrap_or_default();
        let configured = ["graphroot", "runroot"].map(|key| toml_text(&config, "storage", key));
        paths.extend(configured.into_iter().flatten().map(str::to_owned));
        paths.push(format!("{home}/.local/share/containers/storage"));
    }
    paths.push(format!("run/user/{user}/containers"));
    let opened = paths.iter().flat_map(|path| host.directory_of(user, path));
    opened.collect()
}

fn read(userdata: &Directory, config: &Value, id: &str, user: Option<u32>) -> Found {
    let annotations = config.get("annotations").unwrap_or(&Value::Null);
    let manager = annotations
        .get("io.container.manager")
        .and_then(Value::as_str);
    let crio =
        manager == Some("cri-o") || annotations.get("io.kubernetes.cri-o.KubeName").is_some();
    let mut found = Found::new(Container {
        runtime: if crio { "cri-o" } else { "podman" }.to_owned(),
        id: id.to_owned(),
        user,
        ..Container::default()
    });
    oci::from_bundle(&mut found, config);
    let mut facts = vec!["runtime", "id", "hostname", "memory_limit"];
    if crio {
        kubernetes::from_crio(&mut found.container, annotations);
        kubernetes::from_labels(&mut found);
        facts.extend([
            "name",
            "image",
            "image_id",
            "image_digests",
            "labels",
            "pod_namespace",
            "pod_name",
            "pod_uid",
            "pod_container",
            "sandbox_id",
            "sandbox",
            "started_at",
            "restart_count",
        ]);
    }
    let file = if config.is_null() {
        "containers.json"
    } else {
        "config.json"
    };
    found.note(&facts, userdata.path_of(file));
    found
}

/// A pod's own labels and annotations are kept with its sandbox.
fn add_pod_labels(found: &mut Found, stores: &[(Directory, &str)]) {
    let container = &mut found.container;
    let sandbox = container
        .sandbox_id
        .clone()
        .filter(|id| is_container_id(id));
    let Some(sandbox) = sandbox.filter(|id| *id != container.id) else {
        return;
    };
    let read = |(store, _): &(Directory, &str)| {
        let userdata = store.descend(&[&sandbox, "userdata"]).ok()?;
        Some((
            userdata.json("config.json")?,
            userdata.path_of("config.json"),
        ))
    };
    let Some((config, path)) = stores.iter().find_map(read) else {
        return;
    };
    let mut pod = Container::default();
    kubernetes::from_crio(&mut pod, config.get("annotations").unwrap_or(&Value::Null));
    for (name, value) in pod.labels {
        container.labels.entry(name).or_insert(value);
    }
    found.note(&["labels"], path);
}

fn from_podman(found: &mut Found, roots: &[Directory], driver: &str) {
    let id = found.container.id.clone();
    let entry = roots.iter().find_map(|root| {
        let directory = root.directory(&format!("{driver}-containers")).ok()?;
        LISTS.iter().find_map(|list| {
            let entry = entry(&directory.json(list)?, &id)?;
            Some((entry, directory.path_of(list)))
        })
    });
    if let Some((entry, path)) = entry {
        // The engine's part is JSON within a text: {"image-name":…,"image-id":…,"name":…}
        let metadata = entry
            .get("metadata")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
        let container = &mut found.container;
        container.name = text(&entry, "/names/0").or_else(|| text(&metadata, "/name"));
        container.image = text(&metadata, "/image-name");
        let image = text(&entry, "/image").or_else(|| text(&metadata, "/image-id"));
        container.image_id = image.map(|id| format!("sha256:{id}"));
        found.note(&["name", "image", "image_id"], path);
    }
    digests(found, roots, driver);
    podman_database(found, roots);
}

fn entry(list: &Value, id: &str) -> Option<Value> {
    let mut entries = list.as_array()?.iter();
    entries
        .find(|entry| entry.get("id").and_then(Value::as_str) == Some(id))
        .cloned()
}

/// Digests of the image, from the list of images.
fn digests(found: &mut Found, roots: &[Directory], driver: &str) {
    let Some(id) = found
        .container
        .image_id
        .as_deref()
        .and_then(|id| id.strip_prefix("sha256:"))
    else {
        return;
    };
    let image = roots.iter().find_map(|root| {
        let images = root.directory(&format!("{driver}-images")).ok()?;
        Some((
            entry(&images.json("images.json")?, id)?,
            images.path_of("images.json"),
        ))
    });
    let Some((image, path)) = image else { return };
    let Some(digest) = text(&image, "/digest") else {
        return;
    };
    let names = image.get("names").and_then(Value::as_array);
    let mut digests: Vec<String> = names
        .into_iter()
        .flatten()
        .take(64)
        .filter_map(|name| bounded(&format!("{}@{digest}", repository(name.as_str()?))))
        .collect();
    digests.sort();
    digests.dedup();
    found.container.image_digests = digests;
    found.note(&["image_digests"], path);
}

/// Labels, from `libpod/bolt_state.db`.
fn podman_database(found: &mut Found, roots: &[Directory]) {
    let id = found.container.id.clone();
    for libpod in roots.iter().flat_map(|root| root.directory("libpod")) {
        let file = open_regular_at(&libpod.fd, "bolt_state.db").ok();
        let Some(bolt) = file.and_then(Bolt::open) else {
            continue;
        };
        let config = bolt
            .bucket(&["ctr", &id])
            .and_then(|container| container.value("config"));
        let config = config.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if let Some(config) = config.filter(|_| bolt.unchanged()) {
            let container = &mut found.container;
            container.labels = labels(config.get("labels"));
            container.name = text(&config, "/name").or(container.name.take());
            found.note(&["name", "labels"], libpod.path_of("bolt_state.db"));
            return;
        }
    }
    let newer = roots.iter().any(|root| root.has("db.sql"));
    if newer {
        let problem = "Podman keeps labels in an SQLite database, which is not read while the process is held";
        found.problems.push(problem.to_owned());
    }
}
