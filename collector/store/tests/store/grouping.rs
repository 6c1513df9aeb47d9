//! Reports, groups, and the queue between admission and report.

use crate::given::*;
use aground_analyzer::report::{Partial, Report, Thread};
use aground_store::types::{Count, DumpStatus, PageRequest};
use aground_store::{Query, StoreError};
use std::fs;

fn counts(counts: &[Count]) -> Vec<(&str, u64)> {
    counts
        .iter()
        .map(|count| (count.value.as_str(), count.count))
        .collect()
}

#[test]
fn ten_crashes_of_one_signature_across_containers_are_one_group_of_ten() {
    let given = Given::new();
    for number in 0..10 {
        let (name, image) =
            [("a", "api:1"), ("b", "api:1"), ("c", "api:2")][usize::from(number % 3)];
        let id = given.admitted(&in_container(number, name, image, &[]));
        let assigned = given
            .store
            .assign(&id, &report(&["parse_header", "handle_request"]), None)
            .unwrap();
        assert_eq!(assigned.new_group, number == 0);
    }
    given.analysed(&record(99), "other_bug");
    let page = given
        .store
        .groups(&Query::default(), &PageRequest::default(), hour())
        .unwrap();
    assert_eq!(page.items.len(), 2);
    let group = page.items.iter().find(|group| group.count == 10).unwrap();
    assert_eq!(group.title, "parse_header | handle_request");
    assert_eq!(group.cause_title, "write to 0x0 in parse_header");
    assert_eq!(
        (group.cause.as_str(), group.signal.as_str()),
        ("null-dereference", "SIGSEGV")
    );
    assert_eq!(
        (group.first_seen_ms, group.last_seen_ms),
        (NOON, NOON + 9000)
    );
    assert_eq!(group.latest, id(9));
    assert_eq!(counts(&group.images), [("api:1", 7), ("api:2", 3)]);
    assert_eq!(counts(&group.containers), [("a", 4), ("b", 3), ("c", 3)]);
    assert_eq!(counts(&group.hosts), [("node1", 10)]);
    assert_eq!(counts(&group.executables), [("/app/server", 10)]);
    // The crash at noon sharp is just outside the hour.
    assert_eq!(group.histogram, [9, 0, 0, 0]);
    assert_eq!(
        given
            .store
            .histogram(&Query::default(), hour())
            .unwrap()
            .buckets,
        [10, 0, 0, 0]
    );
    assert_eq!(given.store.group(&group.id, hour()).unwrap(), *group);
    assert!(matches!(
        given.store.group("0000000000000000", hour()),
        Err(StoreError::NotFound("group"))
    ));
}

#[test]
fn a_report_kept_twice_counts_once_and_another_moves_the_dump() {
    let given = Given::new();
    let (one, two) = (
        given.analysed(&record(1), "old"),
        given.analysed(&record(2), "old"),
    );
    given
        .store
        .save_report(&one, &report(&["old", "main"]))
        .unwrap();
    let old = given.summary(&one).group.unwrap();
    assert_eq!(given.store.group(&old, hour()).unwrap().count, 2);
    // The newest leaves: the group's times go back.
    given.store.save_report(&two, &report(&["new"])).unwrap();
    let group = given.store.group(&old, hour()).unwrap();
    assert_eq!(
        (group.count, group.last_seen_ms, &group.latest),
        (1, NOON + 1000, &one)
    );
    assert_eq!(counts(&group.hosts), [("node1", 1)]);
    // The last leaves: the group goes.
    given.store.save_report(&one, &report(&["new"])).unwrap();
    assert!(given.store.group(&old, hour()).is_err());
    assert_eq!(given.store.status().unwrap().groups, 1);
    assert_eq!(given.found("frame:old"), [0; 0]);
    assert_eq!(given.found("frame:new"), [2, 1]);
}

#[test]
fn removing_dumps_shrinks_and_ends_their_group() {
    let given = Given::new();
    for number in [1, 2, 3] {
        given.analysed(
            &in_container(number, &format!("c{number}"), "api", &[]),
            "crash",
        );
    }
    let group = given.summary(&id(1)).group.unwrap();
    given.store.remove_dump(&id(1)).unwrap();
    let left = given.store.group(&group, hour()).unwrap();
    assert_eq!((left.count, left.first_seen_ms), (2, NOON + 2000));
    assert_eq!(counts(&left.containers), [("c2", 1), ("c3", 1)]);
    given.store.remove_dump(&id(2)).unwrap();
    given.store.remove_dump(&id(3)).unwrap();
    assert!(given.store.group(&group, hour()).is_err());
}

#[test]
fn a_group_is_listed_when_one_of_its_dumps_matches_and_pages_go_on() {
    let given = Given::new();
    for number in 0..9 {
        given.analysed(
            &in_container(number, "web", &format!("api:{}", number % 2), &[]),
            &format!("f{number}"),
        );
    }
    let listed = |query: &str, limit: usize| {
        let query = Query::parse(query).unwrap();
        let mut titles = vec![];
        let mut page = PageRequest {
            limit,
            cursor: None,
        };
        loop {
            let got = given.store.groups(&query, &page, hour()).unwrap();
            titles.extend(got.items.into_iter().map(|group| group.title));
            page.cursor = got.next_cursor;
            if page.cursor.is_none() {
                return titles;
            }
        }
    };
    assert_eq!(
        listed("image:api:1", 3),
        ["f7 | main", "f5 | main", "f3 | main", "f1 | main"]
    );
    assert_eq!(listed("", 2).len(), 9);
    assert_eq!(listed("function:f4", 5), ["f4 | main"]);
    let wrong = PageRequest {
        limit: 1,
        cursor: Some("d1-00".into()),
    };
    assert!(matches!(
        given.store.groups(&Query::default(), &wrong, hour()),
        Err(StoreError::BadCursor)
    ));
}

#[test]
fn histograms_of_nonsense_windows_are_empty_not_wrong() {
    let given = Given::new();
    given.admitted(&record(1));
    for (window_ms, buckets, expected) in [
        (0, 3, 3),
        (-5, 3, 3),
        (1000, 0, 0),
        (i64::MAX, 2, 2),
        (1, 10, 10),
    ] {
        let histogram = aground_store::Histogram {
            now_ms: NOON + 1000,
            window_ms,
            buckets,
        };
        assert_eq!(
            given
                .store
                .histogram(&Query::default(), histogram)
                .unwrap()
                .buckets
                .len(),
            expected
        );
    }
    let far = aground_store::Histogram {
        now_ms: i64::MIN,
        window_ms: i64::MAX,
        buckets: 7,
    };
    assert_eq!(
        given
            .store
            .histogram(&Query::default(), far)
            .unwrap()
            .buckets,
        [0; 7]
    );
}

#[test]
fn hostile_signatures_and_titles_are_refused_or_bounded() {
    let given = Given::new();
    let id = given.admitted(&record(1));
    for hash in [
        "",
        "abc",
        "../../../../etc/passwd",
        &"g".repeat(64),
        &"A".repeat(64),
        &"ü".repeat(32),
    ] {
        let mut report = report(&["f"]);
        report.signature.hash = hash.to_owned();
        assert!(
            matches!(
                given.store.save_report(&id, &report),
                Err(StoreError::BadSignature)
            ),
            "{hash}"
        );
    }
    assert!(
        !given
            .path("dumps")
            .join(id.as_str())
            .join("report.json")
            .exists()
    );
    let long = "x".repeat(100_000);
    let mut report = report(&[
        &long,
        "<script>alert(1)</script>",
        "'; DROP TABLE dumps; --",
        "a\0b",
    ]);
    report.cause.title = long;
    given.store.save_report(&id, &report).unwrap();
    assert!(given.summary(&id).title.unwrap().len() < 1100);
    assert_eq!(given.found("frame:\"'; DROP TABLE dumps; --\""), [1]);
    assert_eq!(given.found("frame:\"a\0b\""), [1]);
    let kept = given.store.dump(&id).unwrap().report;
    assert_eq!(
        kept,
        Some(Report {
            revision: 1,
            ..report
        })
    );
}

#[test]
fn jobs_are_leased_oldest_first_given_back_and_ended() {
    let given = Given::new();
    let (first, second) = (given.admitted(&record(1)), given.admitted(&record(2)));
    let job = given.store.lease_job(60_000).unwrap().unwrap();
    assert_eq!((&job.id, job.attempts), (&first, 1));
    assert_eq!(given.summary(&first).status, DumpStatus::Analyzing);
    assert_eq!(given.store.lease_job(60_000).unwrap().unwrap().id, second);
    assert_eq!(given.store.lease_job(60_000).unwrap(), None);
    assert_eq!(given.store.status().unwrap().pending, 2);
    // Back, counted: the next attempt is the second.
    given.store.release_job(&first, true).unwrap();
    assert_eq!(given.summary(&first).status, DumpStatus::Pending);
    assert_eq!(given.store.lease_job(60_000).unwrap().unwrap().attempts, 2);
    // Back, not counted: it is the second again.
    given.store.release_job(&first, false).unwrap();
    assert_eq!(given.store.lease_job(60_000).unwrap().unwrap().attempts, 2);
    given.store.save_report(&first, &report(&["f"])).unwrap();
    assert_eq!(given.summary(&first).status, DumpStatus::Analyzed);
    given.store.release_job(&second, true).unwrap();
    assert_eq!(given.store.lease_job(60_000).unwrap().unwrap().id, second);
    // Again, for one that was done.
    given.store.queue_job(&first).unwrap();
    assert_eq!(given.summary(&first).status, DumpStatus::Pending);
    assert!(
        given.summary(&first).title.is_some(),
        "its report stays until the next"
    );
    assert_eq!(given.store.lease_job(60_000).unwrap().unwrap().attempts, 1);
    assert!(matches!(
        given.store.queue_job(&id(9)),
        Err(StoreError::NotFound("dump"))
    ));
}

#[test]
fn a_lease_that_ran_out_is_given_to_the_next() {
    let given = Given::new();
    let id = given.admitted(&record(1));
    assert!(given.store.lease_job(-1).unwrap().is_some());
    assert_eq!(given.store.lease_job(1000).unwrap().unwrap().id, id);
}

#[test]
fn a_failed_analysis_is_shown_and_grouped_but_never_replaces_a_whole_report() {
    let given = Given::new();
    let failed = given.admitted(&record(1));
    given
        .store
        .assign(
            &failed,
            &report(&["SIGSEGV in server"]),
            Some("killed after 120 s"),
        )
        .unwrap();
    let summary = given.summary(&failed);
    assert_eq!(summary.status, DumpStatus::Failed);
    assert_eq!(
        summary.analysis_error.as_deref(),
        Some("killed after 120 s")
    );
    assert!(summary.group.is_some());
    assert_eq!(given.found("status:failed"), [1]);
    assert_eq!(given.store.status().unwrap().failed, 1);
    // A later success clears it.
    given
        .store
        .save_report(&failed, &report(&["parse"]))
        .unwrap();
    let summary = given.summary(&failed);
    assert_eq!(
        (summary.status, summary.analysis_error),
        (DumpStatus::Analyzed, None)
    );
    // A later failure leaves the report as it was.
    given
        .store
        .assign(
            &failed,
            &report(&["SIGSEGV in server"]),
            Some("out of memory"),
        )
        .unwrap();
    let dump = given.store.dump(&failed).unwrap();
    let second = Report {
        revision: 2,
        ..report(&["parse"])
    };
    assert_eq!(dump.report, Some(second), "the third is not kept");
    assert_eq!(
        dump.summary.analysis_error.as_deref(),
        Some("out of memory")
    );
    // Without any report.
    let bare = given.admitted(&record(2));
    given.store.fail_job(&bare, "no analyzer").unwrap();
    assert_eq!(given.summary(&bare).status, DumpStatus::Failed);
    assert_eq!(given.store.status().unwrap().pending, 0);
}

#[test]
fn what_a_stopped_analysis_found_gives_way_to_what_says_more_only() {
    let given = Given::new();
    let id = given.admitted(&record(1));
    let kept = |failure: Option<&str>, report: &Report| {
        given.store.assign(&id, report, failure).unwrap();
        let dump = given.store.dump(&id).unwrap();
        (dump.summary.status, dump.report.unwrap().signature.title)
    };
    let bare = Report {
        site: None,
        deadlocks: Vec::new(),
        threads: vec![],
        ..report(&["record"])
    };
    let partial = |function: &str| Report {
        partial: Some(Partial::default()),
        site: None,
        deadlocks: Vec::new(),
        threads: vec![Thread::default()],
        ..report(&[function])
    };
    let failed = |title: &str| (DumpStatus::Failed, title.to_owned());
    assert_eq!(kept(Some("crashed"), &bare), failed("record"));
    assert_eq!(kept(Some("late"), &partial("one")), failed("one"));
    assert_eq!(kept(Some("late"), &partial("two")), failed("two"));
    assert_eq!(kept(Some("crashed"), &bare), failed("two"));
    let whole = (DumpStatus::Analyzed, "whole".to_owned());
    assert_eq!(kept(None, &report(&["whole"])), whole);
    assert_eq!(kept(Some("late"), &partial("three")), whole);
}

#[test]
fn a_report_of_a_removed_dump_leaves_nothing_behind() {
    let given = Given::new();
    let id = given.admitted(&record(1));
    given.store.lease_job(60_000).unwrap();
    given.store.remove_dump(&id).unwrap();
    assert!(matches!(
        given.store.save_report(&id, &report(&["f"])),
        Err(StoreError::NotFound("dump"))
    ));
    assert!(matches!(
        given.store.release_job(&id, true),
        Err(StoreError::NotFound("dump"))
    ));
    assert!(fs::read_dir(given.path("dumps")).unwrap().next().is_none());
    assert_eq!(given.store.status().unwrap().groups, 0);
}

#[test]
fn events_tell_what_happened_in_order() {
    let given = Given::new();
    let one = given.analysed(&record(1), "f");
    let two = given.analysed(&record(2), "f");
    given.store.remove_dump(&one).unwrap();
    let all = given.store.events_after(0, 100).unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|event| (event.kind.as_str(), event.dump.as_str(), event.new_group))
        .collect();
    let (a, b) = (one.as_str(), two.as_str());
    assert_eq!(
        told,
        [
            ("dump", a, false),
            ("report", a, true),
            ("dump", b, false),
            ("report", b, false),
            ("removed", a, false)
        ]
    );
    assert_eq!(
        given.store.events_after(all[3].sequence, 100).unwrap(),
        all[4..]
    );
    assert_eq!(given.store.events_after(0, 2).unwrap().len(), 2);
}
