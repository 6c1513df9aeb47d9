//! Whose process it is, by texts and by small disks made for the purpose.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::disk::host::HostRoot;
use crate::record::Confidence;
use std::fs;

const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const POD: &str = "12345678-9abc-def0-1234-56789abcdef0";

fn fill(text: &str) -> String {
    text.replace("<A>", A)
        .replace("<B>", B)
        .replace("<POD>", POD)
        .replace("<POD_>", &POD.replace('-', "_"))
}

/// A host with these files.
struct Given(tempfile::TempDir);

impl Given {
    fn files(files: &[(&str, &str)]) -> Self {
        let given = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = given.0.path().join(fill(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, fill(text)).unwrap();
        }
        given
    }

    fn identity(&self, cgroup: &str, mounts: &[&str]) -> Identity {
        self.supervised(cgroup, mounts, None)
    }

    fn supervised(
        &self,
        cgroup: &str,
        mounts: &[&str],
        supervisor: Option<Supervisor>,
    ) -> Identity {
        let lines: Vec<String> = mounts
            .iter()
            .map(|mount| format!("36 35 98:0 {} rw - ext4 /dev/vda rw\n", fill(mount)))
            .collect();
        let texts = Texts {
            cgroup: fill(cgroup).into_bytes(),
            mountinfo: lines.concat().into_bytes(),
            uid: Some(rustix::process::getuid().as_raw()),
            supervisor,
        };
        let disk = HostRoot::at(self.0.path()).unwrap();
        let disk = Disk::new(disk, texts.supervisor.as_ref());
        identify(&texts, Some(&disk))
    }

    fn container(&self, cgroup: &str) -> Container {
        self.identity(cgroup, &[]).container.unwrap()
    }
}

/// `runtime:id source (chain)`.
fn brief(container: &Container) -> String {
    let source = serde_json::to_value(container.source).unwrap();
    let chain: Vec<&str> = container
        .chain
        .iter()
        .map(|inner| inner.id.as_str())
        .collect();
    let text = format!(
        "{}:{} {} ({})",
        container.runtime,
        container.id,
        source.as_str().unwrap(),
        chain.join(" ")
    );
    text.replace(A, "<A>").replace(B, "<B>")
}

const DOCKER_A: (&str, &str) = (
    "var/lib/docker/containers/<A>/config.v2.json",
    r#"{"Name":"/outer","Config":{"Image":"dind"}}"#,
);
const DOCKER_B: (&str, &str) = (
    "var/lib/docker/containers/<B>/config.v2.json",
    r#"{"Name":"/victim","Config":{"Image":"bank"}}"#,
);

#[test]
fn the_outermost_confirmed_container_is_trusted() {
    let host = Given::files(&[DOCKER_A, DOCKER_B]);
    for inside in [
        "0::/docker/<A>/docker/<B>",
        "0::/docker/<A>/docker-<B>.scope",
        "0::/system.slice/docker-<A>.scope/system.slice/docker-<B>.scope",
        "0::/docker/<A>/kubepods.slice/kubepods-pod<POD_>.slice/cri-containerd-<B>.scope",
    ] {
        let container = host.container(inside);
        assert_eq!(
            brief(&container),
            "docker:<A> cgroup-and-disk (<B>)",
            "{inside}"
        );
        assert_eq!(container.name.as_deref(), Some("outer"));
        assert_eq!(container.confidence(), Confidence::Confirmed);
    }
}

#[test]
fn nobody_passes_for_another_from_within_what_no_file_knows() {
    let host = Given::files(&[DOCKER_B]);
    let container = host.container("0::/lxc.payload.web/docker/<B>");
    assert_eq!(brief(&container), "lxc:web cgroup (<B>)");
    let container = host.container("0::/docker/<A>/docker/<B>");
    assert_eq!(brief(&container), "docker:<A> cgroup (<B>)");
    assert_eq!(container.confidence(), Confidence::Claimed);
    assert_eq!(container.name, None);
}

#[test]
fn a_parent_that_is_only_shaped_like_a_container_hides_none() {
    let parent = (
        "var/lib/docker/containers/<B>/hostconfig.json",
        r#"{"CgroupParent":"/<A>"}"#,
    );
    let host = Given::files(&[DOCKER_B, parent]);
    let container = host.container("0::/<A>/<B>");
    assert_eq!(brief(&container), "docker:<B> cgroup-and-disk ()");
}

#[test]
fn a_user_passes_for_no_container_of_roots() {
    let host = Given::files(&[DOCKER_A, ("etc/passwd", "u:x:1000:1000::/home/u:/bin/sh\n")]);
    let below = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker-<A>.scope";
    let container = host.container(below);
    assert_eq!(brief(&container), "docker:<A> cgroup ()");
    assert_eq!((container.name, container.user), (None, Some(1000)));
}

#[test]
fn a_place_elsewhere_is_told() {
    let bundle = (
        "run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/<A>/config.json",
        r#"{"linux":{"cgroupsPath":"system.slice:docker:<A>"}}"#,
    );
    let host = Given::files(&[DOCKER_A, bundle]);
    let right = host.identity("0::/system.slice/docker-<A>.scope", &[]);
    assert_eq!(
        brief(&right.container.unwrap()),
        "docker:<A> cgroup-and-disk ()"
    );
    let wrong = host.identity("0::/batch.slice/docker-<A>.scope", &[]);
    assert_eq!(brief(&wrong.container.unwrap()), "docker:<A> cgroup ()");
    assert!(
        wrong
            .problems
            .iter()
            .any(|problem| problem.contains("not in the cgroup"))
    );
}

#[test]
fn any_runtime_under_a_parent_of_ones_own() {
    let podman = (
        "var/lib/containers/storage/overlay-containers/<A>/userdata/config.json",
        r#"{"annotations":{"io.container.manager":"libpod"}}"#,
    );
    let containerd = (
        "run/containerd/io.containerd.runtime.v2.task/tenant/<B>/config.json",
        r#"{"linux":{"cgroupsPath":"/tenant/<B>"}}"#,
    );
    let host = Given::files(&[podman, containerd]);
    assert_eq!(
        brief(&host.container("0::/my/<A>")),
        "podman:<A> cgroup-and-disk ()"
    );
    let found = host.container("0::/tenant/<B>");
    assert_eq!(brief(&found), "containerd:<B> cgroup-and-disk ()");
    assert_eq!(found.runtime_namespace.as_deref(), Some("tenant"));
}

#[test]
fn names_alone_need_a_file_with_their_place() {
    let files = [
        (
            "run/runc/web/state.json",
            r#"{"cgroup_paths":{"":"/sys/fs/cgroup/web"}}"#,
        ),
        (
            "run/containerd/io.containerd.runtime.v2.task/tenant/job/config.json",
            r#"{"linux":{"cgroupsPath":"/tenant/job"}}"#,
        ),
    ];
    let host = Given::files(&files);
    assert_eq!(
        brief(&host.container("0::/web")),
        "runc:web cgroup-and-disk ()"
    );
    assert_eq!(
        brief(&host.container("0::/tenant/job")),
        "containerd:job cgroup-and-disk ()"
    );
    let elsewhere = host.identity("0::/batch/web", &[]);
    assert!(elsewhere.container.is_none());
    assert_eq!(elsewhere.unit.as_deref(), Some("web"));
}

#[test]
fn kubernetes_through_containerd() {
    let files = [
        (
            "run/containerd/io.containerd.runtime.v2.task/k8s.io/<A>/config.json",
            r#"{"hostname":"shop","linux":{"cgroupsPath":"kubepods-pod<POD_>.slice:cri-containerd:<A>",
            "resources":{"memory":{"limit":1048576}}},
            "annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-id":"<B>",
            "io.kubernetes.cri.sandbox-namespace":"prod","io.kubernetes.cri.sandbox-name":"shop-7d4b9c6f8-x2x4z",
            "io.kubernetes.cri.container-name":"web","io.kubernetes.cri.image-name":"r/shop:1"}}"#,
        ),
        (
            "run/containerd/io.containerd.runtime.v2.task/k8s.io/<B>/config.json",
            r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-id":"<B>"}}"#,
        ),
        ("var/log/pods/prod_shop-7d4b9c6f8-x2x4z_<POD>/web/2.log", ""),
    ];
    let host = Given::files(&files);
    let slice = "0::/kubepods.slice/kubepods-pod<POD_>.slice";
    let web = host.container(&format!("{slice}/cri-containerd-<A>.scope"));
    assert_eq!(brief(&web), "containerd:<A> cgroup-and-disk ()");
    assert_eq!(web.pod_namespace.as_deref(), Some("prod"));
    assert_eq!(web.pod_name.as_deref(), Some("shop-7d4b9c6f8-x2x4z"));
    assert_eq!(web.pod_uid.as_deref(), Some(POD));
    assert_eq!(web.pod_container.as_deref(), Some("web"));
    assert_eq!(web.name.as_deref(), Some("web"));
    assert_eq!(web.pod_owner.as_deref(), Some("deployment/shop"));
    assert_eq!(web.image.as_deref(), Some("r/shop:1"));
    assert_eq!(web.sandbox_id.as_deref(), Some(B));
    assert_eq!((web.sandbox, web.restart_count), (Some(false), Some(2)));
    assert_eq!(web.memory_limit, Some(1_048_576));
    let pause = host.container(&format!("{slice}/cri-containerd-<B>.scope"));
    assert_eq!(pause.sandbox, Some(true));
}

#[test]
fn kubernetes_through_crio() {
    let config = r#"{"linux":{"cgroupsPath":"kubepods-pod<POD_>.slice:crio:<A>"},"annotations":{
        "io.container.manager":"cri-o","io.kubernetes.cri-o.ContainerType":"container",
        "io.kubernetes.cri-o.SandboxID":"<B>","io.kubernetes.cri-o.Namespace":"prod",
        "io.kubernetes.cri-o.KubeName":"db-0","io.kubernetes.cri-o.Name":"k8s_db_db-0_prod_0",
        "io.kubernetes.cri-o.ImageName":"r/db:1","io.kubernetes.cri-o.ImageRef":"r/db@sha256:aa",
        "io.kubernetes.cri-o.Labels":"{\"io.kubernetes.container.name\":\"db\",\"io.kubernetes.pod.uid\":\"<POD>\"}",
        "io.kubernetes.cri-o.Annotations":"{\"io.kubernetes.container.restartCount\":\"7\"}"}}"#;
    let path = "var/lib/containers/storage/overlay-containers/<A>/userdata/config.json";
    let pod = r#"{"annotations":{"io.container.manager":"cri-o","io.kubernetes.cri-o.Labels":"{\"app\":\"db\"}",
        "io.kubernetes.cri-o.Annotations":"{\"aground.policy\":\"lean\",\"io.kubernetes.pod.uid\":\"other\"}"}}"#;
    let sandbox = "var/lib/containers/storage/overlay-containers/<B>/userdata/config.json";
    let host = Given::files(&[(path, config), (sandbox, pod)]);
    let db = host.container("0::/kubepods.slice/kubepods-pod<POD_>.slice/crio-<A>.scope/container");
    assert_eq!(brief(&db), "cri-o:<A> cgroup-and-disk ()");
    assert_eq!(db.pod_container.as_deref(), Some("db"));
    assert_eq!(db.pod_name.as_deref(), Some("db-0"));
    assert_eq!(db.image_digests, ["r/db@sha256:aa"]);
    assert_eq!((db.restart_count, db.sandbox), (Some(7), Some(false)));
    assert_eq!(db.labels["app"], "db");
    assert_eq!(db.labels["aground.policy"], "lean");
    assert_eq!(db.pod_uid.as_deref(), Some(POD));
}

#[test]
fn podman_of_root_by_its_lists() {
    let files = [
        (
            "srv/graph/overlay-containers/<A>/userdata/config.json",
            r#"{"hostname":"h","linux":{"cgroupsPath":"machine.slice:libpod:<A>"},"annotations":{"io.container.manager":"libpod"}}"#,
        ),
        (
            "srv/graph/overlay-containers/containers.json",
            r#"[{"id":"<B>"},{"id":"<A>","names":["web"],"image":"<B>","metadata":"{\"image-name\":\"r/shop:1\"}"}]"#,
        ),
        (
            "srv/graph/overlay-images/images.json",
            r#"[{"id":"<B>","digest":"sha256:dd","names":["r/shop:1","r/shop:latest"]}]"#,
        ),
        (
            "etc/containers/storage.conf",
            "[storage]\ngraphroot = \"/srv/graph\"\n",
        ),
    ];
    let host = Given::files(&files);
    let web = host.container("0::/machine.slice/libpod-<A>.scope/container");
    assert_eq!(brief(&web), "podman:<A> cgroup-and-disk ()");
    assert_eq!(web.name.as_deref(), Some("web"));
    assert_eq!(web.image.as_deref(), Some("r/shop:1"));
    assert_eq!(web.image_id, Some(format!("sha256:{B}")));
    assert_eq!(web.image_digests, ["r/shop@sha256:dd"]);
}

/// Gives `path` and everything below it to a user.
fn give(path: &std::path::Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), None).unwrap();
    let below = fs::read_dir(path).into_iter().flatten();
    below.for_each(|entry| give(&entry.unwrap().path(), user));
}

/// Needs root, as the helper does: the files must be the user's own.
#[test]
fn rootless_podman_where_the_cgroup_is_silent() {
    let files = [
        ("etc/passwd", "u:x:4711:0::/home/u:/bin/sh\n"),
        (
            "home/u/.local/share/containers/storage/vfs-containers/<A>/userdata/config.json",
            "{}",
        ),
    ];
    let host = Given::files(&files);
    let slice =
        "1:name=systemd:/user.slice/user-4711.slice/user@4711.service/user.slice/podman-5.scope";
    let mount = "/containers/overlay-containers/<A>/userdata/.containerenv /run/.containerenv";
    let seen = || host.identity(slice, &[mount]).container.unwrap();
    assert_eq!(brief(&seen()), "podman:<A> mountinfo ()");
    give(&host.0.path().join("home/u"), 4711);
    assert_eq!(brief(&seen()), "podman:<A> mountinfo-and-disk ()");
    assert_eq!(seen().user, Some(4711));
    assert_eq!(seen().confidence(), Confidence::ClaimedByUser);
    let scope = "0::/user.slice/user-4711.slice/user@4711.service/user.slice/libpod-<A>.scope";
    assert_eq!(
        brief(&host.container(scope)),
        "podman:<A> cgroup-and-user-disk ()"
    );
}

#[test]
fn texts_alone_claim() {
    let texts = Texts {
        cgroup: fill("0::/kubepods/pod<POD>/<A>").into_bytes(),
        mountinfo: fill(
            "1 2 3 /kubelet/pods/<POD>/containers/web/0a1b2c3d /dev/termination-log rw\n\
             1 2 3 /x/sandboxes/<B>/hostname /etc/hostname rw\n",
        )
        .into_bytes(),
        ..Texts::default()
    };
    let web = identify(&texts, None).container.unwrap();
    assert_eq!(brief(&web), "containerd:<A> cgroup ()");
    assert_eq!(web.pod_container.as_deref(), Some("web"));
    assert_eq!(web.sandbox_id.as_deref(), Some(B));
    assert_eq!(web.confidence(), Confidence::Claimed);

    let host = identify(
        &Texts {
            cgroup: b"0::/system.slice/ssh.service\n".to_vec(),
            ..Texts::default()
        },
        None,
    );
    assert!(host.container.is_none());
    assert_eq!(host.unit.as_deref(), Some("ssh.service"));
}

#[test]
fn the_runtimes_own_process_is_the_last_word() {
    let bundle = (
        "odd/state/io.containerd.runtime.v2.task/moby/<A>/config.json",
        r#"{"mounts":[{"source":"/odd/data/containers/<A>/hosts"}]}"#,
    );
    let config = (
        "odd/data/containers/<A>/config.v2.json",
        r#"{"Name":"/outer"}"#,
    );
    let host = Given::files(&[bundle, config, DOCKER_B]);
    let shim = || {
        let bundle = fill("/odd/state/io.containerd.runtime.v2.task/moby/<A>");
        Some(Supervisor::Bundle(bundle))
    };
    // Places that nothing but the supervisor knows.
    let seen = host.supervised("0::/docker/<A>", &[], shim());
    assert_eq!(
        brief(seen.container.as_ref().unwrap()),
        "docker:<A> cgroup-and-disk ()"
    );
    let disagreed = |seen: &Identity| seen.problems.iter().any(|said| said.contains("started it"));
    assert!(!disagreed(&seen));
    // An engine inside that makes its cgroups beside the outer one's.
    let seen = host.supervised("0::/elsewhere/<B>x/<B>", &[], shim());
    let container = seen.container.as_ref().unwrap();
    assert_eq!(brief(container), "docker:<A> supervisor (<B>)");
    assert_eq!(container.name.as_deref(), Some("outer"));
    // One that moves into the cgroup of another container of the host.
    let seen = host.supervised("0::/docker/<B>", &[], shim());
    assert_eq!(
        brief(seen.container.as_ref().unwrap()),
        "docker:<A> supervisor (<B>)"
    );
    assert!(
        seen.problems
            .iter()
            .any(|problem| problem.contains("started it"))
    );
    // Moved out of all cgroups.
    let seen = host.supervised("0::/", &[], shim());
    assert_eq!(
        brief(seen.container.as_ref().unwrap()),
        "docker:<A> supervisor ()"
    );
    // Podman's, of a process that entered by exec.
    let path = "odd/graph/vfs-containers/<B>/userdata/config.json";
    let podman = Given::files(&[(path, "{}")]);
    let conmon = fill("/odd/graph/vfs-containers/<B>/userdata/0123");
    let conmon = Some(Supervisor::Bundle(conmon));
    let seen = podman.supervised("0::/libpod_parent/libpod-<B>", &[], conmon.clone());
    let expected = "podman:<B> cgroup-and-disk ()";
    assert_eq!(brief(seen.container.as_ref().unwrap()), expected);
    let seen = podman.supervised("0::/", &[], conmon);
    assert_eq!(
        brief(seen.container.as_ref().unwrap()),
        "podman:<B> supervisor ()"
    );
    let machine = Some(Supervisor::Machine("web".to_owned()));
    let seen = host.supervised("0::/payload", &[], machine);
    assert_eq!(
        brief(seen.container.as_ref().unwrap()),
        "systemd-nspawn:web supervisor ()"
    );
}

#[test]
fn one_shim_watches_over_all_containers_of_a_pod() {
    let bundle = |id: &str, kind: &str| {
        (
            format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json"),
            format!(
                r#"{{"linux":{{"cgroupsPath":"/kubepods/pod<POD>/{id}"}},"annotations":
                {{"io.kubernetes.cri.container-type":"{kind}","io.kubernetes.cri.sandbox-id":"<A>"}}}}"#
            ),
        )
    };
    let files = [bundle("<A>", "sandbox"), bundle("<B>", "container")];
    let mut files: Vec<(&str, &str)> = files
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    let victim = "c".repeat(64);
    let other = format!("var/lib/docker/containers/{victim}/config.v2.json");
    files.push((&other, "{}"));
    let host = Given::files(&files);
    let seen = |cgroup: &str| {
        let shim = fill("/run/containerd/io.containerd.runtime.v2.task/k8s.io/<A>");
        host.supervised(cgroup, &[], Some(Supervisor::Bundle(shim)))
            .container
            .unwrap()
    };
    let web = seen("0::/kubepods/pod<POD>/<B>");
    assert_eq!(brief(&web), "containerd:<B> cgroup-and-disk ()");
    assert_eq!(web.sandbox, Some(false));
    let pause = seen("0::/kubepods/pod<POD>/<A>");
    assert_eq!(pause.sandbox, Some(true));
    let unknown = seen("0::/");
    assert_eq!(
        (brief(&unknown).as_str(), unknown.sandbox),
        ("containerd:<A> supervisor ()", None)
    );
    let moved = seen(&format!("0::/docker/{victim}"));
    assert_eq!(
        (moved.id.as_str(), moved.source),
        (A, IdentitySource::Supervisor)
    );
}

#[test]
fn a_listed_container_without_its_configuration_is_known() {
    let list = (
        "var/lib/containers/storage/overlay-containers/containers.json",
        r#"[{"id":"<A>","names":["web"],"metadata":"{\"image-name\":\"shop:1\"}"}]"#,
    );
    let host = Given::files(&[list]);
    let web = host.container("0::/machine.slice/libpod-<A>.scope/container");
    assert_eq!(brief(&web), "podman:<A> cgroup-and-disk ()");
    assert_eq!(
        (web.name.as_deref(), web.image.as_deref()),
        (Some("web"), Some("shop:1"))
    );
}
