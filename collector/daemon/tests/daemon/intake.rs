//! From the spool into the store, whatever is in the spool.

use crate::given::*;
use aground_daemon::{Daemon, DaemonError, Event};
use aground_helper::layout;
use aground_helper::record::{CaptureState, Kept, Record};
use aground_store::StoreError;
use aground_store::types::DumpStatus;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_taken_in_at_once_analysed_and_told_of() {
    let given = Given::analyzer("say boom");
    let daemon = given.start().await;
    let mut events = daemon.subscribe();
    // Past the first scan: what comes now is seen by its arrival alone.
    eventually("the first scan", || daemon.status().last_rescan_ms);
    let id = given.crash(1);
    let dump = concluded(&daemon, &id);
    assert_eq!(
        (dump.summary.status, dump.summary.title.as_deref()),
        (DumpStatus::Analyzed, Some("boom"))
    );
    assert_eq!(
        events.recv().await.unwrap(),
        Event::Dump { id: id.to_string() }
    );
    let group = dump.summary.group.unwrap();
    assert_eq!(
        events.recv().await.unwrap(),
        Event::Report {
            id: id.to_string(),
            group,
            new: true
        }
    );
    daemon.remove_dump(&id).unwrap();
    assert_eq!(
        events.recv().await.unwrap(),
        Event::Removed { id: id.to_string() }
    );
    assert!(matches!(
        daemon.remove_dump(&id),
        Err(StoreError::NotFound("dump"))
    ));
    let status = daemon.status();
    assert_eq!(
        (status.store.dumps, status.analyses, status.worker_failures),
        (0, 1, 0)
    );
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_the_daemon_was_down_is_taken_in() {
    let given = Given::analyzer("say boom");
    let ids: Vec<_> = (1..=20).map(|number| given.crash(number)).collect();
    let daemon = given.start().await;
    for id in &ids {
        concluded(&daemon, id);
    }
    let status = daemon.status();
    assert_eq!(
        (status.store.dumps, status.store.groups, status.spool_ready),
        (20, 1, 0)
    );
    daemon.shutdown().await;
}

/// A zstd frame (RFC 8878) of eight bytes, stored raw.
const FRAME: &[u8] = b"\x28\xb5\x2f\xfd\x20\x08\x41\0\0half of ";

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_is_adopted_only_when_its_helper_is_gone() {
    let given = Given::analyzer(
        "case $manifest in *'\"core_fd\":3'*) say 'half a core';; *) say bare; esac",
    );
    let mut interrupted = record(1);
    interrupted.capture.state = CaptureState::Interrupted;
    interrupted.capture.kept = Kept::None;
    interrupted.capture.reason = Some("the helper was stopped before the memory was kept".into());
    let alive = Record {
        id: id(2),
        ..interrupted.clone()
    };
    for record in [&interrupted, &alive] {
        let entry = given.state("spool/incoming").join(record.id.as_str());
        write_entry(&entry, record);
        fs::remove_file(entry.join("core.zst")).unwrap();
        fs::write(entry.join("core.zst.partial"), FRAME).unwrap();
    }
    // One whose helper died between the core and the last record.
    let late = Record {
        id: id(5),
        ..interrupted.clone()
    };
    write_entry(&given.state("spool/incoming").join(late.id.as_str()), &late);
    // One whose helper died before it could write anything, and one that is just being made.
    for (number, age) in [(3, 3600), (4, 0)] {
        let entry = given.state("spool/incoming").join(id(number).as_str());
        fs::create_dir_all(&entry).unwrap();
        let then = SystemTime::now() - Duration::from_secs(age);
        File::open(&entry).unwrap().set_modified(then).unwrap();
    }
    let lock = File::open(given.state("spool/incoming").join(alive.id.as_str())).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();

    let daemon = given.start().await;
    let adopted = concluded(&daemon, &interrupted.id);
    assert_eq!(
        (
            adopted.summary.kept.as_str(),
            adopted.summary.title.as_deref()
        ),
        ("partial", Some("half a core"))
    );
    let capture = &adopted.record.capture;
    assert_eq!((capture.truncated, capture.bytes_kept), (true, 8));
    let late = concluded(&daemon, &late.id);
    assert_eq!(late.summary.kept, "partial");
    assert!(late.record.capture.reason.unwrap().contains("interrupted"));
    let bare = concluded(&daemon, &id(3));
    assert_eq!(bare.summary.signal, "unknown");
    assert!(
        bare.record.problems[0].contains("record"),
        "{:?}",
        bare.record.problems
    );
    let left = [alive.id.to_string(), id(4).to_string()];
    assert_eq!(names(&given.state("spool/incoming")), left);
    assert_eq!(daemon.status().spool_incoming, 2);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_whose_record_cannot_be_read_is_still_a_crash() {
    let given = Given::analyzer("case $manifest in *'\"core_fd\":3'*) say 'core analysed';; esac");
    let other = serde_json::to_vec(&record(99)).unwrap();
    let broken: [&[u8]; 5] = [b"", b"{\"schema\":1", b"\xff\xfe", b"[]", &other];
    for (number, text) in (1..).zip(broken) {
        let entry = given.state("spool/ready").join(id(number).as_str());
        write_entry(&entry, &record(number));
        fs::write(entry.join("record.json"), text).unwrap();
    }
    let daemon = given.start().await;
    for number in 1..=5 {
        let dump = concluded(&daemon, &id(number));
        assert_eq!(dump.summary.title.as_deref(), Some("core analysed"));
        assert_eq!(dump.record.problems.len(), 1);
        let aside = given.state("spool/rejected").join(id(number).as_str());
        assert_eq!(names(&aside), ["reason.txt", "record.json"]);
    }
    let status = daemon.status();
    assert_eq!((status.rejected.len(), status.spool_ready), (5, 0));
    assert!(
        status.rejected[4].1.contains(id(99).as_str()),
        "{:?}",
        status.rejected
    );
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_entry_is_put_aside_and_named() {
    let given = Given::analyzer("say boom");
    let ready = given.state("spool/ready");
    fs::create_dir_all(ready.join("not an id")).unwrap();
    fs::write(ready.join("not an id/precious"), b"bytes").unwrap();
    fs::write(ready.join(id(1).as_str()), b"a file").unwrap();
    std::os::unix::fs::symlink("/etc", ready.join(id(2).as_str())).unwrap();
    fs::create_dir_all(ready.join("x".repeat(255))).unwrap();
    let good = given.crash(3);
    let daemon = given.start().await;
    concluded(&daemon, &good);
    let status = daemon.status();
    assert_eq!(
        (
            status.store.dumps,
            status.spool_ready,
            status.rejected.len()
        ),
        (1, 0, 4)
    );
    assert_eq!(
        fs::read(given.state("spool/rejected/not an id/entry/precious")).unwrap(),
        b"bytes"
    );
    assert!(fs::symlink_metadata("/etc").unwrap().is_dir());
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_left_in_the_fallback_directory_are_fetched() {
    let given = Given::analyzer("say boom");
    let outside = layout::fallback_dir(&given.config.state_dir);
    let fallback = outside.join("spool");
    for (number, place) in [(1, "ready"), (2, "incoming")] {
        let mut left = record(number);
        left.capture.kept = Kept::None;
        let entry = fallback.join(place).join(left.id.as_str());
        fs::create_dir_all(fallback.join("ready")).unwrap();
        write_entry(&entry, &left);
        fs::remove_file(entry.join("core.zst")).unwrap();
    }
    let daemon = given.start().await;
    for number in [1, 2] {
        assert_eq!(
            concluded(&daemon, &id(number)).record.process.name,
            "server"
        );
    }
    assert_eq!(names(&fallback.join("ready")), [""; 0]);
    fs::remove_dir_all(outside).unwrap();
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_is_refused() {
    let given = Given::analyzer("say boom");
    let daemon = given.start().await;
    let second = Daemon::start(given.config.clone())
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(second, DaemonError::Store(StoreError::Busy(_))));
    assert!(
        second
            .to_string()
            .starts_with("another aground daemon is running on /")
    );
    daemon.shutdown().await;
}
