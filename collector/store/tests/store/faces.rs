//! What pages and lists over all groups show: the overview, builds of images, theories.

use crate::given::*;
use aground_helper::record::Record;
use aground_store::lifecycle::{Actor, Change, Verdict};
use aground_store::overview::Overview;
use aground_store::tally::Over;
use aground_store::types::GroupSummary;
use aground_store::{Histogram, Query};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap()
}

/// Milliseconds from now; negative: before.
fn at(mut record: Record, milliseconds: i64) -> Record {
    record.captured_at_ms = now_ms() + milliseconds;
    record
}

fn ann() -> Actor {
    Actor {
        uid: None,
        name: "ann".into(),
        via: "api".into(),
    }
}

impl Given {
    fn said(&self, group: &str, change: Change) -> i64 {
        let changed = self.store.change_group(&ann(), group, change).unwrap();
        changed.entry.unwrap().sequence
    }

    fn crash_at(&self, number: u8, function: &str, milliseconds: i64) -> String {
        let id = self.analysed(&at(record(number), milliseconds), function);
        self.summary(&id).group.unwrap()
    }

    fn overview(&self) -> Overview {
        let day = Histogram {
            now_ms: now_ms() + HOUR_MS,
            window_ms: DAY_MS,
            buckets: 24,
        };
        self.store.overview(day, 24).unwrap()
    }
}

/// The innermost functions.
fn titles(groups: &[GroupSummary]) -> Vec<&str> {
    let titles = groups.iter().map(|group| group.title.split(' ').next());
    titles.map(Option::unwrap_or_default).collect()
}

#[test]
fn the_overview_tells_what_is_new_what_came_back_and_what_crashes_most() {
    let given = Given::new();
    let old = given.crash_at(1, "old", -40 * DAY_MS);
    given.crash_at(2, "rare", -30 * HOUR_MS);
    given.crash_at(3, "rare", -2 * HOUR_MS);
    for number in 4..8 {
        given.crash_at(number, "often", -3 * HOUR_MS);
    }
    let noise = given.crash_at(9, "noise", -HOUR_MS);
    given.said(
        &noise,
        Change::Ignore {
            until: aground_store::lifecycle::Until::Reopened,
        },
    );
    given.said(&old, Change::Resolve { image: None });
    given.crash_at(10, "old", 1000);

    let overview = given.overview();
    assert_eq!((overview.crashes, overview.before), (7, 1), "{overview:#?}");
    assert_eq!(overview.histogram.iter().sum::<u64>(), 7);
    assert_eq!(
        (overview.active, overview.new, overview.regressed),
        (4, 1, 1)
    );
    assert_eq!(titles(&overview.new_groups), ["often"]);
    assert_eq!(titles(&overview.regressed_groups), ["old"]);
    let busiest = titles(&overview.busiest);
    assert_eq!(busiest.first(), Some(&"often"));
    assert!(
        !busiest.contains(&"noise"),
        "what is ignored is left out: {busiest:?}"
    );
    assert_eq!(busiest.len(), 3);
}

#[test]
fn builds_of_one_reference_are_told_apart() {
    let given = Given::new();
    let build = |number: u8, digest: Option<&str>, id: &str, milliseconds: i64| {
        let mut record = in_container(number, &format!("c{number}"), "api:1", &[]);
        let container = record.container.as_mut().unwrap();
        container.image_digests = digest.into_iter().map(str::to_owned).collect();
        container.image_id = Some(id.to_owned());
        at(record, milliseconds)
    };
    let digest = Some("shop/api@sha256:aa");
    given.analysed(&build(1, digest, "sha256:01", -50 * DAY_MS), "f");
    given.analysed(&build(2, digest, "sha256:01", -DAY_MS), "f");
    given.analysed(&build(3, digest, "sha256:01", -DAY_MS), "g");
    given.analysed(&build(4, None, "sha256:02", -DAY_MS), "f");
    given.analysed(&at(record(5), -DAY_MS), "f");

    let days = Over {
        width_ms: DAY_MS,
        buckets: 30,
        now_ms: now_ms(),
    };
    let all = given.store.image_builds(Query::default(), days).unwrap();
    assert_eq!((all.images.len(), all.crashes), (2, 5), "{all:#?}");
    let first = &all.images[0];
    assert_eq!(first.digest.as_deref(), digest);
    assert_eq!((first.crashes, first.groups), (3, 2));
    assert_eq!(first.trend.iter().sum::<u64>(), 2);
    let second = &all.images[1];
    assert_eq!(
        (second.digest.as_deref(), second.image_id.as_deref()),
        (None, Some("sha256:02"))
    );

    // A narrower question still knows how old the build is.
    let query = Query::parse("since:3d").unwrap();
    let late = given.store.image_builds(query, days).unwrap();
    assert_eq!(late.images[0].crashes, 2);
    assert_eq!(late.images[0].first_seen_ms, first.first_seen_ms);
}

#[test]
fn theories_of_all_groups_are_found_once() {
    let given = Given::new();
    let (f, g) = (given.crash_at(1, "f", 0), given.crash_at(2, "g", 0));
    assert_eq!(given.store.investigations().unwrap(), []);
    let theory = |text: &str| Change::Theory { text: text.into() };
    let first = given.said(&f, theory("a race"));
    given.said(&g, theory("bad memory"));
    let wrong = given.said(&g, theory("cosmic rays"));
    given
        .store
        .undo_group_change(&ann(), &g, Some(wrong))
        .unwrap();
    given.said(
        &f,
        Change::Verdict {
            theory: first,
            verdict: Verdict::Proven,
            why: Some("seen".into()),
        },
    );
    let shown = || {
        let all = given.store.investigations().unwrap();
        let one = |i: &aground_store::investigations::Investigation| {
            format!(
                "{} {} {}",
                i.group == g,
                i.theory.text,
                i.theory.verdict.as_str()
            )
        };
        all.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(shown(), ["true bad memory proposed", "false a race proven"]);
    given.said(&f, Change::Merge { into: g.clone() });
    assert_eq!(shown(), ["true bad memory proposed", "true a race proven"]);
}
