//! A stored whole core that becomes lean for a quota says what it said before.

use super::lean::{gdb, many_threads, report};
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

fn core(site: &Site, id: &str, name: &str) -> PathBuf {
    let core = site.path().join(name);
    site.aground(&["cp", id, text(&core)]).ok();
    core
}

#[test]
fn a_core_made_lean_says_the_same_to_gdb_and_to_us() {
    let site = Site::started();
    let program = many_threads(&site);
    let claim = site.collect();
    finish(Command::new(&program).args(["200", "128"]));
    let before = site.wait_for(1, &[]).remove(0);
    drop(claim);
    let id = before["summary"]["id"].as_str().unwrap();
    assert_eq!(before["summary"]["kept"], "full", "{before:#}");
    let full = core(&site, id, "full.core");

    let pruned = site.aground(&["prune", "-f", "--format", "json", "--max-bytes", "40MiB"]);
    let pruned: Value = serde_json::from_str(&pruned.ok()).unwrap();
    assert_eq!(
        pruned["steps"][0]["action"],
        "thin",
        "{pruned:#}\n{}",
        site.log_text()
    );
    assert_eq!(
        (pruned["steps"].as_array().unwrap().len(), &pruned["unmet"]),
        (1, &Value::Null)
    );

    let after = site.dump(id);
    assert_eq!(after["summary"]["kept"], "lean");
    let dropped = after["summary"]["dropped"].as_str().unwrap();
    assert!(dropped.contains("the quota is 40 MiB"), "{dropped}");
    assert_eq!(
        after["record"], before["record"],
        "what was captured stays written"
    );
    let lean = core(&site, id, "lean.core");
    let size = |core: &PathBuf| fs::metadata(core).unwrap().len();
    assert_eq!(Some(size(&lean)), after["summary"]["core_bytes"].as_u64());
    assert!(
        size(&lean) * 8 < size(&full),
        "{} of {}",
        size(&lean),
        size(&full)
    );

    let (from_full, from_lean) = (gdb(&program, &full), gdb(&program, &lean));
    assert!(from_full.matches("in work (").count() == 200, "{from_full}");
    assert!(
        from_full == from_lean,
        "--- full\n{from_full}\n--- lean\n{from_lean}"
    );
    assert_eq!(report(&site, &full), report(&site, &lean));

    // The daemon's own analysis of it concludes the same again.
    let target = format!("/api/v1/dumps/{id}/analyze");
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    aground_testkit::http::request(site.port(), &request);
    let again = eventually(Duration::from_mins(1), || {
        let dump = site.dump(id);
        let settled = dump["summary"]["status"] == "analyzed";
        settled.then_some(dump).ok_or("in analysis".to_owned())
    });
    for part in ["cause", "threads", "signature"] {
        assert_eq!(before["report"][part], again["report"][part], "{part}");
    }
}
