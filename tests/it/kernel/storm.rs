//! Two hundred processes die within a second: each is recorded, few are kept whole.

use aground_testkit::house::root;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::Site;
use std::process::Command;
use std::time::Duration;

const CRASHES: usize = 200;

#[test]
fn a_storm_leaves_a_record_of_every_crash() {
    let site = Site::started();
    let program = site.path().join("storm");
    let source = root().join("tests/programs/storm/storm.c");
    finish(
        Command::new("gcc")
            .args(["-g", "-O1", "-o"])
            .arg(&program)
            .arg(source),
    )
    .ok();
    {
        let _claim = site.collect();
        finish(Command::new(&program).args([&CRASHES.to_string(), "16"])).ok();
        // The helpers end after the processes they were started for.
        eventually(Duration::from_mins(2), || {
            let there = site.ids(&["comm=storm"]).len();
            (there == CRASHES)
                .then_some(())
                .ok_or_else(|| format!("{there} of {CRASHES} are listed"))
        });
    }
    let kept = |kept: &str| site.ids(&["comm=storm", &format!("kept={kept}")]).len();
    assert_eq!(
        (kept("full"), kept("lean"), kept("none")),
        (3, 10, CRASHES - 13)
    );
    let limited = site.aground(&["governor", "--limited"]).ok();
    assert!(limited.contains("200"), "{limited}");
}
