//! Pods that containerd's own CRI plugin runs, asked as the kubelet asks.

use aground_testkit::docker::{require_engine, unique_name};
use aground_testkit::engines::{CRASH, Containerd, archive, busybox_root};
use aground_testkit::house::root;
use aground_testkit::run::{Outcome, finish, run};
use aground_testkit::site::{Site, text};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const UID: &str = "8f2c1e4a-1b2c-4d3e-9f8a-7b6c5d4e3f2a";
const POD: &str = "shop-7d4b9c6f8-x2x4z";

/// What the kubelet would ask for.
struct Kubelet {
    socket: String,
    pod: Value,
    sandbox: String,
}

impl Kubelet {
    fn new(containerd: &Containerd, logs: &Path) -> Self {
        let labels = json!({
            "app": "shop",
            "pod-template-hash": "7d4b9c6f8",
            "io.kubernetes.pod.name": POD,
            "io.kubernetes.pod.namespace": "prod",
            "io.kubernetes.pod.uid": UID,
        });
        let pod = json!({
            "name": POD, "namespace": "prod", "uid": UID, "labels": labels,
            "annotations": {"aground.owner": "payments", "kubernetes.io/config.seen": "now"},
            "cgroup_parent": format!("/kubepods/burstable/pod{UID}"),
            "log_directory": text(logs),
        });
        let socket = containerd.socket().to_owned();
        let sandbox = ask(&socket, &["run-pod", &pod.to_string()]).ok();
        Self {
            socket,
            pod,
            sandbox: sandbox.trim().to_owned(),
        }
    }

    fn ask(&self, words: &[&str]) -> String {
        ask(&self.socket, words).ok().trim().to_owned()
    }

    fn run(&self, name: &str, attempt: u32, image: &str, command: &[&str]) -> String {
        let spec = json!({
            "name": name, "attempt": attempt, "image": image, "command": command,
            "labels": {
                "io.kubernetes.container.name": name,
                "io.kubernetes.pod.name": POD,
                "io.kubernetes.pod.namespace": "prod",
                "io.kubernetes.pod.uid": UID,
            },
            "annotations": {"io.kubernetes.container.restartCount": attempt.to_string()},
            "log_path": format!("{name}/{attempt}.log"),
            "sandbox": self.sandbox, "pod": self.pod,
        });
        self.ask(&["run-container", &spec.to_string()])
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        // A test that failed tells its own story.
        ask(&self.socket, &["remove-pod", &self.sandbox]);
    }
}

fn ask(socket: &str, words: &[&str]) -> Outcome {
    let mut python = Command::new("/usr/bin/python3");
    python.arg(root().join("tests/programs/cri.py"));
    finish(python.arg(socket).args(words))
}

#[test]
fn a_pod_of_the_cri_plugin_is_known_whole() {
    require_engine();
    let mut site = Site::new();
    let socket = site.path().join("c/c.sock");
    // Only root may ask it.
    site.start_as_root_with_config(&format!("[runtimes]\ncri = [\"{}\"]\n", text(&socket)));
    let tar = archive(&busybox_root(&site.path().join("root")));
    let (image, saved) = (unique_name("aground-it/cri"), site.path().join("image.tar"));
    let change = "CMD [\"/bin/sleep\", \"1000\"]";
    run(
        "docker",
        &["import", "--change", change, text(&tar), &image],
    )
    .ok();
    run("docker", &["save", "--output", text(&saved), &image]).ok();
    run("docker", &["rmi", "--force", &image]).ok();
    let image = format!("docker.io/{image}:latest");
    let containerd = Containerd::start_with_pause(&site.path().join("c"), &image);
    containerd
        .ctr(&["--namespace=k8s.io", "images", "import", text(&saved)])
        .ok();
    let logs = Path::new("/var/log/pods").join(format!("prod_{POD}_{UID}"));
    let kubelet = Kubelet::new(&containerd, &logs);
    let script = format!("echo breadcrumb; {CRASH}; sleep 1000");
    let (id, other) = {
        let _claim = site.collect();
        let id = kubelet.run("web", 3, &image, &["/bin/sh", "-c", &script]);
        site.wait_for(1, &["pod_container=web"]);
        let other = kubelet.run("sidecar", 0, &image, &["/bin/sleep", "1000"]);
        kubelet.ask(&["exec", &other, "/bin/sh", "-c", CRASH]);
        (id, other)
    };
    let dump = site
        .wait_for(1, &["pod_container=web", "owner=payments"])
        .remove(0);
    let known = &dump["record"]["container"];
    for (fact, value) in [
        ("runtime", "containerd"),
        ("runtime_namespace", "k8s.io"),
        ("id", id.as_str()),
        ("name", "web"),
        ("image", image.as_str()),
        ("pod_namespace", "prod"),
        ("pod_name", POD),
        ("pod_uid", UID),
        ("pod_owner", "deployment/shop"),
        ("sandbox_id", kubelet.sandbox.as_str()),
        ("source", "cgroup-and-disk"),
    ] {
        assert_eq!(known[fact], value, "{fact}: {known:#}");
    }
    assert_eq!(known["restart_count"], 3);
    assert_eq!(known["sandbox"], false);
    assert_eq!(known["labels"]["app"], "shop");
    assert!(
        known["image_digests"][0]
            .as_str()
            .unwrap()
            .contains("@sha256:")
    );
    let log = site
        .aground(&["log", dump["summary"]["id"].as_str().unwrap()])
        .ok();
    assert!(log.contains("breadcrumb"), "{log}");
    let exec = site.wait_for(1, &["pod_container=sidecar"]).remove(0);
    assert_eq!(exec["record"]["container"]["id"], other.as_str());
    // Of a crash whose container only the cgroup named, the runtime is asked.
    let mut record = dump["record"].clone();
    let copy = "1".repeat(32);
    record["id"] = json!(copy);
    record["modules"] = json!([]);
    record["container"] = json!({"runtime": "containerd", "id": other, "source": "cgroup"});
    let entry = site.path().join(&copy);
    std::fs::create_dir(&entry).unwrap();
    std::fs::write(entry.join("record.json"), record.to_string()).unwrap();
    let ready = site.state().join("spool/ready").join(&copy);
    finish(Command::new("mv").arg(&entry).arg(ready)).ok();
    let dump = site.wait_for(1, &[&format!("id={copy}")]).remove(0);
    let asked = &dump["record"]["container"];
    let facts = [
        "name",
        "image",
        "pod_name",
        "pod_namespace",
        "pod_uid",
        "pod_container",
    ];
    let of_disk = &exec["record"]["container"];
    for fact in facts {
        assert_eq!(asked[fact], of_disk[fact], "{fact}: {asked:#}");
    }
    assert_eq!(asked["evidence"][0]["from"], "runtime-api");
    drop(kubelet);
    let _ = std::fs::remove_dir_all(logs);
}
