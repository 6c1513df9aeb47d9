//! Which group a crash finds, in whatever order crashes come.

use crate::given::{Given, record, report};
use aground_analyzer::group::{Rules, SAME, sign_again};
use aground_analyzer::report::{Address, Report};
use std::collections::BTreeSet;

/// A report whose frames have no names.
fn nameless(offsets: &[u64]) -> Report {
    let names: Vec<String> = offsets
        .iter()
        .map(|offset| format!("server+{offset:#x}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut report = report(&names);
    "offsets".clone_into(&mut report.signature.kind);
    for (frame, offset) in report.signature.frames.iter_mut().zip(offsets) {
        frame.key = Some(format!("abcd+{offset:#x}"));
    }
    for (frame, offset) in report.threads[0].frames.iter_mut().zip(offsets) {
        (frame.function, frame.offset) = (None, Some(Address(*offset)));
    }
    report
}

/// Takes one crash in per report; the group of each.
fn groups(given: &Given, reports: &[Report]) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, report) in (1..).zip(reports) {
        let id = given.admitted(&record(number));
        given.store.save_report(&id, report).unwrap();
        ids.push(id);
    }
    ids.iter()
        .map(|id| given.summary(id).group.unwrap())
        .collect()
}

#[test]
fn one_bug_by_many_ways_is_one_group_whatever_comes_first() {
    let stacks: [&[&str]; 7] = [
        &["parse", "get", "serve", "main"],
        &["render", "get", "serve", "main"],
        &["parse", "post", "retry", "serve", "main"],
        &["get", "serve", "main"],
        &["render", "post", "main"],
        &["parse", "replay", "main"],
        &["walk", "parse", "replay", "main"],
    ];
    let bugs = [0, 1, 0, 2, 1, 0, 3];
    for first in 0..stacks.len() {
        let given = Given::new();
        let order: Vec<usize> = (0..stacks.len())
            .map(|at| (at * 3 + first) % stacks.len())
            .collect();
        let reports: Vec<Report> = order.iter().map(|at| report(stacks[*at])).collect();
        let groups = groups(&given, &reports);
        for (a, one) in order.iter().zip(&groups) {
            for (b, other) in order.iter().zip(&groups) {
                assert_eq!(
                    bugs[*a] == bugs[*b],
                    one == other,
                    "{:?} {:?}",
                    stacks[*a],
                    stacks[*b]
                );
            }
        }
    }
}

#[test]
fn causes_that_do_not_look_alike_stay_apart() {
    let given = Given::new();
    let mut asserted = report(&["parse", "get", "main"]);
    asserted.signature.class = "assertion: n".to_owned();
    asserted.signature.hash.replace_range(..1, "0");
    let labelled = |hash: &str| {
        let mut report = report(&["parse", "get", "main"]);
        "label".clone_into(&mut report.signature.kind);
        report.signature.hash = hash.repeat(32);
        report
    };
    let reports = [
        report(&["parse", "get", "main"]),
        asserted,
        labelled("1a"),
        labelled("2b"),
    ];
    let groups: BTreeSet<String> = groups(&given, &reports).into_iter().collect();
    assert_eq!(groups.len(), 4);
}

#[test]
fn when_symbols_come_a_group_keeps_its_id() {
    let given = Given::new();
    let stacks: [&[u64]; 3] = [
        &[0x1000, 0x2000, 0x9000],
        &[0x1000, 0x3000, 0x9000],
        &[0x4000, 0x9000],
    ];
    let before = groups(&given, &stacks.map(nameless));
    assert_eq!((&before[0], before[0] != before[2]), (&before[1], true));
    let named: [&[&str]; 3] = [
        &["parse", "get", "main"],
        &["parse", "post", "main"],
        &["render", "main"],
    ];
    for (number, functions) in (1..).zip(named) {
        given
            .store
            .save_report(&record(number).id, &report(functions))
            .unwrap();
    }
    let group = |number: u8| given.summary(&record(number).id).group.unwrap();
    assert_eq!(
        [group(1), group(2), group(3)],
        [before[0].clone(), before[0].clone(), before[2].clone()]
    );
    let title = given
        .store
        .group(&before[0], crate::given::hour())
        .unwrap()
        .title;
    assert_eq!(title, "parse | get | main");
}

#[test]
fn a_bug_that_is_known_by_name_already_takes_its_nameless_crashes_in() {
    let given = Given::new();
    let known = groups(
        &given,
        &[
            report(&["parse", "get", "main"]),
            nameless(&[0x1000, 0x2000]),
        ],
    );
    assert_ne!(known[0], known[1]);
    given
        .store
        .save_report(&record(2).id, &report(&["parse", "post", "main"]))
        .unwrap();
    assert_eq!(given.summary(&record(2).id).group.unwrap(), known[0]);
    // Whoever has the old id finds the group that it became.
    assert_eq!(given.store.resolve_group(&known[1]).unwrap(), known[0]);
}

#[test]
fn a_crash_that_turns_out_to_be_another_bug_leaves() {
    let given = Given::new();
    let before = groups(
        &given,
        &[
            report(&["parse", "get", "main"]),
            report(&["parse", "post", "main"]),
        ],
    );
    assert_eq!(before[0], before[1]);
    given
        .store
        .save_report(&record(2).id, &report(&["render", "post", "main"]))
        .unwrap();
    assert_ne!(given.summary(&record(2).id).group.unwrap(), before[0]);
    assert_eq!(given.summary(&record(1).id).group.unwrap(), before[0]);
}

/// A report that was signed by the rules that come with the program.
fn signed(functions: &[&str]) -> Report {
    let mut report = report(functions);
    report.signature = sign_again(&report, Rules::built_in());
    report
}

#[test]
fn the_nearest_groups_and_the_weights_of_frames_are_told() {
    let given = Given::new();
    let stacks: [&[&str]; 4] = [
        &["parse", "get", "main"],
        &["parse", "post", "main"],
        &["render", "parse", "get", "main"],
        &["sort", "rank"],
    ];
    let groups = groups(&given, &stacks.map(signed));
    let like = given.store.like(&record(1).id).unwrap();
    assert_eq!(like[0].group, groups[0]);
    assert!(like[0].likeness >= SAME, "{like:?}");
    assert_eq!((like.len(), &like[1].group), (2, &groups[2]), "{like:?}");
    assert!((0.2..SAME).contains(&like[1].likeness), "{like:?}");
    let weights = given.store.weights(&signed(stacks[0]).signature).unwrap();
    let seen: Vec<u64> = weights
        .iter()
        .map(|weight| weight.unwrap().groups)
        .collect();
    assert_eq!(seen, [2, 2, 2]);
    assert!(weights[0].unwrap().weight > weights[1].unwrap().weight);
}

/// A worker that read a hostile core may claim any number of frames.
#[test]
fn a_signature_counts_no_more_frames_than_real_ones_have() {
    let given = Given::new();
    let names: Vec<String> = (0..10_000).map(|number| format!("f{number}")).collect();
    let endless = report(&names.iter().map(String::as_str).collect::<Vec<_>>());
    groups(&given, std::slice::from_ref(&endless));
    let weights = given.store.weights(&endless.signature).unwrap();
    let counted = weights.iter().flatten().filter(|weight| weight.groups > 0);
    assert_eq!(counted.count(), 64);
}

#[test]
fn rules_are_tried_without_changing_anything() {
    let given = Given::new();
    let stacks: [&[&str]; 4] = [
        &["append", "push", "main"],
        &["append", "insert", "main"],
        &["xlog", "check", "main"],
        &["check", "audit", "main"],
    ];
    let before = groups(&given, &stacks.map(signed));
    assert_eq!(before[0], before[1]);
    let rules = Rules::with_own("helper append *\ndrop xlog *").unwrap();
    let trial = given
        .store
        .try_rules(Rules::built_in(), &rules, 1000)
        .unwrap();
    assert_eq!((trial.dumps, trial.signatures), (4, 3));
    assert_eq!((trial.before, trial.after), (3, 3));
    assert_eq!(trial.split.len(), 1, "{trial:?}");
    assert_eq!(trial.split[0].group.as_ref(), Some(&before[0]));
    assert_eq!(trial.merged.len(), 1, "{trial:?}");
    let newest = given.store.try_rules(Rules::built_in(), &rules, 1).unwrap();
    assert_eq!(newest.dumps, 1);
    let now = (1..=4).map(|number| given.summary(&record(number).id).group.unwrap());
    assert_eq!(now.collect::<Vec<_>>(), before);
}

#[test]
fn crashes_are_signed_anew_and_groups_keep_their_ids() {
    let given = Given::new();
    let stacks: [&[&str]; 3] = [
        &["xlog", "check", "main"],
        &["xlog", "check", "serve", "main"],
        &["sort", "rank"],
    ];
    let before = groups(&given, &stacks.map(signed));
    assert_eq!(before[0], before[1]);
    let rules = Rules::with_own("drop xlog *").unwrap();
    let due = given.store.signed_otherwise(&rules, 0, 100).unwrap();
    assert_eq!(due.len(), 3);
    for (_, id) in &due {
        let report = given.store.report(id).unwrap();
        let revision = report.revision;
        let moved = given.store.sign(id, &sign_again(&report, &rules)).unwrap();
        assert!(!moved, "{id}");
        assert_eq!(given.store.report(id).unwrap().revision, revision);
    }
    given.store.forget_signatures(&rules).unwrap();
    assert!(
        given
            .store
            .signed_otherwise(&rules, 0, 100)
            .unwrap()
            .is_empty()
    );
    let title = given
        .store
        .group(&before[0], crate::given::hour())
        .unwrap()
        .title;
    assert_eq!(title, "check | main");
    // What comes now finds them.
    let id = given.admitted(&record(9));
    let mut report = signed(&["xlog", "check", "retry", "main"]);
    report.signature = sign_again(&report, &rules);
    given.store.save_report(&id, &report).unwrap();
    assert_eq!(given.summary(&id).group.unwrap(), before[0]);
}

#[test]
fn what_no_crash_has_any_more_is_forgotten() {
    let given = Given::new();
    let rows = |given: &Given| -> Vec<i64> {
        let sql = rusqlite::Connection::open(given.path("aground.db")).unwrap();
        ["signatures", "signature_frames", "home_frames", "terms"]
            .map(|table| {
                let count = format!("SELECT count(*) FROM {table}");
                sql.query_row(&count, [], |row| row.get(0)).unwrap()
            })
            .into()
    };
    let nothing = rows(&given);
    let mut stacks = [
        signed(&["parse", "get", "main"]),
        signed(&["parse", "post", "main"]),
        signed(&["sort", "rank"]),
        nameless(&[0x1000, 0x2000]),
    ];
    stacks[2].signature.class = "panic: none".to_owned();
    let of = groups(&given, &stacks);
    assert_eq!(of[0], of[1]);
    // Symbols came: the nameless signature is the group's no more, but leads to it.
    let named = signed(&["render", "main"]);
    given.store.save_report(&record(4).id, &named).unwrap();
    given.store.remove_dump(&record(1).id).unwrap();
    assert_eq!(
        given.store.weights(&stacks[0].signature).unwrap()[1]
            .unwrap()
            .groups,
        0
    );
    assert_eq!(
        given.store.weights(&stacks[1].signature).unwrap()[0]
            .unwrap()
            .groups,
        1
    );
    // The group keeps its id when it is signed anew though the crash that it began with is gone.
    let rules = Rules::with_own("drop parse *").unwrap();
    let report = given.store.report(&record(2).id).unwrap();
    given
        .store
        .sign(&record(2).id, &sign_again(&report, &rules))
        .unwrap();
    assert_eq!(given.summary(&record(2).id).group.unwrap(), of[1]);
    for number in 2..=4 {
        given.store.remove_dump(&record(number).id).unwrap();
    }
    assert_eq!(rows(&given), nothing);
}
