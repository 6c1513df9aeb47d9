//! The container image, run as the Kubernetes manifest runs it: a container of root's that puts the
//! helper on the host and points the kernel at it, and a service without any privilege.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::docker::{Container, require_engine, unique_name};
use aground_testkit::house;
use aground_testkit::programs::RELEASE;
use aground_testkit::run::{Outcome, run};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Images of the test; removed when dropped.
struct Images {
    base: String,
    ours: String,
}

impl Images {
    /// Builds the image from the package that `tests/run` built, without a registry.
    fn built(context: &TempDir) -> Self {
        let images = Self {
            base: unique_name("aground-test-base"),
            ours: unique_name("aground-test"),
        };
        let target = context.path().join("target/debian");
        std::fs::create_dir_all(&target).unwrap();
        let package = house::root().join("target/debian/aground-1.deb");
        std::fs::copy(package, target.join("aground.deb")).unwrap();
        let root = house::root().join("target/debian-root.tar");
        run("docker", &["import", text(&root), &images.base]).ok();
        let file = house::root().join("deploy/docker/Dockerfile");
        let base = format!("BASE={}", images.base);
        run(
            "docker",
            &[
                "build",
                "--quiet",
                "--network=none",
                "--build-arg",
                &base,
                "--file",
                text(&file),
                "--tag",
                &images.ours,
                text(context.path()),
            ],
        )
        .ok();
        images
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let _ = run("docker", &["rmi", "--force", &self.ours, &self.base]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The same path in the container, as the kernel will use it on the host.
fn mounted(path: &Path) -> String {
    format!("--volume={0}:{0}", path.display())
}

#[test]
fn the_image_collects_on_its_host_and_serves_without_privilege() {
    require_engine();
    let directory = tempfile::tempdir().unwrap();
    run("chmod", &["755".as_ref(), directory.path().as_os_str()]).ok();
    let images = Images::built(&directory);
    let (state, helper) = (
        directory.path().join("state"),
        directory.path().join("helper"),
    );
    let claim = CorePattern::claim();
    let (pattern, limit) = (CorePattern::value(), CorePattern::pipe_limit());

    let as_root = |arguments: &[&str]| -> Outcome {
        Container::new("aground-install")
            .option("--security-opt=systempaths=unconfined")
            .option("--user=0")
            .option(&mounted(&state))
            .option(&mounted(&helper))
            .run(&images.ours, arguments)
    };
    let destination = helper.join("aground-collect");
    let install = [
        "install",
        "--helper=/opt/aground/aground-collect",
        "--docker-plugin=false",
        "--state-dir",
        text(&state),
        "--destination",
        text(&destination),
    ];
    as_root(&install).ok();
    assert!(
        CorePattern::value().contains(text(&destination)),
        "{}",
        CorePattern::value()
    );

    // As Kubernetes makes an emptyDir.
    let runtime = directory.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    run("chmod", &["777".as_ref(), runtime.as_os_str()]).ok();
    let service = Container::new("aground")
        .option("--read-only")
        .option("--cap-drop=ALL")
        .option("--security-opt=no-new-privileges")
        .option("--tmpfs=/tmp")
        .option(&format!("--volume={}:/run/aground", runtime.display()))
        .option(&mounted(&state));
    service.start(&images.ours, &["serve", "--state-dir", text(&state)]);
    let inside = |arguments: &[&str]| {
        let all: Vec<&str> = ["exec", &service.name, "aground"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        run("docker", &all)
    };

    let victim = Container::new("shop-api");
    let image = RELEASE.image("shop-api").reference;
    victim.run(&image, &[]);
    let mut shown = String::new();
    for _ in 0..300 {
        shown = inside(&[
            "ls",
            "--filter",
            "status=analyzed",
            "--format",
            "{{.Container}} {{.Image}}",
        ])
        .stdout;
        if !shown.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(
        shown.trim(),
        format!("{} {image}", victim.name),
        "{}",
        run("docker", &["logs", &service.name]).stdout
    );

    as_root(&["uninstall", "--state-dir", text(&state)]).ok();
    assert_eq!(
        (CorePattern::value(), CorePattern::pipe_limit()),
        (pattern, limit)
    );
    drop(claim);
}
