//! Limits are kept without being asked, and what was given up is told.

use crate::given::*;
use aground_daemon::{Event, Share};
use aground_helper::record::Policy;
use std::fs;

const SAY: &str = "say title 1";

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_traces_is_dropped_as_soon_as_there_is_a_report() {
    let given = Given::analyzer(SAY);
    let mut trace = record(1);
    trace.capture.policy = Policy::Trace;
    write_entry(&given.state("spool/ready").join(trace.id.as_str()), &trace);
    let other = given.crash(2);
    let daemon = given.start().await;
    let mut events = daemon.subscribe();
    let gone = || {
        daemon
            .store()
            .dump(&trace.id)
            .ok()
            .filter(|dump| dump.summary.kept == "none")
    };
    let dump = eventually("the memory is dropped", gone);
    assert!(dump.report.is_some(), "only with a report");
    let reason = dump.summary.dropped.unwrap();
    assert_eq!(reason, "its policy is trace, and the report exists");
    assert_eq!(
        names(&given.state("dumps").join(trace.id.as_str())),
        ["record.json", "report.json", "state.json"]
    );
    concluded(&daemon, &other);
    assert_eq!(daemon.store().dump(&other).unwrap().summary.kept, "full");
    // It is noted after it is done.
    let noted = || daemon.status().retention.given_up.front().cloned();
    assert_eq!(eventually("a note of it", noted).step.id, trace.id);
    daemon.shutdown().await;
    let mut told = false;
    while let Ok(event) = events.try_recv() {
        told |= matches!(event, Event::Memory { id, kept, .. } if id == trace.id.to_string() && kept == "none");
    }
    assert!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_kept_after_every_crash_and_said_when_it_cannot_be() {
    let mut given = Given::analyzer(SAY);
    given.config.retention.max_bytes = Share::Bytes(40_000);
    given.config.retention.min_free = Share::Bytes(0);
    let daemon = given.start().await;
    let big = |number: u8| {
        let record = record(number);
        let elsewhere = given.state("elsewhere").join(record.id.as_str());
        write_entry(&elsewhere, &record);
        fs::write(elsewhere.join("core.zst"), vec![0; 10_000]).unwrap();
        fs::rename(
            &elsewhere,
            given.state("spool/ready").join(record.id.as_str()),
        )
        .unwrap();
        record.id
    };
    let ids: Vec<_> = (1..=6).map(big).collect();
    for id in &ids {
        concluded(&daemon, id);
    }
    let kept = || -> Vec<bool> {
        let kept = |id| {
            daemon
                .store()
                .dump(id)
                .is_ok_and(|dump| dump.summary.kept == "full")
        };
        ids.iter().map(kept).collect()
    };
    let held = || {
        let status = daemon.store().status().unwrap();
        status.core_bytes + status.module_bytes
    };
    eventually("the quota is kept", || (held() <= 40_000).then_some(()));
    let kept = kept();
    assert!(
        kept[0] && kept[5],
        "the first and the newest stay: {kept:?}"
    );
    assert!(daemon.status().retention.unmet.is_none());

    for id in [&ids[0], &ids[5]] {
        daemon.store().pin(id, true).unwrap();
    }
    daemon.shutdown().await;
    drop(daemon);
    given.config.retention.max_bytes = Share::Bytes(10_000);
    let daemon = given.start().await;
    let unmet = eventually("that it cannot be kept", || daemon.status().retention.unmet);
    assert!(unmet.contains("2 pinned dumps hold"), "{unmet}");
    assert_eq!(
        daemon.store().status().unwrap().dumps,
        6,
        "no record is lost in vain"
    );
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_is_made_and_made_again() {
    let given = Given::analyzer(SAY);
    let daemon = given.start().await;
    let file = given.state("reserve");
    let whole = || fs::metadata(&file).is_ok_and(|file| file.len() == 16 << 20);
    eventually("the reserve", || whole().then_some(()));
    assert!(aground_helper::reserve::give(&given.config.state_dir) && !whole());
    given.crash(1);
    eventually("the reserve again", || whole().then_some(()));
    daemon.shutdown().await;
}
