//! The claim on `core_pattern` is given back however its owner ends.

use aground_testkit::core_pattern::{CorePattern, is_restored_within};
use aground_testkit::run::finish;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CHILD: &str = "AGROUND_IT_CLAIM_AND_DIE";

/// Runs itself as a child that claims, sets a pattern and is killed.
#[test]
fn a_killed_owner_leaves_the_pattern_as_it_was() {
    if std::env::var_os(CHILD).is_some() {
        let claim = CorePattern::claim();
        claim.set("/tmp/ag-killed-owner/core");
        aground_testkit::site::signal(std::process::id(), rustix::process::Signal::KILL);
        unreachable!("killed");
    }
    let test = std::env::current_exe().unwrap();
    let name = "kernel::claim::a_killed_owner_leaves_the_pattern_as_it_was";
    let child = finish(
        Command::new(test)
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1"),
    );
    assert_eq!(
        child.code, None,
        "the child was not killed: {}{}",
        child.stdout, child.stderr
    );
    assert!(
        is_restored_within(Duration::from_secs(5), Path::new("/tmp/ag-killed-owner")),
        "{}",
        CorePattern::value()
    );
}

#[test]
fn a_dropped_claim_leaves_the_pattern_as_it_was() {
    let claim = CorePattern::claim();
    let before = claim.before().0.to_owned();
    claim.set("/tmp/ag-dropped/core");
    assert_eq!(CorePattern::value(), "/tmp/ag-dropped/core");
    drop(claim);
    // Another test may have claimed it since, but this value is gone.
    assert_ne!(CorePattern::value(), "/tmp/ag-dropped/core");
    assert!(!before.contains("/tmp/ag-dropped"));
}
