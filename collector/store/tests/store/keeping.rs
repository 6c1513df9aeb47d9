//! Pins, memory that is given up, and what a kill in between leaves.

use crate::given::*;
use aground_helper::record::{Kept, Policy};
use aground_store::keeping::Keeping;
use aground_store::retention::{Action, Limits, Scope};
use aground_store::types::DumpStatus;
use aground_store::{Query, StoreError};
use std::fs;
use std::io::Write;

const REASON: &str = "the test says so";

fn state(given: &Given, number: u8) -> Keeping {
    let path = given.path("dumps").join(id(number).as_str());
    serde_json::from_slice(&fs::read(path.join("state.json")).unwrap()).unwrap()
}

fn without_database(given: Given) -> Given {
    let Given { directory, store } = given;
    drop(store);
    for file in ["aground.db", "aground.db-wal", "aground.db-shm"] {
        let _ = fs::remove_file(directory.path().join(file));
    }
    let store = aground_store::Store::open(directory.path()).unwrap();
    Given { directory, store }
}

#[test]
fn dropped_memory_leaves_record_report_and_log() {
    let given = Given::new();
    let first = with_modules(record(1), &[b"own", b"shared"]);
    let entry = given.spool(&first, &[b"own", b"shared"]);
    fs::write(entry.join("log.txt"), "last words").unwrap();
    given.store.admit(&first, &entry).unwrap();
    given.store.save_report(&first.id, &report(&["f"])).unwrap();
    let second = with_modules(record(2), &[b"shared"]);
    let entry = given.spool(&second, &[]);
    given.store.admit(&second, &entry).unwrap();

    assert_eq!(given.store.drop_memory(&first.id, REASON).unwrap(), 4);
    let dump = given.store.dump(&first.id).unwrap();
    assert_eq!(dump.summary.kept, "none");
    assert_eq!(dump.summary.dropped.as_deref(), Some(REASON));
    assert_eq!((dump.summary.core_bytes, dump.summary.memory_bytes), (0, 0));
    assert_eq!(dump.record.capture.kept, Kept::Full, "the record is frozen");
    assert!(dump.report.is_some());
    assert_eq!(dump.log_tail.as_deref(), Some("last words"));
    assert!(given.store.core(&first.id).unwrap().is_none());
    assert!(given.store.module(&sha256(b"own")).is_err());
    assert!(given.store.module(&sha256(b"shared")).is_ok());
    let events = given.store.events_after(0, 10).unwrap();
    assert_eq!(
        events.iter().filter(|event| event.kind == "memory").count(),
        1
    );
    // The report is the last there can be.
    let refused = given.store.queue_job(&first.id);
    assert!(
        matches!(refused, Err(StoreError::MemoryDropped)),
        "{refused:?}"
    );
    assert_eq!(given.found("kept:none"), [1]);
    assert_eq!(given.found("kept:full"), [2]);
}

#[test]
fn the_database_is_rebuilt_as_it_was() {
    let given = Given::new();
    for number in 1..=3 {
        let record = with_modules(record(number), &[&[number]]);
        let entry = given.spool(&record, &[&[number]]);
        given.store.admit(&record, &entry).unwrap();
        given
            .store
            .save_report(&record.id, &report(&["f"]))
            .unwrap();
    }
    given.store.pin(&id(1), true).unwrap();
    given.store.drop_memory(&id(2), REASON).unwrap();
    given
        .store
        .new_core(&id(3))
        .unwrap()
        .write_all(b"le")
        .unwrap();
    assert_eq!(given.store.replace_core(&id(3), 7, REASON).unwrap(), 2);
    let before: Vec<_> = (1..=3).map(|number| given.summary(&id(number))).collect();
    assert_eq!((before[2].kept.as_str(), before[2].core_bytes), ("lean", 7));
    let given = without_database(given);
    assert_eq!(given.store.reindex().unwrap().admitted, 3);
    let after: Vec<_> = (1..=3).map(|number| given.summary(&id(number))).collect();
    assert_eq!(before, after);
    assert_eq!(given.store.status().unwrap().modules, 2);
    assert_eq!(given.found("pinned:yes"), [1]);
    assert_eq!(given.found("pinned:no"), [3, 2]);
}

#[test]
fn a_pin_stays_with_what_else_is_known() {
    let given = Given::new();
    let id = given.analysed(&record(1), "f");
    given.store.drop_memory(&id, REASON).unwrap();
    given.store.pin(&id, true).unwrap();
    assert!(state(&given, 1).pinned && state(&given, 1).left.is_some());
    given.store.pin(&id, false).unwrap();
    let summary = given.summary(&id);
    assert_eq!((summary.pinned, summary.kept.as_str()), (false, "none"));
    let unknown = given.store.pin(&crate::given::id(9), true);
    assert!(matches!(unknown, Err(StoreError::NotFound("dump"))));
}

/// Puts the files where a kill after each step would leave them.
#[test]
fn a_kill_at_any_step_is_mended() {
    type Cut = fn(&std::path::Path, &std::path::Path);
    let cuts: [(&str, Cut); 4] = [
        ("state.json is written", |_, _| {}),
        ("the old core has left", |dump, trash| {
            fs::rename(dump.join("core.zst"), trash).unwrap();
        }),
        ("the new core is in place", |dump, trash| {
            fs::rename(dump.join("core.zst"), trash).unwrap();
            let _ = fs::rename(dump.join("core.zst.new"), dump.join("core.zst"));
        }),
        ("the row is written", |_, trash| {
            fs::write(trash, "core").unwrap();
        }),
    ];
    for kept in ["none", "lean"] {
        for (step, cut) in cuts {
            for database in [true, false] {
                let given = Given::new();
                let id = given.analysed(&record(1), "f");
                let dump = given.path("dumps").join(id.as_str());
                let trash = given.path("trash").join(format!("{id}.core"));
                if step == "the row is written" {
                    if kept == "lean" {
                        given.store.new_core(&id).unwrap().write_all(b"le").unwrap();
                        given.store.replace_core(&id, 7, REASON).unwrap();
                    } else {
                        given.store.drop_memory(&id, REASON).unwrap();
                    }
                } else {
                    let left = format!(
                        r#"{{"schema":1,"left":{{"kept":"{kept}","core_bytes":7,"reason":"{REASON}","at_ms":1}}}}"#
                    );
                    fs::write(dump.join("state.json"), left).unwrap();
                    if kept == "lean" {
                        fs::write(dump.join("core.zst.new"), "le").unwrap();
                    }
                }
                cut(&dump, &trash);
                let given = if database {
                    given.restart()
                } else {
                    without_database(given)
                };
                given.store.reindex().unwrap();
                let summary = given.summary(&id);
                assert_eq!(summary.kept, kept, "{step}, database: {database}");
                assert_eq!(summary.dropped.as_deref(), Some(REASON));
                assert_eq!(summary.status, DumpStatus::Analyzed);
                let memory = if kept == "lean" { 2 } else { 0 };
                assert_eq!(summary.memory_bytes, memory, "{step}");
                assert_eq!(given.store.core(&id).unwrap().is_some(), kept == "lean");
                assert!(!dump.join("core.zst.new").exists() && !trash.exists());
            }
        }
    }
}

#[test]
fn a_core_that_was_being_made_smaller_is_still_whole() {
    let given = Given::new();
    let id = given.analysed(&record(1), "f");
    given.store.new_core(&id).unwrap().write_all(b"l").unwrap();
    let given = given.restart();
    given.store.reindex().unwrap();
    let dump = given.path("dumps").join(id.as_str());
    assert!(!dump.join("core.zst.new").exists());
    assert_eq!(given.summary(&id).kept, "full");
}

#[test]
fn plans_come_from_rows() {
    let given = Given::new();
    let trace = {
        let mut record = record(1);
        record.capture.policy = Policy::Trace;
        record
    };
    let traced = given.admitted(&trace);
    let loops = in_container(2, "web", "api:1", &[]);
    let looped = given.analysed(&loops, "g");
    given.analysed(&record(3), "h");
    given.store.pin(&id(3), true).unwrap();

    let plan = |limits: &Limits| given.store.plan_retention(limits, &Scope::default());
    assert_eq!(plan(&Limits::default()).unwrap().steps, [], "no report yet");
    given.store.save_report(&traced, &report(&["f"])).unwrap();
    let steps = plan(&Limits::default()).unwrap().steps;
    assert_eq!(steps.len(), 1);
    assert_eq!(
        (&steps[0].id, steps[0].action),
        (&traced, Action::DropMemory)
    );
    given.store.drop_memory(&traced, &steps[0].reason).unwrap();
    assert_eq!(plan(&Limits::default()).unwrap().steps, []);

    let nothing = Limits {
        max_bytes: Some(0),
        ..Limits::default()
    };
    let planned = plan(&nothing).unwrap();
    assert_eq!(planned.steps, [given_step(&looped, &planned)]);
    assert!(planned.unmet.is_some(), "a pinned dump is there");

    let scope = Scope {
        query: Query::parse("image:api").unwrap(),
        ..Scope::default()
    };
    let asked = given.store.plan_prune(Action::Delete, &scope).unwrap();
    let ids: Vec<_> = asked.steps.iter().map(|step| &step.id).collect();
    assert_eq!(ids, [&looped]);
    let all = given
        .store
        .plan_prune(Action::Delete, &Scope::default())
        .unwrap();
    assert_eq!(all.steps.len(), 2);
}

/// The only step there can be: its memory goes, its record stays because a pin makes deleting vain.
fn given_step(
    id: &aground_helper::id::DumpId,
    plan: &aground_store::retention::Plan,
) -> aground_store::retention::Step {
    let reason = plan.steps[0].reason.clone();
    assert!(reason.contains("the quota is 0 bytes"), "{reason}");
    aground_store::retention::Step {
        id: id.clone(),
        action: Action::DropMemory,
        reason,
        frees: 4,
    }
}
