//! An analysis that is stopped by its time limit leaves what it had found, and says so.

use aground_testkit::house::root;
use aground_testkit::http::post;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The analyzer; when it runs as a worker, nobody hears of it after its first draft.
fn silenced(site: &Site) -> PathBuf {
    let analyzer = site.program("aground-analyzer");
    let wrapper = site.path().join("slow-analyzer");
    let script = format!(
        r#"#!/bin/sh
[ "$1" = worker ] && [ ! -e {go} ] || exec {analyzer} "$@"
{analyzer} worker --memory "$3" --seconds "$5" --parent $$ | {{
    python3 -c 'import sys; sys.stdout.buffer.write(sys.stdin.buffer.read().split(b"\x1e")[0] + b"\x1e")'
    exec sleep 15
}}
"#,
        go = site.path().join("go").display(),
        analyzer = analyzer.display(),
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    wrapper
}

fn build(site: &Site) -> PathBuf {
    let program = site.path().join("many-threads");
    let source = root().join("tests/programs/many-threads/many-threads.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-O1", "-pthread", "-Wl,--build-id=sha1", "-o"]);
    finish(gcc.arg(&program).arg(source)).ok();
    program
}

fn crash(site: &Site, program: &Path, count: usize) {
    {
        let _claim = site.collect();
        finish(Command::new(program).args(["4", "16"]));
    }
    site.wait_for(count, &[]);
}

#[test]
fn a_worker_whose_time_is_over_leaves_its_stacks() {
    let mut site = Site::new();
    let (program, analyzer) = (build(&site), silenced(&site));
    let config = format!("analyzer = \"{}\"\nanalysis_seconds = 5\n", text(&analyzer));
    site.start_with_config(&config);
    crash(&site, &program, 1);
    crash(&site, &program, 2);
    let [dump, other] = site.wait_for(2, &[]).try_into().unwrap();
    let id = dump["summary"]["id"].as_str().unwrap();
    assert_eq!(dump["summary"]["status"], "failed");
    let report = &dump["report"];
    let frames = report["threads"][0]["frames"].as_array().unwrap();
    assert!(frames.len() > 2, "{report:#}");
    assert!(frames.iter().all(|frame| frame["function"].is_null()));
    assert!(report["threads"].as_array().unwrap().len() > 4);
    let reason = "it took longer than 5 seconds";
    assert!(
        report["partial"]["reason"]
            .as_str()
            .unwrap()
            .contains(reason)
    );
    assert!(
        report["partial"]["missing"]
            .as_str()
            .unwrap()
            .contains("names")
    );
    // Grouped by where it was in which build, so two of them are one bug.
    assert_eq!(report["signature"]["kind"], "offsets");
    assert_eq!(dump["summary"]["group"], other["summary"]["group"]);

    let shown = site.aground(&["bt", id]).ok();
    assert!(shown.contains("stopped before its end"), "{shown}");
    assert!(
        shown.contains("Warning: The analysis was stopped") && shown.contains(reason),
        "{shown}"
    );
    let page = site.get(&format!("/dumps/{id}")).text();
    assert!(
        page.contains("The analysis was stopped before its end.") && page.contains(reason),
        "{page}"
    );

    // With time enough it is as if nothing had been.
    fs::write(site.path().join("go"), "").unwrap();
    let again = post(site.port(), &format!("/api/v1/dumps/{id}/analyze"));
    assert_eq!(again.status, 202);
    let after = eventually(Duration::from_mins(1), || {
        let dump = site.dump(id);
        let whole = dump["summary"]["status"] == "analyzed";
        whole.then_some(dump.clone()).ok_or(dump.to_string())
    });
    assert!(after["report"]["partial"].is_null());
    assert_eq!(
        after["report"]["threads"][0]["frames"][0]["function"],
        "finish"
    );
}
