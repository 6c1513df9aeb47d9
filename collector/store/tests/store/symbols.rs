//! Files of symbols: how much of them is kept, and what crashes lack.

use crate::given::*;
use aground_analyzer::describe::Description;
use aground_analyzer::report::{Module, Report};
use aground_store::symbols::{Source, SymbolFile};
use std::fs;

/// Keeps ten bytes under a build ID.
fn keep(given: &Given, build_id: &str) {
    let from = given.path(&format!("from-{build_id}"));
    fs::write(&from, [7; 10]).unwrap();
    let description = Description {
        build_id: build_id.to_owned(),
        debug: "dwarf".to_owned(),
        ..Description::default()
    };
    let file = SymbolFile::new(description, "a.debug", Source::Uploaded, 10, NOON);
    given.store.keep_symbols(&from, &file).unwrap();
}

fn kept(given: &Given) -> Vec<String> {
    let files = given.store.symbols().unwrap();
    files.into_iter().map(|file| file.build_id).collect()
}

/// A report with a module that lacks files.
fn lacking(module: &str, wanted: &[&str]) -> Report {
    let module = Module {
        path: module.to_owned(),
        wanted: wanted.iter().copied().map(str::to_owned).collect(),
        ..Module::default()
    };
    Report {
        modules: vec![module],
        ..report(&["f"])
    }
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let given = Given::new();
    for build_id in ["aaaa", "bbbb", "cccc", "dddd"] {
        keep(&given, build_id);
    }
    for build_id in ["bbbb", "dddd", "aaaa", "cccc"] {
        std::thread::sleep(std::time::Duration::from_millis(20));
        given.store.use_symbols(build_id).unwrap().unwrap();
    }
    assert!(given.store.limit_symbols(40).unwrap().is_empty());
    let removed = given.store.limit_symbols(29).unwrap();
    let removed: Vec<_> = removed.iter().map(|file| &*file.build_id).collect();
    assert_eq!(removed, ["bbbb", "dddd"]);
    assert_eq!(kept(&given), ["aaaa", "cccc"]);
    assert_eq!(given.store.limit_symbols(0).unwrap().len(), 2);
    assert_eq!(names(&given.path("symbols")), [""; 0]);
}

/// `-Wl,--build-id=0xab` is a build ID too.
#[test]
fn a_build_id_that_is_no_name_of_a_file_has_no_symbols() {
    let given = Given::new();
    for build_id in ["ab", "program-ab", "program-", "program-../x", ""] {
        assert!(given.store.use_symbols(build_id).unwrap().is_none());
        assert!(!given.store.has_symbols(build_id));
    }
}

#[test]
fn what_a_queued_analysis_may_need_stays() {
    let given = Given::new();
    for build_id in ["aaaa", "bbbb", "cccc"] {
        keep(&given, build_id);
    }
    let id = given.admitted(&record(1));
    given
        .store
        .save_report(&id, &lacking("/app", &["bbbb"]))
        .unwrap();
    given.store.queue_job(&id).unwrap();
    given.store.limit_symbols(0).unwrap();
    assert_eq!(kept(&given), ["bbbb"]);
    given.store.save_report(&id, &report(&["f"])).unwrap();
    given.store.limit_symbols(0).unwrap();
    assert_eq!(kept(&given), [""; 0]);
}

#[test]
fn what_crashes_lack_is_counted_and_forgotten_with_them() {
    let given = Given::new();
    let reports = [
        lacking("/lib/libc.so.6", &["c0c0", "d0d0"]),
        lacking("/lib/libc.so.6", &["c0c0"]),
        lacking(
            "/app",
            &["c0c0", "../../etc", "C0C0", "", "a0 b0", &"a".repeat(500)],
        ),
    ];
    let ids: Vec<_> = (1..=3).map(|n| given.admitted(&record(n))).collect();
    for (id, report) in ids.iter().zip(&reports) {
        given.store.save_report(id, report).unwrap();
    }
    let missing = || {
        let missing = given.store.missing_symbols(10).unwrap();
        let shown = missing.into_iter().map(|it| (it.build_id, it.crashes));
        shown.collect::<Vec<_>>()
    };
    assert_eq!(missing(), [("c0c0".into(), 3), ("d0d0".into(), 1)]);
    keep(&given, "c0c0");
    assert_eq!(missing(), [("d0d0".into(), 1)]);
    assert_eq!(given.store.symbols_to_request(10).unwrap(), ["d0d0"]);
    given
        .store
        .note_request("d0d0", "no server has it", 60_000)
        .unwrap();
    assert_eq!(given.store.symbols_to_request(10).unwrap(), [""; 0]);
    given
        .store
        .note_request("d0d0", "no server has it", -1)
        .unwrap();
    assert_eq!(given.store.symbols_to_request(10).unwrap(), ["d0d0"]);
    given.store.remove_dump(&ids[0]).unwrap();
    assert_eq!(missing(), []);
    // A dump is found by what it lacks, also where its record knows no such module.
    assert_eq!(given.store.dumps_with_build_id("c0c0").unwrap().len(), 2);
    // Lacking again what was removed.
    given.store.remove_symbols("c0c0").unwrap();
    assert_eq!(missing(), [("c0c0".into(), 2)]);
}
