//! One bug is one group, by whatever way it was reached, and with another bug never.
//!
//! Ten of the bugs that `tests/bench/grouping` measures with, by three ways each, in a build with
//! symbols and a stripped one.

use aground_testkit::house::root;
use aground_testkit::run::finish;
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const BUGS: usize = 10;
const WAYS: usize = 3;

fn built(site: &Site, name: &str, options: &[&str]) -> PathBuf {
    let program = site.path().join(name);
    let source = root().join("tests/bench/grouping/bugs.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-w", "-pthread"]).args(options);
    finish(gcc.arg("-o").arg(&program).arg(source)).ok();
    program
}

fn crash_all(program: &Path) {
    for bug in 0..BUGS {
        for way in 0..WAYS {
            let numbers = [bug.to_string(), way.to_string()];
            finish(Command::new(program).args(numbers));
        }
    }
}

/// Bug and group of each dump of a program.
fn grouped(dumps: &[Value], program: &Path) -> Vec<(usize, String)> {
    let of = |dump: &&Value| dump["summary"]["executable"] == text(program);
    let bug = |dump: &Value| {
        let arguments = &dump["record"]["process"]["args"];
        let bug = arguments[1].as_str().unwrap().parse().unwrap();
        (bug, dump["summary"]["group"].as_str().unwrap().to_owned())
    };
    let found: Vec<_> = dumps.iter().filter(of).map(bug).collect();
    assert_eq!(found.len(), BUGS * WAYS);
    found
}

/// Mean of the shares of each crash's bug that are in its group.
#[allow(clippy::cast_precision_loss, reason = "small counts")]
fn recall(grouped: &[(usize, String)]) -> f64 {
    let together = |(bug, group): &(usize, String)| {
        let same = grouped.iter().filter(|other| other.0 == *bug);
        let (all, here) = same.fold((0_usize, 0_usize), |(all, here), other| {
            (all + 1, here + usize::from(other.1 == *group))
        });
        here as f64 / all as f64
    };
    grouped.iter().map(together).sum::<f64>() / grouped.len() as f64
}

#[track_caller]
fn check(grouped: &[(usize, String)], least: f64, titles: &BTreeMap<String, String>) {
    let mut bugs: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (bug, group) in grouped {
        bugs.entry(group).or_default().insert(*bug);
    }
    let mixed: Vec<_> = bugs.iter().filter(|(_, bugs)| bugs.len() > 1).collect();
    assert!(
        mixed.is_empty(),
        "groups of several bugs: {mixed:?} {titles:?}"
    );
    // Nothing is mixed, so precision is 1.
    let recall = recall(grouped);
    let f1 = 2.0 * recall / (1.0 + recall);
    assert!(f1 >= least, "F1 is {f1}: {bugs:?} {titles:?}");
}

#[test]
fn a_bug_is_one_group_by_whatever_way_it_was_reached() {
    let mut site = Site::new();
    site.start_with_config("[capture.governor]\nenabled = false\n");
    let named = built(&site, "named", &["-g", "-O2"]);
    let stripped = built(&site, "stripped", &["-O1", "-s"]);
    {
        let _claim = site.collect();
        for program in [&named, &stripped] {
            crash_all(program);
        }
    }
    let dumps = site.wait_for(2 * BUGS * WAYS, &[]);
    let groups = site.get("/api/v1/groups?limit=1000").json();
    let title = |group: &Value| {
        let word = |key: &str| group[key].as_str().unwrap().to_owned();
        (word("id"), word("title"))
    };
    let titles = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(title)
        .collect();
    check(&grouped(&dumps, &named), 0.95, &titles);
    check(&grouped(&dumps, &stripped), 0.85, &titles);

    // The page and the command line tell why, and how near the next is.
    let id = titles
        .iter()
        .find(|(_, title)| title.starts_with("parse_header"))
        .unwrap()
        .0;
    let told = site.aground(&["groups", "explain", id]).ok();
    assert!(
        told.contains("this group") && told.contains("WEIGHT"),
        "{told}"
    );
    let other = titles
        .iter()
        .find(|(_, title)| title.starts_with("render_name"))
        .unwrap()
        .0;
    let diff = site.aground(&["groups", "diff", id, other]).ok();
    assert!(
        diff.contains("parse_header") && diff.contains("render_name"),
        "{diff}"
    );
    let rules = site.path().join("rules");
    std::fs::write(&rules, "drop parse_header named\n").unwrap();
    let tried = site.aground(&["groups", "try", text(&rules)]).ok();
    assert!(tried.contains("would part into"), "{tried}");
    std::fs::write(&rules, "forget parse_header named\n").unwrap();
    let wrong = site
        .aground(&["groups", "try", text(&rules)])
        .one_line_error();
    assert!(wrong.contains("line 1: \"forget\" is no action"), "{wrong}");
}
