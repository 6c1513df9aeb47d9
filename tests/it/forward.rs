//! What the handler before us does, or who says it is one, costs us no crash.

use aground_testkit::handler::Handler;
use aground_testkit::helper::{record, vanished_pid};
use aground_testkit::site::Site;
use aground_testkit::synthetic::Core;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

/// A site whose previous handler has `pattern`, and gets crashes of the host in `mode`.
fn site_before(pattern: impl FnOnce(&Site) -> String, mode: &str) -> Site {
    let mut site = Site::new();
    site.start_with_config(&format!("[capture.forward]\nhost = \"{mode}\"\n"));
    let pattern = pattern(&site);
    let previous = serde_json::json!({ "core_pattern": pattern, "core_pipe_limit": "0" });
    let path = site.state().join("previous.json");
    fs::write(&path, previous.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    site
}

/// The record of a crash whose core is `core`.
#[track_caller]
fn recorded(site: &Site, core: &[u8]) -> Value {
    record(site, &vanished_pid(), core).ok();
    let mut dumps = site.wait_for(1, &[]);
    assert_eq!(dumps.len(), 1);
    dumps.remove(0)["record"].take()
}

fn problems(record: &Value) -> String {
    let problems = record["problems"].as_array().unwrap();
    let texts: Vec<&str> = problems.iter().filter_map(Value::as_str).collect();
    texts.join("\n")
}

/// More than any pipe holds.
fn large_core() -> Vec<u8> {
    let mut core = Core::default().bytes();
    core.resize(9 << 20, 7);
    core
}

#[test]
fn a_handler_that_does_not_read_is_ended_and_the_core_is_ours() {
    let hangs = |site: &Site| Handler::new(site, "exec sleep 1000").pattern("%P");
    let site = site_before(hangs, "also");
    let core = large_core();
    let record = recorded(&site, &core);
    let capture = &record["capture"];
    assert_eq!(capture["kept"], "full", "{capture:#}");
    assert_eq!(capture["bytes_kept"], core.len());
    let forwarded = &capture["forwarded"];
    assert_eq!(forwarded["trouble"], "it stopped reading and was ended");
    assert!(forwarded["bytes"].as_u64().unwrap() < 2 << 20);
}

#[test]
fn a_handler_that_fails_or_reads_only_a_part_is_told_of() {
    for (end, trouble) in [
        ("exit 0", "it did not read all of the core"),
        ("cat >/dev/null; exit 3", "it ended with exit status: 3"),
    ] {
        let site = site_before(|site| Handler::new(site, end).pattern("%P"), "also");
        let record = recorded(&site, &large_core());
        assert_eq!(record["capture"]["kept"], "full");
        assert_eq!(record["capture"]["forwarded"]["trouble"], trouble);
    }
}

#[test]
fn memory_is_kept_here_when_nobody_takes_it_instead() {
    for (pattern, why) in [
        (
            "|/nowhere/handler %P",
            "/nowhere/handler could not be started",
        ),
        (
            "core.%p",
            "the setting before, \"core.%p\", names no program",
        ),
        ("|/bin/%e", "names no program"),
    ] {
        let site = site_before(|_| pattern.to_owned(), "instead");
        let record = recorded(&site, &Core::default().bytes());
        assert_eq!(record["capture"]["kept"], "full", "{pattern}");
        assert_eq!(record["capture"]["forwarded"], Value::Null);
        let problems = problems(&record);
        assert!(
            problems.contains("the crash was not passed on: ") && problems.contains(why.trim_end()),
            "{problems}"
        );
    }
}

#[test]
fn a_handler_that_root_did_not_remember_is_not_run() {
    let run = |site: &Site| Handler::reading(site).pattern("%P");
    for (owner, mode) in [(65534, 0o400), (0, 0o600), (0, 0o444)] {
        let site = site_before(run, "also");
        let path = site.state().join("previous.json");
        chown(&path, Some(owner), None).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let record = recorded(&site, &Core::default().bytes());
        let problems = problems(&record);
        assert!(
            problems.contains("it is not known who handled"),
            "{problems}"
        );
        let given = fs::read_dir(site.path().join("given")).unwrap();
        assert_eq!(given.count(), 0, "{owner} {mode:o}");
    }
}
