//! The workers' sandbox, from inside: the analyzer's own program enters it and tries to get out.

use aground_testkit::house::program;
use aground_testkit::run::{finish, run};
use aground_testkit::site::{Site, USER};
use std::process::Command;

/// Checks that all attempts were refused by the sandbox; returns the user the worker became.
#[track_caller]
fn user_of_tight(output: &str) -> String {
    let lines: Vec<(&str, &str)> = output
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let (facts, attempts) = lines.split_at(2);
    for (what, answer) in attempts {
        assert_eq!(*answer, "Operation not permitted (os error 1)", "{what}");
    }
    for what in [
        "open a file",
        "connect by TCP",
        "fork",
        "become another program",
        "trace its parent",
    ] {
        assert!(attempts.iter().any(|attempt| attempt.0 == what), "{output}");
    }
    let (name, user) = facts[1];
    assert_eq!(name, "user", "{output}");
    user.to_owned()
}

#[test]
fn nothing_that_root_starts_gets_out_and_it_is_root_no_more() {
    let escape = || user_of_tight(&run(program("aground-analyzer"), &["escape"]).ok());
    let (one, other) = (escape(), escape());
    assert!(one.parse::<u32>().is_ok(), "{one}");
    assert!(
        one == "65534" || one != other,
        "two workers share the user {one}"
    );
}

#[test]
fn nothing_that_a_user_starts_gets_out() {
    let site = Site::started();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", "nogroup", "--clear-groups"]);
    command.arg(site.program("aground-analyzer")).arg("escape");
    assert_eq!(user_of_tight(&finish(&mut command).ok()), "unchanged");
}

/// A worker whose daemon is gone before it is confined does not begin.
#[test]
fn a_worker_without_its_parent_ends() {
    let refused = run(program("aground-analyzer"), &["worker", "--parent", "1"]);
    assert!(
        refused.stderr.contains("started this is gone"),
        "{}",
        refused.stderr
    );
    refused.one_line_error();
}
