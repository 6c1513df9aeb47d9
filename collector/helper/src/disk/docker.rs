//! Confirms a container on the host's disk, and reads who it is from Docker's own files there.
//!
//! No socket: a runtime that hangs delays nothing, and one that is down is not missed. The files
//! exist while the container does, also with `--rm`, and the kernel holds the container's
//! process while we read.

use crate::bounded::{open_dir, open_dir_at, open_regular_at, read_regular_at};
use crate::container::is_container_id;
use crate::record::Container;
use crate::text::escape_bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Largest file read. The largest seen of a real container is some 100 KiB.
const MAX_FILE: usize = 4 << 20;
/// Longest text kept of a field.
const MAX_FIELD: usize = 4096;
/// Longest label kept, and most labels.
const MAX_LABEL: usize = 64 * 1024;
const MAX_LABELS: usize = 1024;

/// The places a host's Docker engines keep their state.
#[derive(Clone, Debug)]
pub struct DockerFiles {
    roots: Vec<PathBuf>,
}

/// A container found on disk.
#[derive(Debug)]
pub struct Found {
    /// Its identity; `runtime`, `source`, `pod_uid` and `chain` are the caller's to fill.
    pub container: Container,
    /// Its log, when the engine writes one as JSON lines.
    pub log: Option<Log>,
    /// What could not be learned.
    pub problems: Vec<String>,
}

impl DockerFiles {
    /// Data roots beneath `host` (`/` but in tests): the configured one, the default, and snap's.
    pub fn of_host(host: &Path) -> Self {
        let defaults = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
        let mut roots: Vec<PathBuf> = configured_root(host).into_iter().collect();
        roots.extend(defaults.iter().map(|path| host.join(path)));
        roots.dedup();
        Self { roots }
    }

    /// The container `id`, if any data root has it.
    pub fn find(&self, id: &str) -> Option<Found> {
        if !is_container_id(id) {
            return None;
        }
        self.roots.iter().find_map(|root| {
            let root = open_dir(root).ok()?;
            let directory = open_dir_at(open_dir_at(&root, "containers").ok()?, id).ok()?;
            Some(read_container(&root, &directory, id))
        })
    }
}

fn configured_root(host: &Path) -> Option<PathBuf> {
    let directory = open_dir(&host.join("etc/docker")).ok()?;
    let config = json(&read_regular_at(directory, "daemon.json", MAX_FILE).ok()?)?;
    let root = ["data-root", "graph"]
        .iter()
        .find_map(|key| config.get(key)?.as_str())?;
    Some(host.join(root.trim_start_matches('/')))
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fn read_container(root: &OwnedFd, directory: &OwnedFd, id: &str) -> Found {
    let mut problems = Vec::new();
    let mut read = |name: &str| {
        let value = read_regular_at(directory, name, MAX_FILE).map_err(|error| error.to_string());
        let value = value.and_then(|bytes| json(&bytes).ok_or_else(|| "it is not JSON".to_owned()));
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
        ..Container::default()
    };
    let log = match log_of(directory, &config, &host_config, id) {
        Ok(log) => log,
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    Found {
        container,
        log,
        problems,
    }
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    let text = value
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())?;
    Some(escape_bytes(text.as_bytes(), MAX_FIELD))
}

fn labels(value: Option<&Value>) -> BTreeMap<String, String> {
    let Some(labels) = value.and_then(Value::as_object) else {
        return BTreeMap::new();
    };
    let label = |(name, value): (&String, &Value)| {
        Some((
            escape_bytes(name.as_bytes(), MAX_FIELD),
            escape_bytes(value.as_str()?.as_bytes(), MAX_LABEL),
        ))
    };
    labels.iter().filter_map(label).take(MAX_LABELS).collect()
}

/// `repo@sha256:…` names of the container's image. The graph driver's store lists them in
/// `repositories.json`; with the containerd image store only the manifest's digest is there.
fn repository_digests(root: &OwnedFd, config: &Value) -> Vec<String> {
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

fn from_repositories(root: &OwnedFd, config: &Value) -> Option<Vec<String>> {
    let image = config.pointer("/Image")?.as_str()?;
    let driver = config
        .pointer("/Driver")
        .and_then(Value::as_str)
        .unwrap_or("overlay2");
    let plain = driver
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let store = open_dir_at(
        open_dir_at(root, "image").ok()?,
        Some(driver).filter(|_| plain)?,
    )
    .ok()?;
    let repositories = json(&read_regular_at(store, "repositories.json", MAX_FILE).ok()?)?;
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
            .map(|(name, _)| escape_bytes(name.as_bytes(), MAX_FIELD))
            .take(64)
            .collect(),
    )
}

/// The image reference without tag and digest. A colon before the last slash is a port's.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}

/// A container's json-file log.
#[derive(Debug)]
pub struct Log {
    directory: OwnedFd,
    name: String,
    file: Option<File>,
}

impl Log {
    /// The log's file. Docker makes it while the container starts, so that a process that dies at
    /// once may be dead before its log is there; and with `--rm` removes it, so that it is opened
    /// as early as possible.
    pub fn file(&mut self) -> std::io::Result<&File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(open_regular_at(&self.directory, &self.name)?)),
        }
    }
}

/// The log, only by its expected name within the container's own directory: `LogPath` is not
/// followed anywhere else. It may still be empty while the container starts.
fn log_of(
    dir: &OwnedFd,
    config: &Value,
    host_config: &Value,
    id: &str,
) -> Result<Option<Log>, String> {
    if host_config
        .pointer("/LogConfig/Type")
        .and_then(Value::as_str)
        != Some("json-file")
    {
        return Ok(None);
    }
    let name = format!("{id}-json.log");
    let path = config
        .pointer("/LogPath")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !path.is_empty() && !Path::new(path).ends_with(format!("{id}/{name}")) {
        return Err("the container's log lies outside its directory and was not read".to_owned());
    }
    let directory = dir
        .try_clone()
        .map_err(|error| format!("the container's log could not be opened: {error}"))?;
    let mut log = Log {
        directory,
        name,
        file: None,
    };
    match log.file().map(|_| ()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("the container's log could not be opened: {error}"))
        }
        _ => Ok(Some(log)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
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
        let found = DockerFiles::of_host(host.path()).find(ID).unwrap();
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
        assert!(DockerFiles::of_host(host.path()).find(ID).is_none());
        fs::create_dir_all(host.path().join("etc/docker")).unwrap();
        fs::write(
            host.path().join("etc/docker/daemon.json"),
            r#"{"data-root":"/srv/docker"}"#,
        )
        .unwrap();
        assert!(DockerFiles::of_host(host.path()).find(ID).is_some());
    }

    #[test]
    fn damaged_files_confirm_the_container_and_say_so() {
        let host = host("var/lib/docker", "[[[[", r#"{"Memory":-1,"LogConfig":7}"#);
        let found = DockerFiles::of_host(host.path()).find(ID).unwrap();
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
        let found = DockerFiles::of_host(elsewhere.path()).find(ID).unwrap();
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
        let found = DockerFiles::of_host(linked.path()).find(ID).unwrap();
        assert!(found.log.is_none() && found.problems.len() == 1);
    }

    #[test]
    fn only_ids_become_paths() {
        let host = host("var/lib/docker", "{}", "{}");
        let files = DockerFiles::of_host(host.path());
        for id in ["", ".", "..", "../../etc", &ID[..63], &ID.to_uppercase()] {
            assert!(files.find(id).is_none(), "{id}");
        }
    }

    #[test]
    fn repositories_are_cut_from_references() {
        let cases = [
            ("shop:1", "shop"),
            ("shop", "shop"),
            ("r:5000/shop", "r:5000/shop"),
            ("r:5000/s:1@sha256:a", "r:5000/s"),
        ];
        for (image, expected) in cases {
            assert_eq!(repository(image), expected);
        }
    }
}
