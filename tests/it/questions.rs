//! What people ask with queries, reports and saved searches, and a database that is built anew.

use aground_testkit::run::{Outcome, finish};
use aground_testkit::site::{Site, USER};
use aground_testkit::synthetic::Core;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// Hands cores in that differ in one byte.
fn import(site: &Site, count: u8) {
    for number in 0..count {
        let mut bytes = Core::default().bytes();
        bytes.push(number);
        let path = site.path().join(format!("core.{number}"));
        std::fs::write(&path, bytes).unwrap();
        site.aground(&["import", path.to_str().unwrap()]).ok();
    }
    site.wait_for(usize::from(count), &["status=analyzed"]);
}

fn reindex(site: &Site, as_service: bool) -> Outcome {
    let mut command = if as_service {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", "nogroup", "--clear-groups"]);
        command.arg(site.program("aground"));
        command
    } else {
        Command::new(site.program("aground"))
    };
    finish(
        command
            .args(["reindex", "--state-dir"])
            .arg(site.state())
            .stdin(Stdio::null()),
    )
}

#[test]
fn a_wrong_query_is_marked_and_says_what_it_could_have_been() {
    let site = Site::started();
    for verb in [["ls"].as_slice(), &["groups"], &["report", "host"]] {
        let wrong = site.aground(&[verb, &["host:a", "sgnal:x"]].concat());
        assert_eq!(wrong.code, Some(1), "{wrong:?}");
        assert!(
            wrong.stderr.contains("did you mean signal?")
                && wrong
                    .stderr
                    .contains("\n  host:a sgnal:x\n         ^^^^^\n"),
            "{}",
            wrong.stderr
        );
    }
    let wrong = site.aground(&["report", "image,hots"]);
    assert!(
        wrong.stderr.contains("\n  image,hots\n        ^^^^\n"),
        "{}",
        wrong.stderr
    );
    let answer = site.get("/api/v1/dumps?query=state%3Aopn");
    let problem: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(
        problem["query"],
        serde_json::json!({ "parameter": "query", "offset": 6, "length": 3, "suggestion": "open" })
    );
}

#[test]
fn reports_searches_and_a_database_built_anew() {
    let mut site = Site::started();
    import(&site, 3);
    let report = site
        .aground(&["report", "signal,kept", "--over", "1h", "--format", "json"])
        .ok();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["crashes"], &report["rows"][0]["crashes"]),
        (&3.into(), &3.into())
    );
    assert_eq!(report["trend"].as_array().unwrap().len(), 48);
    let table = site.aground(&["report", "signal"]).ok();
    assert!(
        table.contains("100.0%") && table.contains("3 crashes"),
        "{table}"
    );

    let name = site
        .aground(&["searches", "save", "mine", "signal:SIGSEGV", "pinned:no"])
        .ok();
    assert_eq!(name.trim(), "mine");
    let ids = site.ids(&[]);
    site.aground(&["pin", &ids[0]]).ok();
    let listed = |site: &Site| site.aground(&["ls", "-q", "--saved", "mine"]).ok();
    assert_eq!(listed(&site).lines().count(), 2);
    site.aground(&["searches", "save", "bad name", "a"])
        .one_line_error();
    site.aground(&["ls", "--saved", "nobodys"]).one_line_error();
    site.aground(&["searches", "rm", "nobodys"])
        .one_line_error();

    let group = site.aground(&["groups", "-q"]).ok().trim().to_owned();
    let seen = site.aground(&["groups", "seen", &group]).ok();
    assert!(seen.contains("Too few crashes to compare"), "{seen}");
    site.aground(&["groups", "tag", &group, "known"]).ok();
    assert!(site.aground(&["hosts"]).ok().contains("too few"));

    let before = site.aground(&["groups", "-q", "tag:known"]).ok();
    let error = reindex(&site, true).one_line_error();
    assert!(error.contains("another aground daemon"), "{error}");
    site.stop();
    let error = reindex(&site, false).one_line_error();
    assert!(error.contains("run this as that user"), "{error}");
    let mut database = std::fs::File::options()
        .write(true)
        .open(site.state().join("aground.db"))
        .unwrap();
    database.write_all(b"this is no database any more").unwrap();
    let told = reindex(&site, true).ok();
    assert!(told.starts_with("3 dumps read in\n"), "{told}");
    site.start();
    assert_eq!(site.ids(&[]), ids);
    assert_eq!(listed(&site).lines().count(), 2);
    assert_eq!(site.aground(&["groups", "-q", "tag:known"]).ok(), before);
}
