//! A kill between any two steps, as the next start finds it.

use crate::given::*;
use aground_store::Query;
use aground_store::Reindexed;
use aground_store::types::{DumpStatus, PageRequest};
use std::fs;

#[test]
fn killed_after_the_modules_moved() {
    let given = Given::new();
    let record = with_modules(record(1), &[b"one", b"two"]);
    let entry = given.spool(&record, &[b"one", b"two"]);
    let moved = given.path("modules").join(&sha256(b"one")[..2]);
    fs::create_dir_all(&moved).unwrap();
    fs::rename(
        entry.join("modules").join(sha256(b"one")),
        moved.join(sha256(b"one")),
    )
    .unwrap();
    let given = given.restart();
    // Nobody counts on the module yet, but the entry in the spool will.
    assert_eq!(given.store.reindex().unwrap(), Reindexed::default());
    given.store.admit(&record, &entry).unwrap();
    assert!(
        given.store.module(&sha256(b"one")).is_ok() && given.store.module(&sha256(b"two")).is_ok()
    );
    assert_eq!(given.store.status().unwrap().modules, 2);
}

#[test]
fn killed_between_rename_and_row() {
    let given = Given::new();
    let record = in_container(1, "web", "api", &[]);
    let entry = given.spool(&record, &[]);
    fs::rename(&entry, given.path("dumps").join(record.id.as_str())).unwrap();
    let given = given.restart();
    assert_eq!(given.store.status().unwrap().dumps, 0);
    assert_eq!(given.store.reindex().unwrap().admitted, 1);
    assert_eq!(given.summary(&record.id).status, DumpStatus::Pending);
    assert_eq!(given.store.lease_job(1000).unwrap().unwrap().id, record.id);
    assert_eq!(given.store.reindex().unwrap(), Reindexed::default());
}

#[test]
fn killed_during_analysis() {
    let given = Given::new();
    let id = given.admitted(&record(1));
    given.store.lease_job(3_600_000).unwrap();
    let given = given.restart();
    assert_eq!(given.store.requeue_leases().unwrap(), 1);
    assert_eq!(given.summary(&id).status, DumpStatus::Pending);
    let job = given.store.lease_job(1000).unwrap().unwrap();
    assert_eq!((job.id, job.attempts), (id, 2));
}

#[test]
fn killed_between_report_and_row() {
    let given = Given::new();
    let id = given.admitted(&record(1));
    given.store.lease_job(3_600_000).unwrap();
    let json = serde_json::to_vec(&report(&["f"])).unwrap();
    fs::write(
        given.path("dumps").join(id.as_str()).join("report.json"),
        &json,
    )
    .unwrap();
    fs::write(
        given.path("dumps").join(id.as_str()).join("report.new"),
        &json[..9],
    )
    .unwrap();
    let given = given.restart();
    given.store.requeue_leases().unwrap();
    assert_eq!(given.store.lease_job(1000).unwrap().unwrap().id, id);
    given.store.save_report(&id, &report(&["f"])).unwrap();
    assert_eq!(given.found("frame:f"), [1]);
}

#[test]
fn killed_during_removal() {
    let given = Given::new();
    let record = with_modules(record(1), &[b"module"]);
    given
        .store
        .admit(&record, &given.spool(&record, &[b"module"]))
        .unwrap();
    given
        .store
        .save_report(&record.id, &report(&["f"]))
        .unwrap();
    fs::rename(
        given.path("dumps").join(record.id.as_str()),
        given.path("trash").join(record.id.as_str()),
    )
    .unwrap();
    let given = given.restart();
    assert_eq!(
        given.store.reindex().unwrap(),
        Reindexed {
            removed: 1,
            ..Reindexed::default()
        }
    );
    let status = given.store.status().unwrap();
    assert_eq!((status.dumps, status.groups, status.modules), (0, 0, 0));
    assert!(given.store.module(&sha256(b"module")).is_err());
    assert_eq!(names(&given.path("trash")), [""; 0]);
}

#[test]
fn killed_while_a_module_was_leaving() {
    let given = Given::new();
    let record = with_modules(record(1), &[b"needed"]);
    given
        .store
        .admit(&record, &given.spool(&record, &[b"needed"]))
        .unwrap();
    let at = |bytes: &[u8]| {
        given
            .path("modules")
            .join(&sha256(bytes)[..2])
            .join(sha256(bytes))
    };
    let (needed, unneeded) = (at(b"needed"), at(b"unneeded"));
    fs::rename(&needed, needed.with_extension("leaving")).unwrap();
    fs::create_dir_all(unneeded.parent().unwrap()).unwrap();
    fs::write(unneeded.with_extension("leaving"), b"unneeded").unwrap();
    given.store.reindex().unwrap();
    assert!(needed.exists() && !unneeded.with_extension("leaving").exists() && !unneeded.exists());
}

#[test]
fn the_database_is_rebuilt_from_the_files() {
    let given = Given::new();
    for number in 0..6 {
        let record = with_modules(
            in_container(number, "web", "api:1", &[("a", "b")]),
            &[b"module"],
        );
        given
            .store
            .admit(&record, &given.spool(&record, &[b"module"]))
            .unwrap();
    }
    for number in 0..4 {
        given
            .store
            .save_report(&id(number), &report(&["f"]))
            .unwrap();
    }
    given
        .store
        .assign(&id(4), &report(&["SIGSEGV"]), Some("timed out"))
        .unwrap();
    let seen = |given: &Given| {
        let dumps = given
            .store
            .dumps(&Query::default(), &PageRequest::default())
            .unwrap();
        let groups = given
            .store
            .groups(&Query::default(), &PageRequest::default(), hour())
            .unwrap();
        let mut status = given.store.status().unwrap();
        (
            status.database_bytes,
            status.free_bytes,
            status.oldest_pending_ms,
        ) = (0, 0, None);
        (dumps, groups, status)
    };
    let before = seen(&given);
    let Given { directory, store } = given;
    drop(store);
    for name in ["aground.db", "aground.db-wal", "aground.db-shm"] {
        let _ = fs::remove_file(directory.path().join(name));
    }
    let store = aground_store::Store::open(directory.path()).unwrap();
    let given = Given { directory, store };
    assert_eq!(given.store.reindex().unwrap().admitted, 6);
    assert_eq!(seen(&given), before);
}

#[test]
fn unreadable_directories_are_named_and_left_alone() {
    let given = Given::new();
    let other = given.path("dumps").join(id(1).as_str());
    fs::create_dir_all(&other).unwrap();
    fs::write(
        other.join("record.json"),
        serde_json::to_vec(&record(2)).unwrap(),
    )
    .unwrap();
    let broken = given.path("dumps").join(id(3).as_str());
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("record.json"), b"{").unwrap();
    fs::create_dir_all(given.path("dumps").join(id(4).as_str())).unwrap();
    fs::create_dir_all(given.path("dumps/what")).unwrap();
    let mut told = given.store.reindex().unwrap().unreadable;
    told.sort();
    let reasons: Vec<_> = told
        .iter()
        .map(|(_, reason)| reason.split(':').next().unwrap())
        .collect();
    let unreadable = format!("cannot read {}/record.json", broken.display());
    assert_eq!(
        reasons,
        [
            &format!("its record is of dump {}", id(2)),
            &unreadable,
            "no record.json",
            "not a dump id"
        ]
    );
    assert_eq!(names(&given.path("dumps")).len(), 4);
    assert_eq!(given.store.status().unwrap().dumps, 0);
}
