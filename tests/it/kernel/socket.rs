//! Crashes through the kernel's coredump socket: the same record and core, and none where none is
//! wanted.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::docker::{Container, require_engine};
use aground_testkit::listener::Listener;
use aground_testkit::programs::RELEASE;
use aground_testkit::site::{Site, text};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn containers_are_recorded_and_explained_through_the_socket() {
    require_engine();
    let site = Site::started();
    let listener = Listener::start(&site);
    let kept = Container::new("payments");
    let lean = Container::new("shop-api").option("--label=aground.policy=lean");
    let refused = Container::new("shop-api").option("--label=aground.policy=record");
    {
        let _claim = CorePattern::claim();
        listener.install(&site);
        assert_eq!(site.get("/api/v1/status").json()["installed"], true);
        kept.run(&RELEASE.image("payments").reference, &[]);
        lean.run(&RELEASE.image("shop-api").reference, &[]);
        refused.run(&RELEASE.image("shop-api").reference, &[]);
    }
    site.wait_for(3, &[]);
    let whole = site.dump_of(&kept.name);
    assert_eq!(whole["record"]["capture"]["kept"], "full", "{whole:#}");
    assert_eq!(whole["record"]["signal"]["name"], "SIGABRT");
    assert_eq!(whole["record"]["kernel"]["pidfd"], true);
    assert_eq!(whole["report"]["cause"]["kind"], "assertion");
    assert_eq!(whole["record"]["container"]["id"], kept.id());
    let small = site.dump_of(&lean.name);
    assert_eq!(small["record"]["capture"]["kept"], "lean", "{small:#}");
    assert_eq!(small["report"]["cause"]["kind"], "null-dereference");
    let none = site.dump_of(&refused.name);
    let capture = &none["record"]["capture"];
    assert_eq!(capture["kept"], "none", "{none:#}");
    assert_eq!(capture["bytes_seen"], 0, "the kernel wrote something");
}

#[test]
fn who_does_not_crash_is_no_crash() {
    let site = Site::started();
    let listener = Listener::start(&site);
    for _ in 0..20 {
        drop(UnixStream::connect(listener.socket()).unwrap());
    }
    std::thread::sleep(Duration::from_millis(500));
    assert!(site.ids(&[]).is_empty());
}

#[test]
fn without_a_listener_the_kernel_is_not_sent_there() {
    let site = Site::started();
    let _claim = CorePattern::claim();
    let before = CorePattern::value();
    let socket = site.path().join("aground-coredump.sock");
    let refused = site.install_with(&["--interface=socket", "--socket", text(&socket)]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("nobody listens at"),
        "{}",
        refused.stderr
    );
    assert_eq!(CorePattern::value(), before);
}
