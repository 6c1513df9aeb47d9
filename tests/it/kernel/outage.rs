//! What is handed to us while the daemon is down, or dies, is there when it is back.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::programs::RELEASE;
use aground_testkit::run::eventually;
use aground_testkit::site::Site;
use std::time::Duration;

#[test]
fn crashes_during_an_outage_are_there_after_it_with_name_and_image() {
    require_engine();
    let images = ["shop-api", "payments", "search"].map(|name| RELEASE.image(name));
    let mut site = Site::started();
    let status = site.stop();
    assert!(
        status.success(),
        "SIGTERM ended the daemon with {status}\n{}",
        site.log_text()
    );

    let containers =
        ["shop-api", "payments", "search"].map(|name| Container::new(name).option("--rm"));
    {
        let _claim = site.collect();
        for (container, image) in containers.iter().zip(&images) {
            container.run(&image.reference, &[]);
        }
    }
    // They are gone: nobody can ask the engine about them any more.
    for container in &containers {
        let left = aground_testkit::run::run("docker", &["inspect", &container.name]);
        assert_ne!(left.code, Some(0), "{} still exists", container.name);
    }

    site.start();
    site.wait_for(3, &[]);
    for (container, image) in containers.iter().zip(&images) {
        let dump = site.dump_of(&container.name);
        assert_eq!(dump["summary"]["container"]["image"], image.reference);
    }
}

#[test]
fn report_survives_a_daemon_killed_during_analysis() {
    require_engine();
    let image = RELEASE.image("reports");
    let mut site = Site::started();
    let container = Container::new("reports");
    {
        let _claim = site.collect();
        container.run(&image.reference, &[]);
        eventually(Duration::from_secs(30), || {
            let status = site.get("/api/v1/status").json();
            let busy = status["analyzing"]
                .as_array()
                .is_some_and(|ids| !ids.is_empty());
            let ended = status["analyses"].as_u64() > Some(0);
            (busy || ended)
                .then_some(())
                .ok_or_else(|| format!("no analysis begins: {status:#}"))
        });
        site.kill();
    }
    site.start();
    let dump = site.dump_of(&container.name);
    assert_eq!(dump["report"]["process"]["signal"]["name"], "SIGSEGV");
    assert_eq!(site.ids(&[]).len(), 1, "the dump is there twice");
}

/// Killed at many points between crash and report: nothing is lost and nothing is there twice.
#[test]
fn kill_at_any_point_loses_nothing() {
    require_engine();
    let image = RELEASE.image("payments");
    let mut site = Site::started();
    let delays = [0, 5, 20, 60, 120, 250];
    let claim = site.collect();
    for delay in delays {
        let container = Container::new("payments").option("--rm");
        container.run(&image.reference, &[]);
        std::thread::sleep(Duration::from_millis(delay));
        site.kill();
        site.start();
    }
    drop(claim);
    let dumps = site.wait_for(delays.len(), &[]);
    assert_eq!(dumps.len(), delays.len());
    for dump in dumps {
        assert_eq!(
            dump["report"]["cause"]["kind"], "assertion",
            "{:#}",
            dump["summary"]
        );
    }
}
