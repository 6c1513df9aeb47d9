//! Confirms containers of containerd itself, through `ctr`, nerdctl or Kubernetes' CRI, by their
//! bundles, and reads its database for image, digest and labels.

use super::bolt::{Bolt, Bucket};
use super::fields::{bounded, label_map, labels, repository};
use super::host::{Directory, HostRoot, toml_text};
use super::{Found, kubernetes, oci};
use crate::bounded::open_regular_at;
use crate::container::is_oci_id;
use crate::log_tail::{Format, Log};
use crate::record::Container;
use serde_json::Value;

/// State and data directories: containerd's own, and those of k3s, k0s and the
/// `MicroK8s` snap.
const PLACES: [(&str, &str); 4] = [
    ("run/containerd", "var/lib/containerd"),
    ("run/k3s/containerd", "var/lib/rancher/k3s/agent/containerd"),
    ("run/k0s/containerd", "var/lib/k0s/containerd"),
    (
        "var/snap/microk8s/common/run/containerd",
        "var/snap/microk8s/common/var/lib/containerd",
    ),
];
/// Where bundles lie in a state directory, for shims of the second and the first version.
const TASKS: [&str; 2] = [
    "io.containerd.runtime.v2.task",
    "io.containerd.runtime.v1.linux",
];
/// Most namespaces looked at.
const MAX_NAMESPACES: usize = 64;

/// The places a host's containerds keep their state.
#[derive(Clone, Debug)]
pub struct ContainerdFiles {
    places: Vec<(String, String)>,
}

impl ContainerdFiles {
    /// State directories of `host`: the configured ones and those that are usual.
    pub fn of_host(host: &HostRoot) -> Self {
        let config = host
            .text("etc/containerd", "config.toml")
            .unwrap_or_default();
        let configured = |key| toml_text(&config, "", key);
        let default = |path: &str| path.to_owned();
        let own = (
            configured("state").map_or_else(|| default(PLACES[0].0), default),
            configured("root").map_or_else(|| default(PLACES[0].1), default),
        );
        let usual = PLACES
            .iter()
            .map(|(state, root)| (default(state), default(root)));
        let mut places: Vec<_> = std::iter::once(own).chain(usual).collect();
        places.dedup();
        Self { places }
    }

    /// Looks for bundles in one more place first.
    pub(super) fn look_in(&mut self, state: String) {
        self.places.insert(0, (state, String::new()));
    }

    /// The container `id`, in `namespace` when that is known, or else in any.
    pub fn find(&self, host: &HostRoot, namespace: Option<&str>, id: &str) -> Option<Found> {
        if !is_oci_id(id) {
            return None;
        }
        self.places.iter().find_map(|(state, root)| {
            TASKS.iter().find_map(|tasks| {
                let tasks = host.directory(&format!("{state}/{tasks}")).ok()?;
                let mut names = tasks.names();
                // The one the cgroup shows first; Docker's are not containerd's own.
                names.sort_by_key(|name| Some(name.as_str()) != namespace);
                names
                    .iter()
                    .take(MAX_NAMESPACES)
                    .filter(|name| *name != "moby")
                    .find_map(|name| {
                        let bundle = tasks.descend(&[name, id]).ok()?;
                        let root = data_root(&bundle).unwrap_or_else(|| root.clone());
                        let data = host.directory(&root).ok();
                        let mut found = read(&bundle, data.as_ref(), name, id);
                        found.log = nerdctl_log(host, &found.container);
                        Some(found)
                    })
            })
        })
    }
}

/// nerdctl keeps logs as Docker does, in a directory that a label names. Whoever makes containers
/// makes labels: only where nerdctl itself would put this container's is looked.
fn nerdctl_log(host: &HostRoot, container: &Container) -> Option<Log> {
    let state = container.labels.get("nerdctl/state-dir")?;
    let namespace = container.runtime_namespace.as_deref()?;
    let own = format!("/containers/{namespace}/{}", container.id);
    let store = state
        .strip_prefix("/var/lib/nerdctl/")?
        .strip_suffix(&own)?;
    let store = Some(store).filter(|store| is_oci_id(store) && is_oci_id(namespace))?;
    let directory = host
        .directory(&format!("var/lib/nerdctl/{store}{own}"))
        .ok()?;
    let name = format!("{}-json.log", container.id);
    Log::new(&directory.fd, name, Format::JsonLines, None).ok()
}

/// containerd's data directory: a bundle's `work` points into it.
fn data_root(bundle: &Directory) -> Option<String> {
    let target = rustix::fs::readlinkat(&bundle.fd, "work", Vec::new()).ok()?;
    let (root, _) = target
        .to_str()
        .ok()?
        .split_once("/io.containerd.runtime.")?;
    Some(root.to_owned())
}

fn read(bundle: &Directory, data: Option<&Directory>, namespace: &str, id: &str) -> Found {
    let mut found = Found::new(Container {
        runtime: "containerd".to_owned(),
        runtime_namespace: bounded(namespace),
        id: id.to_owned(),
        ..Container::default()
    });
    let config = bundle.json("config.json").unwrap_or_else(|| {
        let problem = "containerd's config.json of the container could not be read";
        found.problems.push(problem.to_owned());
        Value::Null
    });
    oci::from_bundle(&mut found, &config);
    let annotations = config.get("annotations").unwrap_or(&Value::Null);
    if kubernetes::from_containerd(&mut found.container, annotations) {
        found.note(
            &[
                "image",
                "pod_namespace",
                "pod_name",
                "pod_container",
                "sandbox_id",
                "sandbox",
            ],
            bundle.path_of("config.json"),
        );
    } else {
        // nerdctl repeats its labels as annotations.
        found.container.labels = labels(Some(annotations));
    }
    found.note(
        &[
            "runtime",
            "runtime_namespace",
            "id",
            "hostname",
            "memory_limit",
        ],
        bundle.path_of("config.json"),
    );
    if let Some(data) = data {
        from_database(&mut found, data, namespace, id);
    }
    let container = &mut found.container;
    let named = container.labels.get("nerdctl/name").cloned();
    container.name =
        named.or_else(|| (!crate::container::is_container_id(id)).then(|| id.to_owned()));
    found
}

/// What containerd's database adds. Read again once if it changed meanwhile.
fn from_database(found: &mut Found, data: &Directory, namespace: &str, id: &str) {
    let Ok(directory) = data.directory("io.containerd.metadata.v1.bolt") else {
        return;
    };
    for _ in 0..2 {
        let file = open_regular_at(&directory.fd, "meta.db").ok();
        let Some(bolt) = file.and_then(Bolt::open) else {
            return;
        };
        let known = known(&bolt, namespace, id, found.container.sandbox_id.as_deref());
        if bolt.unchanged() {
            if let Some(known) = known {
                known.fill(found);
                let facts = [
                    "image",
                    "image_id",
                    "image_digests",
                    "labels",
                    "restart_count",
                ];
                found.note(&facts, directory.path_of("meta.db"));
                kubernetes::from_labels(found);
            }
            return;
        }
    }
    let problem = "containerd's database changed while it was read: labels may be missing";
    found.problems.push(problem.to_owned());
}

/// What the database says of a container.
#[derive(Default)]
struct Known {
    image: Option<String>,
    digest: Option<String>,
    image_id: Option<String>,
    labels: Vec<(String, String)>,
}

impl Known {
    fn fill(self, found: &mut Found) {
        let container = &mut found.container;
        let image = container.image.take().or(self.image);
        let digest = image.as_deref().zip(self.digest);
        container.image_digests = digest
            .map(|(image, digest)| format!("{}@{digest}", repository(image)))
            .into_iter()
            .collect();
        container.image = image;
        container.image_id = self.image_id;
        let pairs = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        container.labels.extend(label_map(pairs));
    }
}

fn known(bolt: &Bolt, namespace: &str, id: &str, sandbox: Option<&str>) -> Option<Known> {
    let container = |id| bolt.bucket(&["v1", namespace, "containers", id]);
    let own = container(id)?;
    let image = own.text("image").and_then(|image| bounded(&image));
    let digest = image.as_deref().and_then(|image| {
        bolt.bucket(&["v1", namespace, "images", image, "target"])?
            .text("digest")
    });
    let metadata = metadata(bolt, namespace, id, "container");
    let mut labels = Vec::new();
    // The pod's own labels and annotations are kept with its sandbox.
    if let Some(sandbox) = sandbox {
        labels.extend(strings(
            self::metadata(bolt, namespace, sandbox, "sandbox").as_ref(),
        ));
        labels.extend(label_pairs(bolt, namespace, sandbox));
    }
    labels.extend(strings(metadata.as_ref()));
    labels.extend(label_pairs(bolt, namespace, id));
    let image_id = metadata
        .as_ref()
        .and_then(|value| super::fields::text(value, "/Metadata/ImageRef"));
    Some(Known {
        image,
        digest: digest.and_then(|digest| bounded(&digest)),
        image_id,
        labels,
    })
}

fn label_pairs(bolt: &Bolt, namespace: &str, id: &str) -> Vec<(String, String)> {
    let labels = bolt.bucket(&["v1", namespace, "containers", id, "labels"]);
    labels
        .map(|labels: Bucket<'_>| labels.pairs())
        .unwrap_or_default()
}

/// The CRI plugin's own record of a container or sandbox: JSON in a protobuf `Any`
/// (containerd `internal/cri/store/container/metadata.go`), which begins with the first brace.
fn metadata(bolt: &Bolt, namespace: &str, id: &str, kind: &str) -> Option<Value> {
    let extensions = bolt.bucket(&["v1", namespace, "containers", id, "extensions"])?;
    let bytes = extensions.value(&format!("io.cri-containerd.{kind}.metadata"))?;
    let start = bytes.iter().position(|byte| *byte == b'{')?;
    let mut values = serde_json::Deserializer::from_slice(bytes.get(start..)?).into_iter();
    values.next()?.ok()
}

fn strings(metadata: Option<&Value>) -> Vec<(String, String)> {
    let of = |pointer| labels(metadata.and_then(|value| value.pointer(pointer)));
    let mut all = of("/Metadata/Config/annotations");
    all.extend(of("/Metadata/Config/labels"));
    all.into_iter().collect()
}
