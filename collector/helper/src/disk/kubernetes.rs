//! Recognizes what Kubernetes wrote into containers' labels and annotations, in the dialect of
//! each runtime, and what the kubelet's log directories add.
//!
//! Sources: containerd `internal/cri/annotations`, cri-o `internal/annotations`, cri-dockerd
//! `docker_container.go`, kubelet `labels.go` and `kuberuntime/legacy.go`.

use super::Found;
use super::fields::{bounded, labels};
use super::host::{Directory, HostRoot};
use crate::container::is_oci_id;
use crate::log_tail::{Format, Log};
use crate::record::{Container, Evidence, EvidenceKind};
use serde_json::Value;
use std::collections::BTreeMap;

/// Pod facts from labels as the kubelet gives them to the runtime: Docker's container labels, and
/// the labels that containerd and CRI-O keep.
pub(super) fn from_labels(found: &mut Found) {
    let container = &mut found.container;
    let label = |name: &str| {
        container
            .labels
            .get(name)
            .filter(|text| !text.is_empty())
            .cloned()
    };
    let pod_name = label("io.kubernetes.pod.name");
    let pod_namespace = label("io.kubernetes.pod.namespace");
    let pod_uid = label("io.kubernetes.pod.uid");
    let pod_container = label("io.kubernetes.container.name");
    let kind = label("io.kubernetes.docker.type").or_else(|| label("io.cri-containerd.kind"));
    let sandbox_id = label("io.kubernetes.sandbox.id");
    let restarts = ["annotation.io.kubernetes.container.restartCount", RESTARTS];
    let restarts = restarts.iter().find_map(|name| label(name)?.parse().ok());
    fill(&mut container.pod_name, pod_name);
    fill(&mut container.pod_namespace, pod_namespace);
    fill(&mut container.pod_uid, pod_uid);
    fill(&mut container.sandbox_id, sandbox_id);
    // cri-dockerd's sandboxes are containers called POD.
    fill(
        &mut container.pod_container,
        pod_container.filter(|name| name != "POD"),
    );
    if let Some(kind) = kind {
        container.sandbox = Some(matches!(kind.as_str(), "podsandbox" | "sandbox"));
    }
    container.restart_count = restarts.or(container.restart_count);
}

const RESTARTS: &str = "io.kubernetes.container.restartCount";

fn fill(field: &mut Option<String>, value: Option<String>) {
    if field.is_none() {
        *field = value;
    }
}

/// Pod facts from the annotations that containerd's CRI plugin puts into a bundle.
pub(super) fn from_containerd(container: &mut Container, annotations: &Value) -> bool {
    let annotation = |name: &str| {
        let value = annotations.get(format!("io.kubernetes.cri.{name}"))?;
        bounded(value.as_str()?)
    };
    let Some(kind) = annotation("container-type") else {
        return false;
    };
    container.sandbox = Some(kind == "sandbox");
    container.sandbox_id = annotation("sandbox-id");
    container.pod_namespace = annotation("sandbox-namespace");
    container.pod_name = annotation("sandbox-name");
    container.pod_uid = annotation("sandbox-uid");
    container.pod_container = annotation("container-name");
    container.image = annotation("image-name");
    true
}

/// Pod facts from the annotations of CRI-O, the richest of all.
pub(super) fn from_crio(container: &mut Container, annotations: &Value) {
    let annotation = |name: &str| {
        let value = annotations.get(format!("io.kubernetes.cri-o.{name}"))?;
        bounded(value.as_str()?)
    };
    // Objects within a text: {"io.kubernetes.container.name":"web", …}
    let nested = |name: &str| {
        let key = format!("io.kubernetes.cri-o.{name}");
        let text = annotations
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default();
        labels(serde_json::from_str(text).ok().as_ref())
    };
    container.labels = nested("Labels");
    for (name, value) in nested("Annotations") {
        container.labels.entry(name).or_insert(value);
    }
    container.sandbox = annotation("ContainerType").map(|kind| kind == "sandbox");
    container.sandbox_id = annotation("SandboxID");
    container.pod_namespace = annotation("Namespace");
    container.pod_name = annotation("KubeName");
    container.name = annotation("Name");
    container.hostname = annotation("HostName");
    container.started_at = annotation("Created");
    container.image = annotation("ImageName").or_else(|| annotation("UserRequestedImage"));
    let digests = annotations
        .get("io.kubernetes.cri-o.ImageRepoDigests")
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    container.image_digests = digests.unwrap_or_default();
    let reference = annotation("ImageRef").or_else(|| annotation("Image"));
    if let Some(reference) = reference {
        if reference.contains("@sha256:") && !container.image_digests.contains(&reference) {
            container.image_digests.push(reference);
        } else if reference.len() == 64 {
            container.image_id = Some(format!("sha256:{reference}"));
        }
    }
}

/// Completes a pod's container from the kubelet's logs:
/// `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log`. Returns its log.
pub(crate) fn from_pod_logs(host: &HostRoot, container: &mut Container) -> Option<Log> {
    let uid = container.pod_uid.clone()?;
    let logs = host.directory("var/log/pods").ok()?;
    let names = logs.names();
    let (directory, (namespace, pod)) = names.iter().find_map(|name| {
        let rest = name.strip_suffix(&uid)?.strip_suffix('_')?;
        Some((name, rest.split_once('_')?))
    })?;
    let mut facts = Vec::new();
    for (fact, field, value) in [
        ("pod_namespace", &mut container.pod_namespace, namespace),
        ("pod_name", &mut container.pod_name, pod),
    ] {
        if field.is_none() {
            *field = bounded(value);
            facts.push(fact.to_owned());
        }
    }
    let pod_logs = logs.directory(directory).ok();
    let of_container = pod_logs.and_then(|logs| {
        let name = container.pod_container.as_deref()?;
        logs.directory(Some(name).filter(|name| is_oci_id(name))?)
            .ok()
    });
    let restarts = of_container.as_ref().and_then(newest);
    if let Some(restarts) = restarts.filter(|_| container.restart_count.is_none()) {
        container.restart_count = Some(restarts);
        facts.push("restart_count".to_owned());
    }
    if !facts.is_empty() {
        container.evidence.push(Evidence {
            facts,
            from: EvidenceKind::Disk,
            detail: logs.path_of(directory),
        });
    }
    let name = format!("{}.log", container.restart_count.or(restarts)?);
    Log::new(&of_container?.fd, name, Format::Cri, None).ok()
}

/// The highest number of a container's log files, which is that of its restarts.
fn newest(logs: &Directory) -> Option<u64> {
    let names = logs.names();
    let numbers = names
        .iter()
        .filter_map(|name| name.strip_suffix(".log")?.parse().ok());
    numbers.max()
}

/// Names what keeps the pod alive: from its labels where they are known, or else from the way
/// Kubernetes builds the names of a deployment's pods.
pub(crate) fn find_owner(container: &mut Container) {
    let Some(pod) = container
        .pod_name
        .clone()
        .filter(|_| container.pod_owner.is_none())
    else {
        return;
    };
    let Some((owner, from)) = owner(&pod, &container.labels) else {
        return;
    };
    container.pod_owner = Some(owner);
    container.evidence.push(Evidence {
        facts: vec!["pod_owner".to_owned()],
        from: EvidenceKind::Derived,
        detail: from.to_owned(),
    });
}

fn owner(pod: &str, labels: &BTreeMap<String, String>) -> Option<(String, &'static str)> {
    let job = ["batch.kubernetes.io/job-name", "job-name"]
        .iter()
        .find_map(|name| labels.get(*name));
    if let Some(job) = job {
        return Some((format!("job/{job}"), "the pod's labels"));
    }
    let (before, last) = pod.rsplit_once('-')?;
    if labels.contains_key("statefulset.kubernetes.io/pod-name") {
        return Some((format!("statefulset/{before}"), "the pod's labels"));
    }
    if let Some(hash) = labels.get("pod-template-hash") {
        let deployment = before.strip_suffix(hash.as_str())?.strip_suffix('-')?;
        return Some((format!("deployment/{deployment}"), "the pod's labels"));
    }
    if labels.contains_key("controller-revision-hash") {
        return Some((format!("daemonset/{before}"), "the pod's labels"));
    }
    let (deployment, hash) = before.rsplit_once('-')?;
    let generated = is_generated(last, 5..=5) && is_generated(hash, 6..=10);
    generated.then(|| {
        (
            format!("deployment/{deployment}"),
            "the form of the pod's name",
        )
    })
}

/// Whether Kubernetes made up `text`: it uses no vowels and no digits that look like letters
/// (apimachinery `util/rand`).
fn is_generated(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    let alphabet = "bcdfghjklmnpqrstvwxz2456789";
    length.contains(&text.len()) && text.chars().all(|c| alphabet.contains(c))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn owners_are_named_by_labels_or_by_the_form_of_the_name() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
        let cases: [Case; 8] = [
            (
                "shop-7d4b9c6f8-x2x4z",
                &[("pod-template-hash", "7d4b9c6f8")],
                Some("deployment/shop"),
            ),
            ("shop-api-7d4b9c6f8-x2x4z", &[], Some("deployment/shop-api")),
            (
                "db-0",
                &[("statefulset.kubernetes.io/pod-name", "db-0")],
                Some("statefulset/db"),
            ),
            (
                "agent-x2x4z",
                &[("controller-revision-hash", "x")],
                Some("daemonset/agent"),
            ),
            (
                "night-2845-x2x4z",
                &[("job-name", "night-2845")],
                Some("job/night-2845"),
            ),
            ("db-0", &[], None),
            ("kube-apiserver-node1", &[], None),
            ("alone", &[], None),
        ];
        for (pod, labels, expected) in cases {
            let labels = labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            let owner = owner(pod, &labels).map(|(owner, _)| owner);
            assert_eq!(owner.as_deref(), expected, "{pod}");
        }
    }

    #[test]
    fn the_kubelets_logs_name_pod_and_restarts() {
        let temp = tempfile::tempdir().unwrap();
        let uid = "12345678-9abc-def0-1234-56789abcdef0";
        let logs = temp
            .path()
            .join(format!("var/log/pods/prod_shop-0_{uid}/web"));
        fs::create_dir_all(&logs).unwrap();
        for name in ["3.log", "4.log", "x.log", "5.log.gz"] {
            fs::write(logs.join(name), "").unwrap();
        }
        let mut container = Container {
            pod_uid: Some(uid.to_owned()),
            pod_container: Some("web".to_owned()),
            ..Container::default()
        };
        from_pod_logs(&HostRoot::at(temp.path()).unwrap(), &mut container);
        assert_eq!(container.pod_namespace.as_deref(), Some("prod"));
        assert_eq!(container.pod_name.as_deref(), Some("shop-0"));
        assert_eq!(container.restart_count, Some(4));
        assert_eq!(container.evidence.len(), 1);
    }
}
