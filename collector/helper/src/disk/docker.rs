//! Confirms a container by Docker's own files, and reads there who it is.
//!
//! `config.v2.json` and `hostconfig.json` in the data root; the bundle that Docker's containerd
//! made says where the data root is, whatever the daemon was told, and where the cgroup.

use super::fields::{bounded, labels, repository, text};
use super::host::{Directory, HostRoot};
use super::kubernetes;
use super::{Found, Place};
use crate::container::is_container_id;
use crate::log_tail::{Format, Log};
use crate::record::Container;
use serde_json::Value;
use std::path::Path;

/// Where Docker's containerd keeps bundles: its own, and the system's where Docker uses that.
const STATES: [&str; 2] = ["run/docker/containerd/daemon", "run/containerd"];

/// The places a host's Docker engines keep their state.
#[derive(Clone, Debug)]
pub struct DockerFiles {
    roots: Vec<String>,
    states: Vec<String>,
}

impl DockerFiles {
    /// Data roots of `host`: the configured one, the running daemon's, the default, and snap's.
    pub fn of_host(host: &HostRoot) -> Self {
        let config = host.directory("etc/docker").ok();
        let config = config.and_then(|directory| directory.json("daemon.json"));
        let configured = |keys: &[&str]| {
            let config = config.as_ref()?;
            keys.iter().find_map(|key| text(config, &format!("/{key}")))
        };
        let mut roots: Vec<String> = configured(&["data-root", "graph"]).into_iter().collect();
        let defaults = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
        roots.extend(defaults.map(str::to_owned));
        let exec = configured(&["exec-root"]);
        let mut states: Vec<String> = exec
            .map(|exec| format!("{exec}/containerd/daemon"))
            .into_iter()
            .collect();
        states.extend(STATES.map(str::to_owned));
        Self { roots, states }
    }

    /// Looks for bundles in one more place first.
    pub(super) fn look_in(&mut self, state: String) {
        self.states.insert(0, state);
    }

    /// The container `id`, if any data root has it; that of `user` alone when there is one.
    pub fn find(&self, host: &HostRoot, id: &str, user: Option<u32>) -> Option<Found> {
        if !is_container_id(id) {
            return None;
        }
        if let Some(user) = user {
            return host.homes(user).iter().find_map(|home| {
                let root = format!("{home}/.local/share/docker");
                read_container(&host.directory_of(user, &root).ok()?, id, Some(user))
            });
        }
        let bundle = self.bundle(host, id);
        let told = bundle.as_ref().and_then(data_root);
        let mut found = told
            .iter()
            .chain(&self.roots)
            .find_map(|root| read_container(&host.directory(root).ok()?, id, None))?;
        found.place = bundle
            .and_then(|bundle| text(&bundle, "/linux/cgroupsPath"))
            .map(Place::CgroupsPath)
            .or(found.place);
        Some(found)
    }

    fn bundle(&self, host: &HostRoot, id: &str) -> Option<Value> {
        self.states.iter().find_map(|state| {
            let path = format!("{state}/io.containerd.runtime.v2.task/moby");
            let bundle = host.directory(&path).ok()?.directory(id).ok()?;
            bundle.json("config.json")
        })
    }
}

/// The data root, from the files that Docker mounts into every container with a network.
fn data_root(bundle: &Value) -> Option<String> {
    let mounts = bundle.pointer("/mounts")?.as_array()?;
    mounts.iter().take(256).find_map(|mount| {
        let source = mount.get("source")?.as_str()?;
        let mut parts = source.rsplitn(4, '/');
        let (file, id) = (parts.next()?, parts.next()?);
        let ours = matches!(file, "hostname" | "hosts" | "resolv.conf") && is_container_id(id);
        let containers = parts.next()? == "containers";
        parts
            .next()
            .filter(|_| ours && containers)
            .map(str::to_owned)
    })
}

fn read_container(root: &Directory, id: &str, user: Option<u32>) -> Option<Found> {
    let directory = root.descend(&["containers", id]).ok()?;
    let mut problems = Vec::new();
    let mut read = |name: &str| {
        let value = directory.read(name).map_err(|error| error.to_string());
        let value = value.and_then(|bytes| {
            serde_json::from_slice(&bytes).map_err(|_| "it is not JSON".to_owned())
        });
        value.unwrap_or_else(|error| {
            problems.push(format!(
                "Docker's {name} of the container could not be read: {error}"
            ));
            Value::Null
        })
    };
    let config = read("config.v2.json");
    let host_config = read("hostconfig.json");
    let image_id = text(&config, "/Image");
    let container = Container {
        runtime: "docker".to_owned(),
        id: id.to_owned(),
        name: text(&config, "/Name").map(|name| name.trim_start_matches('/').to_owned()),
        image: text(&config, "/Config/Image"),
        image_digests: repository_digests(root, &config),
        image_id,
        labels: labels(config.pointer("/Config/Labels")),
        hostname: text(&config, "/Config/Hostname"),
        // Go's zero time stands there until Docker has saved the start.
        started_at: text(&config, "/State/StartedAt").filter(|time| !time.starts_with("0001-")),
        restart_count: config.pointer("/RestartCount").and_then(Value::as_u64),
        memory_limit: host_config
            .pointer("/Memory")
            .and_then(Value::as_u64)
            .filter(|limit| *limit > 0),
        log_driver: text(&host_config, "/LogConfig/Type"),
        user,
        ..Container::default()
    };
    let mut found = Found::new(container);
    found.place = text(&host_config, "/CgroupParent").map(|parent| place(&parent, id));
    found.problems = problems;
    let log = log_of(&directory, &config, &host_config, id, user);
    found.log = log.unwrap_or_else(|problem| {
        found.problems.push(problem);
        None
    });
    found.note(
        &[
            "runtime",
            "id",
            "name",
            "image",
            "image_id",
            "image_digests",
            "labels",
        ],
        directory.path_of("config.v2.json"),
    );
    found.note(&["memory_limit"], directory.path_of("hostconfig.json"));
    kubernetes::from_labels(&mut found);
    Some(found)
}

/// Where `--cgroup-parent` puts a container, with either driver.
fn place(parent: &str, id: &str) -> Place {
    let last = parent.rsplit('/').next().unwrap_or(parent);
    if let Some(slice) = last.strip_suffix(".slice") {
        Place::CgroupsPath(format!("{slice}.slice:docker:{id}"))
    } else {
        Place::CgroupsPath(format!("/{}/{id}", parent.trim_matches('/')))
    }
}

/// `repo@sha256:…` names of the container's image. The graph driver's store lists them in
/// `repositories.json`; with the containerd image store only the manifest's digest is there.
fn repository_digests(root: &Directory, config: &Value) -> Vec<String> {
    from_repositories(root, config)
        .filter(|digests| !digests.is_empty())
        .unwrap_or_else(|| {
            let digest = text(config, "/ImageManifest/digest");
            let image = text(config, "/Config/Image");
            let both = image
                .zip(digest)
                .map(|(image, digest)| format!("{}@{digest}", repository(&image)));
            both.into_iter().collect()
        })
}

fn from_repositories(root: &Directory, config: &Value) -> Option<Vec<String>> {
    let image = config.pointer("/Image")?.as_str()?;
    let driver = config
        .pointer("/Driver")
        .and_then(Value::as_str)
        .unwrap_or("overlay2");
    let plain = driver
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let store = root
        .descend(&["image", Some(driver).filter(|_| plain)?])
        .ok()?;
    let repositories = store.json("repositories.json")?;
    let names = repositories
        .get("Repositories")?
        .as_object()?
        .values()
        .filter_map(Value::as_object)
        .flatten();
    let digests =
        names.filter(|(name, id)| id.as_str() == Some(image) && name.contains("@sha256:"));
    Some(
        digests
            .filter_map(|(name, _)| bounded(name))
            .take(64)
            .collect(),
    )
}

/// The log, only by its expected name within the container's own directory: `LogPath` is not
/// followed anywhere else. It may still be empty while the container starts.
fn log_of(
    directory: &Directory,
    config: &Value,
    host_config: &Value,
    id: &str,
    user: Option<u32>,
) -> Result<Option<Log>, String> {
    let unopened = |error| format!("the container's log could not be opened: {error}");
    let log = match host_config
        .pointer("/LogConfig/Type")
        .and_then(Value::as_str)
    {
        Some("json-file") => {
            let name = format!("{id}-json.log");
            let path = text(config, "/LogPath").unwrap_or_default();
            if !path.is_empty() && !Path::new(&path).ends_with(format!("{id}/{name}")) {
                return Err(
                    "the container's log lies outside its directory and was not read".to_owned(),
                );
            }
            Log::new(&directory.fd, name, Format::JsonLines, user)
        }
        Some("local") => match directory.directory("local-logs") {
            Ok(logs) => Log::new(&logs.fd, "container.log".to_owned(), Format::Local, user),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        },
        _ => return Ok(None),
    };
    log.map(Some).map_err(unopened)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// A host with one container whose files hold `config` and `host_config`.
    fn host(data_root: &str, config: &str, host_config: &str) -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        let directory = host.path().join(data_root).join("containers").join(ID);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("config.v2.json"), config).unwrap();
        fs::write(directory.join("hostconfig.json"), host_config).unwrap();
        fs::write(directory.join(format!("{ID}-json.log")), "{}").unwrap();
        host
    }

    fn find(host: &tempfile::TempDir) -> Option<Found> {
        let host = HostRoot::at(host.path()).unwrap();
        DockerFiles::of_host(&host).find(&host, ID, None)
    }

    fn config(log_path: &str) -> String {
        format!(
            r#"{{"Name":"/web","Image":"sha256:aa","Driver":"overlay2","RestartCount":3,"LogPath":"{log_path}",
            "Config":{{"Image":"shop:1.2","Hostname":"h","Labels":{{"a":"b","n":1}}}},"State":{{"StartedAt":"2026-01-01T00:00:00Z"}}}}"#
        )
    }

    #[test]
    fn a_container_is_read_from_disk() {
        let host = host(
            "var/lib/docker",
            &config(&format!("/x/containers/{ID}/{ID}-json.log")),
            r#"{"Memory":1048576,"LogConfig":{"Type":"json-file"}}"#,
        );
        let images = host.path().join("var/lib/docker/image/overlay2");
        fs::create_dir_all(&images).unwrap();
        fs::write(
            images.join("repositories.json"),
            r#"{"Repositories":{"shop":{"shop:1.2":"sha256:aa",
            "shop@sha256:d1":"sha256:aa","shop@sha256:d2":"sha256:bb"}}}"#,
        )
        .unwrap();
        let found = find(&host).unwrap();
        assert_eq!(found.problems, Vec::<String>::new());
        assert!(found.log.is_some());
        let container = found.container;
        assert_eq!(container.name.as_deref(), Some("web"));
        assert_eq!(container.image.as_deref(), Some("shop:1.2"));
        assert_eq!(container.image_id.as_deref(), Some("sha256:aa"));
        assert_eq!(container.image_digests, ["shop@sha256:d1"]);
        assert_eq!(
            container.labels,
            BTreeMap::from([("a".to_owned(), "b".to_owned())])
        );
        assert_eq!(
            (container.restart_count, container.memory_limit),
            (Some(3), Some(1_048_576))
        );
        assert_eq!(
            container.started_at.as_deref(),
            Some("2026-01-01T00:00:00Z")
        );
    }

    #[test]
    fn another_data_root_is_found_through_the_configuration() {
        let host = host("srv/docker", &config(""), "{}");
        assert!(find(&host).is_none());
        fs::create_dir_all(host.path().join("etc/docker")).unwrap();
        fs::write(
            host.path().join("etc/docker/daemon.json"),
            r#"{"data-root":"/srv/docker"}"#,
        )
        .unwrap();
        assert!(find(&host).is_some());
    }

    #[test]
    fn the_bundle_leads_to_a_data_root_that_nothing_else_names() {
        let host = host("srv/elsewhere", &config(""), "{}");
        assert!(find(&host).is_none());
        let bundle = host.path().join(format!(
            "run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/{ID}"
        ));
        fs::create_dir_all(&bundle).unwrap();
        let text = format!(
            r#"{{"linux":{{"cgroupsPath":"system.slice:docker:{ID}"}},
            "mounts":[{{"source":"proc"}},{{"source":"/srv/elsewhere/containers/{ID}/hostname"}}]}}"#
        );
        fs::write(bundle.join("config.json"), text).unwrap();
        let found = find(&host).unwrap();
        assert_eq!(found.container.name.as_deref(), Some("web"));
        let place = Place::CgroupsPath(format!("system.slice:docker:{ID}"));
        assert_eq!(found.place, Some(place));
    }

    #[test]
    fn damaged_files_confirm_the_container_and_say_so() {
        let host = host("var/lib/docker", "[[[[", r#"{"Memory":-1,"LogConfig":7}"#);
        let found = find(&host).unwrap();
        assert_eq!(found.problems.len(), 1);
        assert_eq!(found.container.name, None);
    }

    #[test]
    fn a_log_elsewhere_and_a_link_are_not_followed() {
        let elsewhere = host(
            "var/lib/docker",
            &config("/etc/shadow"),
            r#"{"LogConfig":{"Type":"json-file"}}"#,
        );
        let found = find(&elsewhere).unwrap();
        assert!(found.log.is_none() && found.problems.len() == 1);

        let inside = format!("/x/{ID}/{ID}-json.log");
        let linked = host(
            "var/lib/docker",
            &config(&inside),
            r#"{"LogConfig":{"Type":"json-file"}}"#,
        );
        let log = linked
            .path()
            .join(format!("var/lib/docker/containers/{ID}/{ID}-json.log"));
        fs::remove_file(&log).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &log).unwrap();
        let found = find(&linked).unwrap();
        assert!(found.log.is_none() && found.problems.len() == 1);
    }

    #[test]
    fn only_ids_become_paths() {
        let host = host("var/lib/docker", "{}", "{}");
        let host = HostRoot::at(host.path()).unwrap();
        let files = DockerFiles::of_host(&host);
        for id in ["", ".", "..", "../../etc", &ID[..63], &ID.to_uppercase()] {
            assert!(files.find(&host, id, None).is_none(), "{id}");
        }
    }
}
