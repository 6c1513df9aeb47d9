//! What an analysis found out about a build's code is kept for the build's next crash.

use aground_testkit::http::post;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The file of names that speaks of a function of the program.
fn names(site: &Site) -> Option<PathBuf> {
    let files = fs::read_dir(site.state().join("names")).unwrap();
    // A file that is being written has another name.
    let is_whole = |path: &PathBuf| path.extension().is_none();
    let paths = files.map(|entry| entry.unwrap().path());
    paths
        .filter(is_whole)
        .find(|path| fs::read_to_string(path).is_ok_and(|json| json.contains("\"rest\"")))
}

fn again(site: &Site, id: &str, revision: u64) -> Value {
    let asked = post(site.port(), &format!("/api/v1/dumps/{id}/analyze"));
    assert_eq!(asked.status, 202, "{}", asked.text());
    eventually(Duration::from_mins(1), || {
        let mut dump = site.dump(id);
        let done =
            dump["report"]["revision"] == revision && dump["summary"]["status"] == "analyzed";
        let report = dump["report"].take();
        done.then_some(report).ok_or(dump.to_string())
    })
}

#[test]
fn a_build_that_crashed_before_is_not_read_again() {
    let site = Site::started();
    let program = site.path().join("work");
    let source = aground_testkit::house::root().join("tests/agreement/work.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-O2", "-pthread", "-o", text(&program)]);
    finish(gcc.arg(source)).ok();
    {
        let _claim = site.collect();
        finish(&mut Command::new(&program));
    }
    let first = site.wait_for(1, &[]).remove(0);
    let id = first["summary"]["id"].as_str().unwrap();
    let kept = eventually(Duration::from_mins(1), || {
        names(&site).ok_or("no names".to_owned())
    });

    let second = again(&site, id, 2);
    assert_eq!(first["report"]["threads"], second["threads"]);
    assert_eq!(first["report"]["signature"], second["signature"]);
    assert!(first["report"].to_string().contains("\"rest\""));

    // They are what names the frames, and only to save time.
    let json = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, json.replace("\"rest\"", "\"as_remembered\"")).unwrap();
    assert!(
        again(&site, id, 3)
            .to_string()
            .contains("\"as_remembered\"")
    );
    fs::write(&kept, "{").unwrap();
    assert_eq!(again(&site, id, 4)["threads"], second["threads"]);
}
