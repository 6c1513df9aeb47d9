//! Asks what people ask, each question with values drawn at random, and says how long it took.

use crate::Size;
use crate::crash::{HOSTS, Numbers, SERVICES, function};
use crate::fill::quantiles;
use aground_store::lifecycle::{Actor, Change};
use aground_store::types::PageRequest;
use aground_store::{Histogram, Query, Store, StoreError};
use std::error::Error;
use std::time::Instant;

/// Times each question is asked.
const ROUNDS: u64 = 200;
/// Crashes of the group that others are merged into.
const MERGED: u64 = 100_000;
/// Rows of a page, as the web shows them.
const ROWS: usize = 50;

type Question = (&'static str, fn(&mut Numbers) -> String);

/// Searches by the values that the generator gives.
const SEARCHES: [Question; 23] = [
    ("nothing", |_| String::new()),
    ("image", |n| {
        format!(
            "image:registry.example/service{}:1.{}",
            n.below(SERVICES),
            n.below(8)
        )
    }),
    ("image:…*", |n| {
        format!("image:registry.example/service{}*", n.below(SERVICES))
    }),
    ("host", |n| format!("host:node{:02}", n.below(HOSTS))),
    ("host, since", |n| {
        format!("host:node{:02} since:24h", n.below(HOSTS))
    }),
    ("container", |n| {
        format!(
            "container:service{}-{}-{}",
            n.below(SERVICES),
            n.below(250),
            n.below(HOSTS)
        )
    }),
    ("label", |n| format!("label:team=team{}", n.below(12))),
    ("label and signal", |n| {
        format!("label:team=team{} signal:SIGSEGV", n.below(12))
    }),
    ("host and exe", |n| {
        format!(
            "host:node{:02} exe:/srv/service{}/bin/server",
            n.below(HOSTS),
            n.below(SERVICES)
        )
    }),
    ("function", |n| {
        format!("function:{}", function(n.below(30_000)))
    }),
    ("function:…*", |n| {
        format!("function:parse_header_{}*", n.below(100))
    }),
    ("cause, not a label", |n| {
        format!("cause:assertion -label:team=team{}", n.below(12))
    }),
    ("a rare word", |n| function(n.below(30_000))),
    ("a common word", |n| {
        ["header", "timer", "queue", "socket"][usize::try_from(n.below(4)).unwrap_or(0)].to_owned()
    }),
    ("a word of the log", |n| {
        format!("log:{:x}", n.below(1_000_000) * 977)
    }),
    ("a phrase of the message", |n| {
        format!("message:\"tenant{} failed\"", n.below(500))
    }),
    ("file", |n| {
        format!(
            "file:part{}.c exe:/srv/service{}/bin/server",
            n.below(300),
            n.below(SERVICES)
        )
    }),
    ("build id", |n| {
        format!("module:/srv/service{}/bin/server", n.below(SERVICES))
    }),
    ("a phrase", |n| {
        format!(
            "\"request {} of tenant{}\"",
            n.below(1_000_000),
            n.below(500)
        )
    }),
    ("a function that many have", |n| {
        format!(
            "function:{} host:node{:02}",
            function(30_000 + n.below(60)),
            n.below(HOSTS)
        )
    }),
    ("two that hardly meet", |n| {
        format!(
            "cpu:\"Processor {}\" label:team=team{} exe:/srv/service{}/bin/server",
            n.below(7),
            n.below(12),
            n.below(SERVICES)
        )
    }),
    ("first seen lately", |_| {
        "first_seen:48h crashes:>10".to_owned()
    }),
    ("nothing matches", |n| {
        format!("image:none{} signal:SIGBUS", n.below(9))
    }),
];

/// Asks everything and prints a line for each question.
pub fn ask(store: &Store, size: Size) -> Result<(), Box<dyn Error>> {
    let page = PageRequest {
        limit: ROWS,
        cursor: None,
    };
    let day = Histogram {
        now_ms: size.now_ms,
        window_ms: 24 * 3_600_000,
        buckets: 24,
    };
    for (name, search) in SEARCHES {
        time(&format!("crashes: {name}"), |n| {
            let query = Query::parse(&search(n))?;
            store.dumps(&query, &page)?;
            store.count_dumps(&query)?;
            Ok(())
        })?;
        time(&format!("groups: {name}"), |n| {
            let query = Query::parse(&search(n))?;
            store.groups(&query, &page, day)?;
            store.histogram(&query, day)?;
            Ok(())
        })?;
    }
    time("whole first page", |_| {
        store.status()?;
        store.histogram(&Query::default(), day)?;
        store.groups(&Query::default(), &page, day)?;
        Ok(())
    })?;
    let month = Histogram {
        window_ms: 30 * 24 * 3_600_000,
        buckets: 60,
        ..day
    };
    let groups = all_groups(store, day)?;
    println!("{} groups", groups.len());
    time("group page", |n| {
        let index = usize::try_from(n.below(u64::try_from(groups.len())?))?;
        let (_, id) = groups.get(index).ok_or("no group")?;
        store.group(id, month)?;
        let query = Query::default().with_filter(&format!("group={id}"))?;
        store.dumps(&query, &page)?;
        Ok(())
    })?;
    time("nearest groups of a crash", |n| {
        let index = usize::try_from(n.below(u64::try_from(groups.len())?))?;
        let (_, id) = groups.get(index).ok_or("no group")?;
        store.like(&store.group(id, day)?.latest)?;
        Ok(())
    })?;
    let mut by_size = groups.clone();
    by_size.truncate(50);
    time("group page of those seen last", |n| {
        let index = usize::try_from(n.below(u64::try_from(by_size.len())?))?;
        let (_, id) = by_size.get(index).ok_or("no group")?;
        store.group(id, month)?;
        let query = Query::default().with_filter(&format!("group={id}"))?;
        store.dumps(&query, &page)?;
        Ok(())
    })?;
    merge(store, groups)
}

/// Merges the largest groups into one of so many crashes, that one into another, and takes that
/// back: whoever writes waits for the longest step of it.
fn merge(store: &Store, mut groups: Vec<(u64, String)>) -> Result<(), Box<dyn Error>> {
    let by = Actor::aground();
    groups.sort();
    let all: u64 = groups.iter().map(|(crashes, _)| crashes).sum();
    let Some((mut crashes, large)) = groups.pop() else {
        return Ok(());
    };
    while crashes < MERGED.min(all / 2)
        && let Some((more, group)) = groups.pop()
    {
        let into = large.clone();
        store.change_group(&by, &group, Change::Merge { into })?;
        while store.reroute()? {}
        crashes += more;
    }
    let Some((_, other)) = groups.pop() else {
        return Ok(());
    };
    let into = other.clone();
    steps(
        &format!("a group of {crashes} merged into another"),
        store,
        || {
            store
                .change_group(&by, &large, Change::Merge { into })
                .map(drop)
        },
    )?;
    steps("that taken back", store, || {
        store.undo_group_change(&by, &other, None).map(drop)
    })
}

/// Times a decision and the steps that it leaves to be done.
fn steps(
    name: &str,
    store: &Store,
    decide: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    decide()?;
    let decided = begun.elapsed();
    let mut times = vec![];
    loop {
        let started = Instant::now();
        let more = store.reroute()?;
        times.push(started.elapsed());
        if !more {
            break;
        }
    }
    println!(
        "{name}: decided in {decided:?}, {} steps of {}, {:?} in all",
        times.len(),
        quantiles(&mut times),
        begun.elapsed()
    );
    Ok(())
}

/// Ids of all groups with their crashes, last seen first.
fn all_groups(store: &Store, day: Histogram) -> Result<Vec<(u64, String)>, Box<dyn Error>> {
    let mut ids = vec![];
    let mut page = PageRequest {
        limit: 1000,
        cursor: None,
    };
    loop {
        let found = store.groups(&Query::default(), &page, day)?;
        ids.extend(found.items.into_iter().map(|group| (group.count, group.id)));
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            return Ok(ids);
        }
    }
}

fn time(
    name: &str,
    mut question: impl FnMut(&mut Numbers) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut numbers = Numbers(42);
    let (mut times, mut busy) = (vec![], vec![]);
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let (started, working) = (Instant::now(), crate::fill::processor_time());
        question(&mut numbers)?;
        times.push(started.elapsed());
        busy.push(crate::fill::processor_time().saturating_sub(working));
        // What takes seconds is known well enough after a few.
        if begun.elapsed().as_secs() > 20 {
            break;
        }
    }
    println!(
        "{name}: {} of processor time; {} with what else ran ({} times)",
        quantiles(&mut busy),
        quantiles(&mut times),
        times.len()
    );
    Ok(())
}
