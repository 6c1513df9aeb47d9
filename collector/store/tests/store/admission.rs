//! Taking dumps in, and handing them out and removing them again.

use crate::given::*;
use aground_store::types::{DumpStatus, PageRequest};
use aground_store::{Query, ResolveError, Store, StoreError};
use std::fs;
use std::io::Read;

#[test]
fn a_dump_comes_out_as_it_went_in() {
    let given = Given::new();
    let record = with_modules(
        in_container(7, "web", "api:1.42", &[("team", "core")]),
        &[b"module"],
    );
    let entry = given.spool(&record, &[b"module"]);
    fs::write(entry.join("log.txt"), b"last words \xff\n").unwrap();
    given.store.admit(&record, &entry).unwrap();

    let dump = given.store.dump(&record.id).unwrap();
    assert_eq!(dump.record, record);
    assert_eq!(dump.report, None);
    assert_eq!(dump.log_tail.as_deref(), Some("last words \u{fffd}\n"));
    let summary = dump.summary;
    let container = summary.container.clone().unwrap();
    assert_eq!(
        container.labels.get("team").map(String::as_str),
        Some("core")
    );
    assert_eq!(
        (container.name.as_deref(), container.image.as_deref()),
        (Some("web"), Some("api:1.42"))
    );
    assert_eq!(
        (summary.pid, summary.command.as_str()),
        (4007, "/app/server --port=80")
    );
    assert_eq!(
        (summary.status, summary.kept.as_str(), summary.hold_us),
        (DumpStatus::Pending, "full", Some(1500))
    );
    assert!(summary.stored_bytes > 4 && summary.core_bytes == 1 << 20);

    let mut core = String::new();
    given
        .store
        .core(&record.id)
        .unwrap()
        .unwrap()
        .read_to_string(&mut core)
        .unwrap();
    assert_eq!(core, "core");
    let mut module = String::new();
    given
        .store
        .module(&sha256(b"module"))
        .unwrap()
        .read_to_string(&mut module)
        .unwrap();
    assert_eq!(module, "module");
    assert_eq!(names(&given.path("spool/ready")), [""; 0]);
    assert_eq!(
        names(&given.path("dumps").join(record.id.as_str())),
        ["core.zst", "log.txt", "record.json"]
    );
}

#[test]
fn admitted_twice_is_admitted_once() {
    let given = Given::new();
    let record = with_modules(in_container(1, "web", "api", &[]), &[b"module"]);
    let entry = given.spool(&record, &[b"module"]);
    given.store.admit(&record, &entry).unwrap();
    // The entry is gone now.
    given.store.admit(&record, &entry).unwrap();
    // The entry is there again.
    let entry = given.spool(&record, &[b"module"]);
    given.store.admit(&record, &entry).unwrap();
    assert_eq!(names(&given.path("spool/ready")), [""; 0]);
    let status = given.store.status().unwrap();
    assert_eq!(
        (
            status.dumps,
            status.pending,
            status.modules,
            status.module_bytes
        ),
        (1, 1, 1, 6)
    );
    assert_eq!(given.store.events_after(0, 10).unwrap().len(), 1);
    assert!(given.store.lease_job(1000).unwrap().is_some());
    assert_eq!(given.store.lease_job(1000).unwrap(), None);
}

#[test]
fn nothing_is_admitted_from_nowhere() {
    let given = Given::new();
    let missing = given.path("spool/ready/nothing");
    assert!(matches!(
        given.store.admit(&record(1), &missing),
        Err(StoreError::NotFound("spool entry"))
    ));
    assert_eq!(given.store.status().unwrap().dumps, 0);
}

#[test]
fn a_module_is_kept_only_under_its_true_name() {
    let given = Given::new();
    let record = with_modules(record(1), &[b"true", b"absent"]);
    let entry = given.spool(&record, &[b"true"]);
    fs::write(entry.join("modules").join(sha256(b"claimed")), b"other").unwrap();
    fs::write(entry.join("modules/new"), b"half written").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", entry.join("modules").join(sha256(b"link"))).unwrap();
    given.store.admit(&record, &entry).unwrap();
    assert!(given.store.module(&sha256(b"true")).is_ok());
    for absent in [
        sha256(b"claimed"),
        sha256(b"link"),
        sha256(b"absent"),
        "../../lock".into(),
        String::new(),
    ] {
        assert!(
            matches!(
                given.store.module(&absent),
                Err(StoreError::NotFound("module"))
            ),
            "{absent}"
        );
    }
    assert_eq!(given.store.status().unwrap().modules, 1);
}

#[test]
fn a_second_daemon_is_refused_until_the_first_is_gone() {
    let given = Given::new();
    let second = Store::open(given.directory.path()).map(drop).unwrap_err();
    assert!(matches!(&second, StoreError::Busy(path) if path == given.directory.path()));
    assert_eq!(
        second.to_string(),
        format!(
            "another aground daemon is running on {}",
            given.directory.path().display()
        )
    );
    let clone = given.store.clone();
    let directory = given.directory;
    drop(given.store);
    assert!(
        Store::open(directory.path()).is_err(),
        "a clone still holds it"
    );
    drop(clone);
    assert!(Store::open(directory.path()).is_ok());
}

#[test]
fn removal_takes_what_only_that_dump_needed() {
    let given = Given::new();
    let first = with_modules(
        in_container(1, "web", "api", &[("a", "b")]),
        &[b"shared", b"own"],
    );
    let second = with_modules(in_container(2, "web", "api", &[("a", "b")]), &[b"shared"]);
    for record in [&first, &second] {
        let entry = given.spool(record, &[b"shared", b"own"]);
        given.store.admit(record, &entry).unwrap();
        given
            .store
            .save_report(&record.id, &report(&["crash"]))
            .unwrap();
    }
    given.store.remove_dump(&first.id).unwrap();
    assert!(matches!(
        given.store.dump(&first.id),
        Err(StoreError::NotFound("dump"))
    ));
    assert!(matches!(
        given.store.core(&first.id),
        Err(StoreError::NotFound("dump"))
    ));
    assert!(given.store.module(&sha256(b"own")).is_err());
    assert!(given.store.module(&sha256(b"shared")).is_ok());
    assert_eq!(given.found("label:a=b"), [2]);
    given.store.remove_dump(&second.id).unwrap();
    let status = given.store.status().unwrap();
    assert_eq!(
        (status.dumps, status.groups, status.modules, status.pending),
        (0, 0, 0, 0)
    );
    assert_eq!(names(&given.path("dumps")), [""; 0]);
    assert_eq!(names(&given.path("trash")), [""; 0]);
    assert!(matches!(
        given.store.remove_dump(&second.id),
        Err(StoreError::NotFound("dump"))
    ));
}

#[test]
fn a_module_that_an_entry_in_the_spool_counts_on_outlives_its_last_dump() {
    let given = Given::new();
    let first = with_modules(record(1), &[b"module"]);
    given
        .store
        .admit(&first, &given.spool(&first, &[b"module"]))
        .unwrap();
    // The helper saw the module in the store, and brought none.
    let second = with_modules(record(2), &[b"module"]);
    let waiting = given.spool(&second, &[]);
    given.store.remove_dump(&first.id).unwrap();
    given.store.admit(&second, &waiting).unwrap();
    assert!(given.store.module(&sha256(b"module")).is_ok());
    assert_eq!(given.store.sweep_modules().unwrap(), 0);
    given.store.remove_dump(&second.id).unwrap();
    assert!(given.store.module(&sha256(b"module")).is_err());
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let given = Given::new();
    for number in 0..25 {
        // Several at the same millisecond.
        let mut record = record(number);
        record.captured_at_ms = NOON + i64::from(number / 4);
        given.admitted(&record);
    }
    let mut seen = vec![];
    let mut page = PageRequest {
        limit: 4,
        cursor: None,
    };
    loop {
        let got = given.store.dumps(&Query::default(), &page).unwrap();
        assert!(got.items.len() <= 4);
        seen.extend(got.items.into_iter().map(|dump| dump.id));
        // New dumps do not move what is on later pages.
        given.admitted(&record(u8::try_from(100 + seen.len()).unwrap()));
        page.cursor = got.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..25).rev().map(id).collect();
    assert_eq!(seen, expected);
    for wrong in [
        "",
        "x",
        "d1-",
        "d-1",
        "g5-0000000000000000",
        "d1-'; DROP TABLE dumps",
    ] {
        let page = PageRequest {
            limit: 1,
            cursor: Some(wrong.to_owned()),
        };
        assert!(
            matches!(
                given.store.dumps(&Query::default(), &page),
                Err(StoreError::BadCursor)
            ),
            "{wrong}"
        );
    }
    assert_eq!(
        given
            .store
            .dumps(
                &Query::default(),
                &PageRequest {
                    limit: 9999,
                    cursor: None
                }
            )
            .unwrap()
            .next_cursor,
        None
    );
}

#[test]
fn beginnings_of_ids_name_dumps_and_groups() {
    let given = Given::new();
    for number in [0xab, 0xac, 0x12] {
        given.analysed(&record(number), "crash");
    }
    assert_eq!(given.store.resolve_dump("1").unwrap(), id(0x12));
    assert_eq!(given.store.resolve_dump("AB").unwrap(), id(0xab));
    assert_eq!(
        given.store.resolve_dump(id(0xac).as_str()).unwrap(),
        id(0xac)
    );
    let error = given.store.resolve_dump("a").unwrap_err();
    let expected = format!(
        "\"a\" is ambiguous: {}, {} start with it",
        id(0xab),
        id(0xac)
    );
    assert_eq!(error.to_string(), expected);
    for missing in [
        "",
        "f",
        "xyz",
        "%",
        "_",
        "1\0",
        "12' OR 1=1",
        &"1".repeat(33),
        "../12",
    ] {
        assert!(
            matches!(
                given.store.resolve_dump(missing),
                Err(ResolveError::NotFound { .. })
            ),
            "{missing}"
        );
    }
    assert_eq!(
        given.store.resolve_dump("f").unwrap_err().to_string(),
        "no dump has an id that starts with \"f\""
    );
    let group = given.summary(&id(0x12)).group.unwrap();
    assert_eq!(given.store.resolve_group(&group[..3]).unwrap(), group);
    assert_eq!(group.len(), 16);
}
