//! The last lines of a container are kept with its crash, wherever its engine writes them.

use aground_testkit::docker::{Container, require_engine, unique_name};
use aground_testkit::engines::{CRASH, DockerImage, Podman, archive, busybox_root};
use aground_testkit::journal::Journal;
use aground_testkit::run::run;
use aground_testkit::site::{Site, text};

/// Says three things and crashes.
fn script() -> String {
    format!("echo one; echo two >&2; printf three; {CRASH}")
}

#[track_caller]
fn check(site: &Site, container: &str, driver: &str) {
    let dump = site.dump_of(container);
    let known = &dump["record"]["container"]["log_driver"];
    assert!(known == driver || driver.is_empty(), "{known}");
    let id = dump["summary"]["id"].as_str().unwrap();
    let log = site.aground(&["log", id]).ok();
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        lines.contains(&"one") && lines.contains(&"two"),
        "{driver}: {log:?}, {:?}",
        dump["record"]["problems"]
    );
    let page = site.get(&format!("/dumps/{id}")).text();
    assert!(page.contains("two"), "{page}");
}

#[test]
fn of_docker_and_podman_with_every_driver() {
    require_engine();
    let mut site = Site::new();
    // The journal is for root and a group.
    site.start_as_root();
    let root = busybox_root(&site.path().join("root"));
    let tar = archive(&root);
    let image = DockerImage::import(&tar);
    let journal = Journal::start();
    let containers = ["json-file", "local", "journald"].map(|driver| {
        let container = Container::new("log").option(&format!("--log-driver={driver}"));
        (container, driver)
    });
    let podman = Podman::of_root(&site.path().join("p"));
    run("chmod", &["a+r", text(&tar)]).ok();
    let other = "localhost/ag-it/logs:1";
    podman.podman(&["import", text(&tar), other]).ok();
    let name = unique_name("log");
    {
        let _claim = site.collect();
        for (container, _) in &containers {
            container.run(&image.0, &["/bin/sh", "-c", &script()]).ok();
        }
        let named = format!("--name={name}");
        let options = ["--rm", "--log-driver=k8s-file", named.as_str()];
        podman
            .run(&options, other, &["/bin/sh", "-c", &script()])
            .ok();
    }
    for (container, driver) in &containers {
        check(&site, &container.name, driver);
    }
    check(&site, &name, "k8s-file");
    drop(journal);
}
