//! What is decided about groups, and that it holds: for crashes to come, across restarts, and when
//! the database is lost.

use crate::given::*;
use aground_helper::record::Record;
use aground_store::lifecycle::{
    Actor, Change, Changed, Evidence, ImageMark, Life, Split, State, Until, Verdict,
};
use aground_store::types::PageRequest;
use aground_store::{Query, StoreError};
use std::fs;

/// Milliseconds from now: crashes at such times come after what a test decides.
fn later(mut record: Record, seconds: i64) -> Record {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    record.captured_at_ms = i64::try_from(now.as_millis()).unwrap() + seconds * 1000;
    record
}

fn ann() -> Actor {
    Actor {
        uid: Some(1000),
        name: "ann".into(),
        via: "api".into(),
    }
}

fn tag(word: &str) -> Change {
    Change::Tag { tag: word.into() }
}

const RESOLVE: Change = Change::Resolve { image: None };

impl Given {
    fn decide(&self, group: &str, change: Change) -> Changed {
        self.store.change_group(&ann(), group, change).unwrap()
    }

    fn merge(&self, from: &str, into: &str) -> Changed {
        let into = into.to_owned();
        self.decide(from, Change::Merge { into })
    }

    /// A crash of this function `seconds` from now, and its group.
    fn crash(&self, record: Record, function: &str, seconds: i64) -> String {
        let id = self.analysed(&later(record, seconds), function);
        self.group_of(&id)
    }

    fn group_of(&self, id: &aground_helper::id::DumpId) -> String {
        self.summary(id).group.unwrap()
    }

    fn life(&self, group: &str) -> Life {
        self.store.life(group).unwrap()
    }

    /// Every group as `title count state`, sorted.
    fn shown(&self) -> Vec<String> {
        let page = self
            .store
            .groups(&Query::default(), &PageRequest::default(), hour())
            .unwrap();
        let mut lines: Vec<String> = page
            .items
            .iter()
            .map(|group| format!("{} {} {}", group.title, group.count, group.state.as_str()))
            .collect();
        lines.sort();
        lines
    }

    /// The database is lost and made again from the files.
    fn rebuilt(self) -> Self {
        let Self { directory, store } = self;
        drop(store);
        for name in ["aground.db", "aground.db-wal", "aground.db-shm"] {
            let _ = fs::remove_file(directory.path().join(name));
        }
        let store = aground_store::Store::open(directory.path()).unwrap();
        store.reindex().unwrap();
        Self { directory, store }
    }
}

#[test]
fn a_resolved_group_regresses_with_the_next_crash_and_not_with_one_from_before() {
    let given = Given::new();
    let group = given.group_of(&given.analysed(&record(1), "f"));
    assert_eq!(given.life(&group).state, State::Open);
    given.decide(&group, RESOLVE);
    assert_eq!(given.shown(), ["f | main 1 resolved"]);
    // It happened before the resolution, and was only analysed after it.
    given.analysed(&record(2), "f");
    assert_eq!(given.life(&group).state, State::Resolved);

    let third = given.admitted(&later(record(3), 60));
    let assigned = given
        .store
        .assign(&third, &report(&["f", "main"]), None)
        .unwrap();
    assert_eq!(
        assigned.regressed.as_deref(),
        Some("it crashed after it was resolved")
    );
    assert!(!assigned.new_group);
    let life = given.life(&group);
    assert_eq!(life.state, State::Regressed);
    assert_eq!(life.by.unwrap().via, "aground");
    // Once is enough.
    let fourth = given.admitted(&later(record(4), 61));
    let again = given
        .store
        .assign(&fourth, &report(&["f", "main"]), None)
        .unwrap();
    assert_eq!(again.regressed, None);
}

#[test]
fn a_group_resolved_in_an_image_regresses_in_later_ones_alone() {
    let given = Given::new();
    let group = given.group_of(&given.analysed(&in_container(1, "c", "api:1.3", &[]), "f"));
    let image = Some(ImageMark {
        reference: "api:1.4".into(),
        build: None,
    });
    given.decide(&group, Change::Resolve { image });
    given.crash(in_container(2, "c", "api:1.3", &[]), "f", 10);
    given.crash(in_container(3, "c", "worker:7", &[]), "f", 11);
    given.crash(record(4), "f", 12);
    assert_eq!(given.life(&group).state, State::Resolved);
    given.crash(in_container(5, "c", "api:1.4.1", &[]), "f", 13);
    let life = given.life(&group);
    assert_eq!(life.state, State::Regressed);
    assert!(life.why.unwrap().contains("judged by the tags"));
    assert_eq!(life.resolved_in.unwrap().reference, "api:1.4");
}

#[test]
fn first_sight_of_a_build_orders_images_without_versions() {
    let given = Given::new();
    let built = |number, digest: &str| {
        let mut record = in_container(number, "c", "api:main", &[]);
        record.container.as_mut().unwrap().image_digests =
            vec![format!("api@sha256:{}", digest.repeat(64))];
        record
    };
    let group = given.group_of(&given.analysed(&built(1, "a"), "f"));
    given.crash(built(2, "b"), "other", -5);
    let mark = given.store.meant_image(&"b".repeat(12)).unwrap();
    assert_eq!(mark.reference, "api:main");
    given.decide(&group, Change::Resolve { image: Some(mark) });
    given.crash(built(3, "a"), "f", 10);
    assert_eq!(given.life(&group).state, State::Resolved);
    given.crash(built(4, "c"), "f", 11);
    let life = given.life(&group);
    assert!(life.why.unwrap().contains("images were first seen"));
    assert!(matches!(
        given.store.meant_image("0123456789ab"),
        Err(StoreError::Refused(_))
    ));
}

#[test]
fn an_ignored_group_is_open_again_after_so_many_crashes_or_at_its_date() {
    let given = Given::new();
    let group = given.group_of(&given.analysed(&record(1), "f"));
    let ignore = |until| Change::Ignore { until };
    given.decide(&group, ignore(Until::Crashes(2)));
    given.crash(record(2), "f", 10);
    let life = given.life(&group);
    assert_eq!((life.state, life.ignored_seen), (State::Ignored, 1));
    given.crash(record(3), "f", 11);
    let life = given.life(&group);
    assert_eq!(life.state, State::Open);
    assert!(life.why.unwrap().contains("crashed 2 more times"));

    // Counted anew.
    given.decide(&group, ignore(Until::Crashes(2)));
    given.crash(record(4), "f", 12);
    assert_eq!(given.life(&group).state, State::Ignored);
    given.decide(&group, ignore(Until::Date(NOON)));
    assert_eq!(given.store.open_no_longer_ignored().unwrap(), 1);
    assert_eq!(given.store.open_no_longer_ignored().unwrap(), 0);
    assert_eq!(given.life(&group).state, State::Open);
    given.decide(&group, ignore(Until::Reopened));
    for number in 5..20 {
        given.crash(record(number), "f", 13);
    }
    assert_eq!(given.life(&group).state, State::Ignored);
}

#[test]
fn what_comes_after_the_last_dump_was_removed_is_known_again() {
    let given = Given::new();
    let id = given.analysed(&record(1), "f");
    let group = given.group_of(&id);
    given.decide(&group, RESOLVE);
    given.decide(&group, tag("race"));
    given.store.remove_dump(&id).unwrap();
    assert_eq!(given.shown(), [""; 0]);
    assert_eq!(given.store.resolve_group(&group[..6]).unwrap(), group);
    let again = given.admitted(&later(record(2), 10));
    let assigned = given
        .store
        .assign(&again, &report(&["f", "main"]), None)
        .unwrap();
    assert!(assigned.regressed.is_some() && !assigned.new_group);
    assert_eq!(given.life(&group).tags, ["race"]);
}

#[test]
fn merged_groups_are_one_for_old_and_new_crashes_until_that_is_undone() {
    let given = Given::new();
    let a = given.group_of(&given.analysed(&in_container(1, "x", "api:1", &[]), "a"));
    let b = given.group_of(&given.analysed(&in_container(2, "y", "api:2", &[]), "b"));
    let c = given.group_of(&given.analysed(&record(3), "c"));
    given.decide(&a, tag("from-a"));
    let merged = given.merge(&a, &b);
    assert_eq!(merged.life.group, b);
    assert_eq!(merged.life.merged.join(" "), a);
    // So already.
    assert_eq!(given.merge(&a, &b).entry, None);
    assert_eq!(given.merge(&b, &a).entry, None);
    assert_eq!(given.shown(), ["b | main 2 open", "c | main 1 open"]);
    assert_eq!(given.store.resolve_group(&a).unwrap(), b);
    assert_eq!(given.life(&a).tags, ["from-a"]);
    let summary = given.store.group(&b, hour()).unwrap();
    assert_eq!(summary.images.len(), 2);
    assert_eq!(summary.first_seen_ms, NOON + 1000);
    // A crash to come, exactly the signature that is no longer a group.
    assert_eq!(given.crash(record(4), "a", 10), b);
    // A chain.
    given.merge(&b, &c);
    assert_eq!(given.store.resolve_group(&a).unwrap(), c);
    assert_eq!(given.crash(record(5), "a", 11), c);
    assert_eq!(given.shown(), ["c | main 5 open"]);

    let given = given.restart();
    let undone = given.store.undo_group_change(&ann(), &c, None).unwrap();
    assert!(matches!(undone.entry.unwrap().change, Change::Undo { .. }));
    assert_eq!(given.shown(), ["b | main 4 open", "c | main 1 open"]);
    given.store.undo_group_change(&ann(), &b, None).unwrap();
    assert_eq!(
        given.shown(),
        ["a | main 3 open", "b | main 1 open", "c | main 1 open"]
    );
    assert_eq!(given.crash(record(6), "a", 12), a);
    assert_eq!(given.life(&a).tags, ["from-a"]);
    assert_eq!(given.life(&b).tags, [""; 0]);
}

#[test]
fn groups_cannot_be_merged_in_a_circle_by_undoing() {
    let given = Given::new();
    let [a, b] = [(1, "a"), (2, "b")]
        .map(|(number, function)| given.group_of(&given.analysed(&record(number), function)));
    let merge = given.merge(&a, &b).entry.unwrap();
    let undo = given
        .store
        .undo_group_change(&ann(), &b, Some(merge.sequence))
        .unwrap();
    given.merge(&b, &a);
    let undo_of_undo =
        given
            .store
            .undo_group_change(&ann(), &a, Some(undo.entry.unwrap().sequence));
    assert!(matches!(undo_of_undo, Err(StoreError::Refused(_))));
    assert_eq!(given.shown(), ["a | main 2 open"]);
}

#[test]
fn a_split_by_signature_or_query_holds_for_crashes_to_come() {
    let given = Given::new();
    let a = given.group_of(&given.analysed(&in_container(1, "x", "api:1", &[]), "a"));
    let b = given.group_of(&given.analysed(&in_container(2, "x", "api:2", &[]), "b"));
    given.merge(&a, &b);
    let split = |split: Split| given.store.split_group(&ann(), &b, split);
    let of_a = split(Split::Signatures(vec![a.clone()]))
        .unwrap()
        .life
        .group;
    assert_eq!(given.shown(), ["b | main 1 open", "b | main 1 open"]);
    assert_eq!(given.crash(record(3), "a", 10), of_a);
    assert_eq!(given.crash(record(4), "b", 11), b);

    let by_image = split(Split::Query("image:api:2".into())).unwrap();
    let of_image = by_image.life.group;
    assert_eq!(
        given.crash(in_container(5, "z", "api:2", &[]), "b", 12),
        of_image
    );
    assert_eq!(given.crash(in_container(6, "z", "api:3", &[]), "b", 13), b);

    for wrong in [
        "since:1h",
        "group:ab",
        "pinned:yes",
        "",
        "image:nothing",
        "nonsense:1",
    ] {
        let error = split(Split::Query(wrong.into())).unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{wrong}: {error}");
    }
    let whole = split(Split::Signatures(vec![b.clone()]));
    assert!(matches!(whole, Err(StoreError::Refused(_))));

    // Back where it came from, and away from there again.
    given.merge(&of_image, &b);
    assert_eq!(given.crash(in_container(7, "z", "api:2", &[]), "b", 14), b);
    given.store.undo_group_change(&ann(), &b, None).unwrap();
    assert_eq!(
        given.crash(in_container(8, "z", "api:2", &[]), "b", 15),
        of_image
    );
}

#[test]
fn nothing_that_was_decided_is_lost_with_the_database() {
    let given = Given::new();
    let a = given.group_of(&given.analysed(&in_container(1, "x", "api:1", &[]), "a"));
    let b = given.group_of(&given.analysed(&in_container(2, "x", "api:2", &[]), "b"));
    given.crash(in_container(3, "x", "api:3", &[]), "b", 5);
    given.merge(&a, &b);
    let split = Split::Query("image:api:3".into());
    let of_image = given
        .store
        .split_group(&ann(), &b, split)
        .unwrap()
        .life
        .group;
    for change in [
        tag("race"),
        tag("wrong"),
        Change::Untag {
            tag: "wrong".into(),
        },
        Change::Ticket {
            ticket: "https://tracker/1".into(),
        },
        Change::Owner {
            owner: Some("team-a".into()),
        },
        Change::Note {
            text: "only under load".into(),
        },
        Change::Ignore {
            until: Until::Crashes(5),
        },
    ] {
        given.decide(&b, change);
    }
    let theory = given.decide(
        &b,
        Change::Theory {
            text: "double free".into(),
        },
    );
    let theory = theory.entry.unwrap().sequence;
    given.decide(
        &b,
        Change::Evidence {
            theory,
            evidence: Evidence::Dump(id(1)),
        },
    );
    given.decide(
        &b,
        Change::Verdict {
            theory,
            verdict: Verdict::Disproven,
            why: Some("ASan is quiet".into()),
        },
    );
    given.decide(&of_image, RESOLVE);
    let (shown, life, history) = (
        given.shown(),
        given.life(&b),
        given.store.group_history(&b).unwrap(),
    );
    assert_eq!(life.theories[0].verdict, Verdict::Disproven);

    let given = given.rebuilt();
    assert_eq!(given.shown(), shown);
    assert_eq!(given.life(&b), life);
    assert_eq!(given.store.group_history(&b).unwrap(), history);
    assert_eq!(given.life(&of_image).state, State::Resolved);
    assert_eq!(given.store.resolve_group(&a).unwrap(), b);
    assert_eq!(given.crash(record(9), "a", 10), b);

    // A line that was cut, and one that is no change.
    let path = given.path("changes.jsonl");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"sequence\":99}\n{\"sequence\":10");
    fs::write(&path, text).unwrap();
    let given = given.rebuilt();
    assert_eq!(given.life(&b).tags, ["race"]);
    given.decide(&b, tag("after"));
    assert_eq!(given.rebuilt().life(&b).tags, ["after", "race"]);
}

#[test]
fn a_journal_that_fell_behind_is_brought_up() {
    let given = Given::new();
    let group = given.group_of(&given.analysed(&record(1), "f"));
    given.decide(&group, tag("one"));
    let before = fs::read(given.path("changes.jsonl")).unwrap();
    given.decide(&group, tag("two"));
    // The disk was full for the second.
    fs::write(given.path("changes.jsonl"), before).unwrap();
    let given = given.restart().rebuilt();
    assert_eq!(given.life(&group).tags, ["one", "two"]);
}

#[test]
fn what_is_so_already_is_not_recorded_again_and_nonsense_is_refused() {
    let given = Given::new();
    let group = given.group_of(&given.analysed(&record(1), "f"));
    let note = || Change::Note {
        text: " seen\r\ntwice ".into(),
    };
    for change in [RESOLVE, tag("x"), note()] {
        assert!(given.decide(&group, change.clone()).entry.is_some());
        assert!(given.decide(&group, change).entry.is_none());
    }
    assert_eq!(given.life(&group).notes[0].text, "seen\ntwice");
    let last = given.store.group_history(&group).unwrap().pop().unwrap();
    for expected in [true, false] {
        let undone = given
            .store
            .undo_group_change(&ann(), &group, Some(last.sequence))
            .unwrap();
        assert_eq!(undone.entry.is_some(), expected);
    }
    let long = "x".repeat(20_000);
    for wrong in [
        tag(""),
        tag("two words"),
        tag(&long),
        Change::Note { text: long.clone() },
        Change::Ticket {
            ticket: "a\nb".into(),
        },
        Change::Ignore {
            until: Until::Crashes(0),
        },
        Change::Evidence {
            theory: 1,
            evidence: Evidence::Link("javascript:alert(1)".into()),
        },
        Change::Undo { change: 1 },
    ] {
        let error = given
            .store
            .change_group(&ann(), &group, wrong.clone())
            .unwrap_err();
        assert!(
            matches!(error, StoreError::Refused(_)),
            "{wrong:?}: {error}"
        );
    }
    let theory = Change::Verdict {
        theory: 99,
        verdict: Verdict::Proven,
        why: None,
    };
    for (group, change) in [
        (group.as_str(), theory),
        ("0000000000000000", RESOLVE),
        (
            &group,
            Change::Merge {
                into: "0000000000000000".into(),
            },
        ),
    ] {
        let error = given.store.change_group(&ann(), group, change).unwrap_err();
        assert!(matches!(error, StoreError::NotFound(_)), "{error}");
    }
}
