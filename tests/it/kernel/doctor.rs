//! `aground doctor` sees who has the kernel's crashes, and fails when it is not us.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::site::{Site, text};
use serde_json::Value;

fn examined(site: &Site) -> (Option<i32>, Value) {
    let state = site.state();
    let outcome = site.aground(&["doctor", "--state-dir", text(&state), "--format", "json"]);
    let examination: Value = serde_json::from_str(&outcome.stdout).unwrap();
    (outcome.code, examination["checks"].clone())
}

fn check<'a>(checks: &'a Value, name: &str) -> &'a Value {
    let checks = checks.as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not among {checks:#?}"))
}

#[test]
fn it_names_who_took_the_crashes_and_what_to_do() {
    let mut site = Site::started();
    let claim = CorePattern::claim();
    site.install().ok();
    let (code, checks) = examined(&site);
    for name in [
        "core_pattern",
        "core_pipe_limit",
        "state directory",
        "daemon",
        "spool",
        "uninstall",
    ] {
        assert_eq!(check(&checks, name)["health"], "ok", "{checks:#}");
    }
    assert_eq!(check(&checks, "next boot")["health"], "warn", "{checks:#}");
    // The tests' helper lies in a directory of their own, as root's.
    assert_eq!(check(&checks, "helper")["health"], "ok", "{checks:#}");
    assert_eq!(code, Some(0), "{checks:#}");

    claim.set("|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h");
    let (code, checks) = examined(&site);
    assert_eq!(code, Some(1), "{checks:#}");
    let pattern = check(&checks, "core_pattern");
    assert_eq!(pattern["health"], "fail");
    let finding = pattern["finding"].as_str().unwrap();
    assert!(
        finding.contains("systemd-coredump gets the crashes"),
        "{finding}"
    );
    let advice = pattern["advice"].as_str().unwrap();
    assert!(advice.contains("aground install"), "{advice}");
    let page = site.get("/status").text();
    assert!(page.contains("systemd-coredump gets the crashes"), "{page}");
    let seen = site.get("/api/v1/doctor").json();
    assert_eq!(check(&seen["checks"], "core_pattern")["health"], "fail");

    site.install().ok();
    site.stop();
    let (code, checks) = examined(&site);
    assert_eq!(code, Some(1), "{checks:#}");
    assert_eq!(check(&checks, "daemon")["health"], "fail");
}
