//! The container is named exactly, by whichever engine and in whichever way it runs.

use aground_testkit::docker::{Container, require_engine, unique_name};
use aground_testkit::engines::{
    CRASH, Containerd, DockerImage, Lxc, Podman, Runc, archive, busybox_root,
};
use aground_testkit::run::{eventually, finish, run};
use aground_testkit::site::Site;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The container of the only dump that matches.
#[track_caller]
fn container_of(site: &Site, filter: &str) -> Value {
    let dumps = site.wait_for(1, &[filter]);
    assert_eq!(dumps.len(), 1, "{filter} has several dumps");
    dumps[0]["record"]["container"].clone()
}

#[track_caller]
fn expect(container: &Value, expected: &[(&str, &str)]) {
    for (field, value) in expected {
        assert_eq!(container[field], *value, "{field} of {container:#}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn docker_in_every_way() {
    require_engine();
    let site = Site::started();
    let root = busybox_root(&site.path().join("root"));
    let image = DockerImage::import(&archive(&root));
    let lookalike = format!("--cgroup-parent=/ag-it/{}", "0123456789abcdef".repeat(4));
    let ways: [&[&str]; 9] = [
        &[],
        &["--rm"],
        &["--rm", "--pid=host"],
        &["--rm", "--cgroupns=host"],
        &["--rm", "--cgroupns=private"],
        &["--rm", "--read-only", "--user=65534"],
        &["--rm", "--hostname=same"],
        &["--rm", "--hostname=same", "--userns=host"],
        &["--rm", &lookalike],
    ];
    let containers: Vec<(Container, String)> = ways
        .iter()
        .enumerate()
        .map(|(index, options)| {
            let id_file = text(&site.path().join(format!("id-{index}"))).to_owned();
            let container = Container::new("way")
                .option("--label=team=shop")
                .option(&format!("--cidfile={id_file}"));
            (
                options
                    .iter()
                    .fold(container, |all, option| all.option(option)),
                id_file,
            )
        })
        .collect();
    let renamed = Container::new("before");
    renamed.start(&image.0, &["/bin/sleep", "1000"]);
    let id = renamed.id();
    let after = unique_name("after");
    run("docker", &["rename", &renamed.name, &after]).ok();
    {
        let _claim = site.collect();
        for (container, _) in &containers {
            container.run(&image.0, &[SHELL[0], SHELL[1], CRASH]).ok();
        }
        run("docker", &["exec", &after, SHELL[0], SHELL[1], CRASH]).ok();
        run("docker", &["rm", "--force", &after]).ok();
    }
    for (container, id_file) in &containers {
        let id = std::fs::read_to_string(id_file).unwrap();
        let known = container_of(&site, &format!("container={}", container.name));
        let expected = [("runtime", "docker"), ("id", &id), ("image", &image.0)];
        expect(&known, &expected);
        expect(&known, &[("source", "cgroup-and-disk")]);
        assert_eq!(known["labels"]["team"], "shop");
        assert_eq!(known["chain"], serde_json::json!([]));
    }
    expect(
        &container_of(&site, &format!("container={after}")),
        &[("id", &id)],
    );
}

#[test]
fn containerd_where_no_configuration_points() {
    require_engine();
    let site = Site::started();
    let root = busybox_root(&site.path().join("root"));
    let image = DockerImage::import(&archive(&root));
    let saved = site.path().join("image.tar");
    run("docker", &["save", "--output", text(&saved), &image.0]).ok();
    let containerd = Containerd::start(&site.path().join("c"));
    containerd.ctr(&["images", "import", text(&saved)]).ok();
    let image = format!("docker.io/{}", image.0);
    let (short, long) = (unique_name("short"), unique_name("long"));
    let run = ["run", "--label=team=shop"];
    let sleep = ["--detach", &image, &long, "/bin/sleep", "1000"];
    containerd.ctr(&[&run[..], &sleep].concat()).ok();
    {
        let _claim = site.collect();
        let crash = ["--rm", &image, &short, SHELL[0], SHELL[1], CRASH];
        containerd.ctr(&[&run[..], &crash].concat()).ok();
        let exec = [
            "tasks",
            "exec",
            "--exec-id=1",
            &long,
            SHELL[0],
            SHELL[1],
            CRASH,
        ];
        containerd.ctr(&exec).ok();
    }
    let mut digests = Vec::new();
    for name in [&short, &long] {
        let known = container_of(&site, &format!("container={name}"));
        let expected = [
            ("runtime", "containerd"),
            ("runtime_namespace", "default"),
            ("id", name),
            ("image", &image),
            ("source", "cgroup-and-disk"),
        ];
        expect(&known, &expected);
        assert_eq!(known["labels"]["team"], "shop");
        let digest = known["image_digests"][0].as_str().unwrap();
        assert!(digest.contains("@sha256:"), "{known:#}");
        digests.push(format!(
            "image_digest={}",
            digest.split('@').nth(1).unwrap()
        ));
    }
    assert_eq!(site.ids(&[&digests[0], "compose_project!=x"]).len(), 2);
}

/// containerd as the kubelet uses it: cgroups by pod, the CRI plugin's annotations in the bundle,
/// the pod's labels with the sandbox, and the kubelet's termination log.
#[test]
fn a_pod_in_containerd() {
    require_engine();
    let site = Site::started();
    let root = busybox_root(&site.path().join("root"));
    let image = DockerImage::import(&archive(&root));
    let saved = site.path().join("image.tar");
    run("docker", &["save", "--output", text(&saved), &image.0]).ok();
    let containerd = Containerd::start(&site.path().join("c"));
    let ctr = |arguments: &[&str]| containerd.ctr(&[&["--namespace=k8s.io"], arguments].concat());
    ctr(&["images", "import", text(&saved)]).ok();
    let image = format!("docker.io/{}", image.0);
    let unique = format!("{:016x}", std::process::id());
    let (sandbox, web) = (format!("{unique}{:048x}", 1), format!("{unique}{:048x}", 2));
    let uid = "12345678-9abc-def0-1234-56789abcdef0";
    let pod = "shop-7d4b9c6f8-x2x4z";
    let log = site
        .path()
        .join(format!("pods/{uid}/containers/web/0a1b2c3d"));
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    std::fs::write(&log, "").unwrap();
    let cri = |name: &str, value: &str| format!("--annotation=io.kubernetes.cri.{name}={value}");
    let options = |kind: &str, id: &str| {
        vec![
            "run".to_owned(),
            "--detach".to_owned(),
            format!("--cgroup=/kubepods/burstable/pod{uid}/{id}"),
            cri("container-type", kind),
            cri("sandbox-id", &sandbox),
            cri("sandbox-namespace", "prod"),
            cri("sandbox-name", pod),
        ]
    };
    let start = |mut options: Vec<String>, more: &[String], id: &str| {
        options.extend_from_slice(more);
        options.extend([&image, id, "/bin/sleep", "1000"].map(str::to_owned));
        let words: Vec<&str> = options.iter().map(String::as_str).collect();
        ctr(&words).ok();
    };
    let of_pod = [
        "--label=app=shop".to_owned(),
        "--label=pod-template-hash=7d4b9c6f8".to_owned(),
    ];
    start(options("sandbox", &sandbox), &of_pod, &sandbox);
    let mount = format!(
        "--mount=type=bind,src={},dst=/dev/termination-log,options=bind:rw",
        log.display()
    );
    start(options("container", &web), &[mount], &web);
    {
        let _claim = site.collect();
        for id in [&web, &sandbox] {
            ctr(&[
                "tasks",
                "exec",
                "--exec-id=1",
                id,
                SHELL[0],
                SHELL[1],
                CRASH,
            ])
            .ok();
        }
    }
    let known = container_of(&site, "pod_container=web");
    let expected = [
        ("runtime", "containerd"),
        ("runtime_namespace", "k8s.io"),
        ("id", &web),
        ("name", "web"),
        ("image", &image),
        ("pod_namespace", "prod"),
        ("pod_name", pod),
        ("pod_uid", uid),
        ("pod_owner", "deployment/shop"),
        ("sandbox_id", &sandbox),
        ("source", "cgroup-and-disk"),
    ];
    expect(&known, &expected);
    assert_eq!(
        (&known["sandbox"], &known["labels"]["app"]),
        (&false.into(), &"shop".into())
    );
    let both = site.wait_for(
        2,
        &["namespace=prod", "workload=shop", &format!("pod={pod}")],
    );
    let pause = both
        .iter()
        .find(|dump| dump["record"]["container"]["id"] == sandbox.as_str());
    assert_eq!(pause.unwrap()["record"]["container"]["sandbox"], true);
}

fn check_podman(podman: &Podman, site: &Site, source: &str, user: &Value) {
    let root = busybox_root(&site.path().join("root"));
    let tar = archive(&root);
    run("chmod", &["a+r", text(&tar)]).ok();
    let image = "localhost/ag-it/engines:1";
    podman.podman(&["import", text(&tar), image]).ok();
    let (short, long) = (unique_name("short"), unique_name("long"));
    let name = format!("--name={long}");
    let options = ["--rm", "--detach", "--label=team=shop", &name];
    let id = podman.run(&options, image, &["/bin/sleep", "1000"]).ok();
    let name = format!("--name={short}");
    {
        let _claim = site.collect();
        podman
            .run(
                &["--rm", "--label=team=shop", &name],
                image,
                &[SHELL[0], SHELL[1], CRASH],
            )
            .ok();
        podman
            .podman(&["exec", &long, SHELL[0], SHELL[1], CRASH])
            .ok();
    }
    for name in [&short, &long] {
        let known = container_of(site, &format!("container={name}"));
        let expected = [
            ("runtime", "podman"),
            ("name", name),
            ("image", image),
            ("source", source),
        ];
        expect(&known, &expected);
        assert_eq!(known["labels"]["team"], "shop");
        assert_eq!(&known["user"], user);
    }
    let known = container_of(site, &format!("container={long}"));
    expect(&known, &[("id", id.trim())]);
}

#[test]
fn podman_of_root_where_no_configuration_points() {
    let site = Site::started();
    let podman = Podman::of_root(&site.path().join("p"));
    check_podman(&podman, &site, "cgroup-and-disk", &Value::Null);
}

/// On cgroup v1 only the mounts name a rootless container; with a user's systemd on v2 the cgroup
/// does (`collector/helper/tests/cgroups/podman.txt`).
#[test]
fn podman_of_a_user() {
    let site = Site::started();
    let podman = Podman::of_user(&site.path().join("home"));
    let user = std::os::unix::fs::MetadataExt::uid(&site.path().join("home").metadata().unwrap());
    check_podman(&podman, &site, "mountinfo-and-disk", &user.into());
}

#[test]
fn runc_lxc_and_nspawn_by_name() {
    let site = Site::started();
    let root = busybox_root(&site.path().join("root"));
    let runc = Runc::prepare(&site.path().join("bundle"), &root);
    runc.start();
    let lxc = Lxc::new(&root);
    let lxc_root = busybox_root(&site.path().join("other"));
    let long = Lxc::new(&lxc_root);
    run(
        "lxc-start",
        &["--name", &long.0, "--", "/bin/sleep", "1000"],
    )
    .ok();
    let machine = unique_name("ag-it");
    {
        let _claim = site.collect();
        runc.exec(CRASH).ok();
        run(
            "lxc-start",
            &[
                "--foreground",
                "--name",
                &lxc.0,
                "--",
                SHELL[0],
                SHELL[1],
                CRASH,
            ],
        )
        .ok();
        run(
            "lxc-attach",
            &["--name", &long.0, "--", SHELL[0], SHELL[1], CRASH],
        )
        .ok();
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn.args([
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--pipe",
            "--as-pid2",
        ]);
        nspawn.arg(format!("--directory={}", root.display()));
        nspawn.arg(format!("--machine={machine}"));
        finish(nspawn.args([SHELL[0], SHELL[1], CRASH])).ok();
    }
    for (runtime, name, source) in [
        ("runc", &runc.name, "cgroup-and-disk"),
        ("lxc", &lxc.0, "cgroup-and-disk"),
        ("lxc", &long.0, "cgroup-and-disk"),
        ("systemd-nspawn", &machine, "supervisor"),
    ] {
        let known = container_of(&site, &format!("container={name}"));
        expect(
            &known,
            &[("runtime", runtime), ("id", name), ("source", source)],
        );
    }
}

/// The inner engine sees the host's cgroups and makes its own beside the outer container's, and
/// once below them. Neither counts: the crash is the outer container's, and the inner one a claim.
#[test]
fn docker_in_docker_is_the_outer_container() {
    require_engine();
    let site = Site::started();
    let root = busybox_root(&site.path().join("root"));
    archive(&root);
    let image = DockerImage::import(&root.with_extension("tar"));
    let shared = format!("--volume={}:/site", site.path().display());
    let mut outer = Container::new("outer")
        .option("--rm")
        .option("--cgroupns=host")
        .option("--volume=/sys/fs/cgroup:/sys/fs/cgroup")
        .option("--device-cgroup-rule=a *:* rwm")
        .option("--tmpfs=/run")
        .option("--tmpfs=/var/lib/docker:exec")
        .option(&shared);
    for right in [
        "sys_admin",
        "net_admin",
        "sys_chroot",
        "sys_ptrace",
        "mknod",
        "setfcap",
    ] {
        outer = outer.option(&format!("--cap-add={right}"));
    }
    for open in ["seccomp", "apparmor", "systempaths"] {
        outer = outer.option(&format!("--security-opt={open}=unconfined"));
    }
    for part in ["/usr", "/lib", "/lib64", "/sbin", "/etc/ssl"] {
        outer = outer.option(&format!("--volume={part}:{part}:ro"));
    }
    let engine = [
        "/usr/sbin/dockerd",
        "--host=unix:///run/inner.sock",
        "--storage-driver=vfs",
        "--iptables=false",
        "--ip6tables=false",
        "--bridge=none",
    ];
    outer.start(&image.0, &engine);
    let id = outer.id();
    let inner = |arguments: &[&str]| {
        let client = [
            "exec",
            &outer.name,
            "/usr/bin/docker",
            "--host=unix:///run/inner.sock",
        ];
        run("docker", &[&client[..], arguments].concat())
    };
    eventually(Duration::from_mins(1), || {
        let answer = inner(&["import", "/site/root.tar", "inner:1"]);
        (answer.code == Some(0)).then_some(()).ok_or(answer.stderr)
    });
    let below = format!("--cgroup-parent=/docker/{id}/docker");
    let create = ["create", "--network=none", "--ulimit=nofile=1024:1024"];
    let crash = ["inner:1", SHELL[0], SHELL[1], CRASH];
    let beside = inner(&[&create[..], &crash].concat())
        .ok()
        .trim()
        .to_owned();
    let below = inner(&[&create[..], &[&below], &crash].concat())
        .ok()
        .trim()
        .to_owned();
    {
        let _claim = site.collect();
        inner(&["start", "--attach", &beside]).ok();
        inner(&["start", "--attach", &below]).ok();
    }
    let dumps = site.wait_for(2, &[&format!("container={}", outer.name)]);
    let known: Vec<&Value> = dumps
        .iter()
        .map(|dump| &dump["record"]["container"])
        .collect();
    for container in &known {
        expect(container, &[("runtime", "docker"), ("id", &id)]);
    }
    let claimed: Vec<&str> = known
        .iter()
        .filter_map(|container| container["chain"][0]["id"].as_str())
        .collect();
    assert_eq!(claimed, [below.as_str(), beside.as_str()], "{known:#?}");
}
