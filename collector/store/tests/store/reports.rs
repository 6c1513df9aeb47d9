//! What is counted, compared, named and rebuilt.

use crate::given::*;
use aground_helper::record::Record;
use aground_store::tally::{Columns, Over, Tally, TallyRequest};
use aground_store::types::PageRequest;
use aground_store::{Query, Store, StoreError};

/// A crash of a number on a host, in a container of an image.
fn crash(number: u8, host: &str, image: &str, team: &str) -> Record {
    let mut record = in_container(number, &format!("c{number}"), image, &[("team", team)]);
    host.clone_into(&mut record.host.hostname);
    record
}

fn tally(given: &Given, by: &str, query: &str) -> Tally {
    let request = TallyRequest {
        by: Columns::parse(by).unwrap(),
        query: Query::parse(query).unwrap(),
        ..TallyRequest::default()
    };
    given.store.tally(&request).unwrap()
}

fn shown(tally: &Tally) -> Vec<String> {
    let row = |row: &aground_store::tally::TallyRow| {
        let values = row.values.iter().map(|v| v.clone().unwrap_or("-".into()));
        format!("{} {}", values.collect::<Vec<_>>().join(","), row.crashes)
    };
    tally.rows.iter().map(row).collect()
}

#[test]
fn crashes_are_counted_by_fields() {
    let given = Given::new();
    for number in 0..6 {
        let image = if number < 4 { "api:1" } else { "db:1" };
        let host = ["a", "b"][usize::from(number % 2)];
        given.analysed(
            &crash(number, host, image, "core"),
            ["f", "g"][usize::from(number / 3)],
        );
    }
    given.admitted(&record(6));
    assert_eq!(
        shown(&tally(&given, "image", "")),
        ["api:1 4", "db:1 2", "- 1"]
    );
    assert_eq!(
        shown(&tally(&given, "image,host", "-image:db")),
        ["api:1,a 2", "api:1,b 2", "-,node1 1"]
    );
    let by_label = tally(&given, "label:team,node", "label:team");
    assert_eq!(shown(&by_label), ["core,a 3", "core,b 3"]);
    assert_eq!((by_label.crashes, by_label.distinct), (6, vec![1, 2]));
    let by_host = tally(&given, "host", "image:api");
    assert_eq!(
        by_host.rows.iter().map(|r| r.groups).collect::<Vec<_>>(),
        [1, 2]
    );
    let first = by_host.rows.first().unwrap();
    assert_eq!(
        (first.first_seen_ms, first.last_seen_ms),
        (NOON, NOON + 2000)
    );
}

#[test]
fn trends_are_counts_over_time_and_rows_beyond_the_limit_are_told() {
    let given = Given::new();
    for number in [0, 1, 59, 61, 119] {
        given.analysed(&crash(number, &format!("h{number}"), "api:1", "core"), "f");
    }
    let request = TallyRequest {
        by: Columns::parse("host").unwrap(),
        over: Some(Over {
            width_ms: 60_000,
            buckets: 2,
            now_ms: NOON + 120_000,
        }),
        limit: 2,
        ..TallyRequest::default()
    };
    let tally = given.store.tally(&request).unwrap();
    // A bucket holds its end and not its start.
    assert_eq!(tally.trend, [2, 2]);
    assert_eq!((tally.more_rows, tally.more_crashes), (3, 3));
    assert_eq!(
        (tally.start_ms, tally.bucket_ms),
        (Some(NOON), Some(60_000))
    );
    assert_eq!(
        tally.rows.iter().map(|r| r.trend.len()).collect::<Vec<_>>(),
        [2, 2]
    );
    assert_eq!(tally.cut, None);
}

#[test]
fn values_with_quotes_and_wildcards_lead_back_to_their_crashes() {
    let given = Given::new();
    let values = ["it's", "a\"b", "back\\slash", "*", "a b", "-x", "[y]?"];
    for (number, value) in (0..).zip(values) {
        given.admitted(&crash(number, value, "api:1", value));
    }
    for by in ["host", "label:team"] {
        let columns = Columns::parse(by).unwrap();
        for row in tally(&given, by, "").rows {
            let value = row.values.into_iter().next().unwrap().unwrap();
            let number = (0_u8..).zip(values).find(|(_, v)| *v == value).unwrap().0;
            let query = columns.condition(0, &value).unwrap();
            assert_eq!(given.found(&query), [number], "{query}");
        }
    }
}

#[test]
fn what_stands_out_in_a_group_is_found_and_follows_its_crashes() {
    let given = Given::new();
    for number in 0..40 {
        let host = if number < 8 {
            "bad"
        } else {
            ["a", "b", "c"][usize::from(number % 3)]
        };
        let function = if number < 8 { "broken" } else { "usual" };
        given.analysed(
            &crash(number, host, &format!("api:{}", number % 2), "core"),
            function,
        );
    }
    let group = given.summary(&id(0)).group.unwrap();
    let history = given.store.history(&group).unwrap();
    assert_eq!(history.more_often.of_here, 8);
    assert_eq!(history.more_often.of_elsewhere, 32);
    let found: Vec<_> = history.more_often.findings.iter().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].facet.as_str(), found[0].value.as_str()),
        ("host", "bad")
    );
    assert_eq!((found[0].here, found[0].elsewhere), (8, 0));
    let images = &history.seen["image"].values;
    assert_eq!(images.len(), 2);
    assert_eq!(
        (images[0].value.as_str(), images[0].first_seen_ms),
        ("api:0", NOON)
    );
    assert_eq!(images[1].last_seen_ms, NOON + 7000);

    // Dumps that go, or come to another group, are counted out.
    given.store.remove_dump(&id(7)).unwrap();
    given
        .store
        .save_report(&id(6), &report(&["usual", "main"]))
        .unwrap();
    let history = given.store.history(&group).unwrap();
    assert_eq!(history.seen["host"].values[0].crashes, 6);
    assert_eq!(history.more_often.of_elsewhere, 33);
    let hosts = given.store.hosts().unwrap();
    let bad = hosts.hosts.iter().find(|host| host.host == "bad").unwrap();
    assert_eq!((bad.crashes, bad.groups), (7, 2));
    assert!(matches!(
        given.store.history("0"),
        Err(StoreError::NotFound(_))
    ));
}

#[test]
fn a_host_with_groups_of_its_own_is_suspect() {
    let given = Given::new();
    let mut number = 0;
    for host in ["a", "b", "c", "d"] {
        for program in ["/bin/x", "/bin/y"] {
            let mut record = crash(number, host, "api:1", "core");
            record.process.executable = Some(program.to_owned());
            given.analysed(&record, program);
            number += 1;
        }
    }
    for way in 0..12 {
        let mut record = crash(number, "d", "api:1", "core");
        record.process.executable = Some(["/bin/x", "/bin/y"][way % 2].to_owned());
        given.analysed(&record, &format!("nowhere{way}"));
        number += 1;
    }
    let hosts = given.store.hosts().unwrap();
    let suspect: Vec<_> = hosts.hosts.iter().filter(|host| host.suspect).collect();
    assert_eq!(suspect.len(), 1, "{hosts:?}");
    assert_eq!((suspect[0].host.as_str(), suspect[0].alone), ("d", 12));
    assert_eq!((suspect[0].executables, hosts.alone), (2, 12));
    assert!(suspect[0].p < 0.001 && suspect[0].usual < 4.0);
}

#[test]
fn searches_keep_their_names() {
    let given = Given::new();
    let store = &given.store;
    store
        .save_search("prod-oom", "namespace:prod cause:abort")
        .unwrap();
    store.save_search("a", "host:a").unwrap();
    store.save_search("a", "  host:b ").unwrap();
    for (name, query) in [
        ("", "host:a"),
        ("a b", "host:a"),
        ("../x", "host:a"),
        ("x", ""),
        ("x", "hots:a"),
    ] {
        assert!(store.save_search(name, query).is_err(), "{name} {query}");
    }
    let given = given.restart();
    let names: Vec<_> = given
        .store
        .searches()
        .into_iter()
        .map(|s| (s.name, s.query))
        .collect();
    let expected = [("a", "host:b"), ("prod-oom", "namespace:prod cause:abort")];
    assert_eq!(names, expected.map(|(n, q)| (n.to_owned(), q.to_owned())));
    assert_eq!(given.store.remove_search("a").unwrap().query, "host:b");
    assert!(given.store.search("a").is_err() && given.store.remove_search("a").is_err());
}

/// What queries, groups and reports answer.
fn answers(given: &Given) -> String {
    let store = &given.store;
    let mut answers = vec![];
    for query in [
        "",
        "image:api",
        "host:b",
        "function:f",
        "text:tenant",
        "log:started",
        "label:team=core",
        "status:failed",
        "pinned:yes",
        "state:resolved",
        "tag:known",
        "first_seen:1h..",
        "out",
    ] {
        let parsed = Query::parse(query).unwrap();
        let groups = store
            .groups(&parsed, &PageRequest::default(), hour())
            .unwrap();
        answers.push(format!(
            "{query}: {:?} {:?}",
            given.found(query),
            groups.items
        ));
    }
    for group in store
        .groups(&Query::default(), &PageRequest::default(), hour())
        .unwrap()
        .items
    {
        answers.push(format!("{:?}", store.history(&group.id).unwrap()));
    }
    answers.push(format!("{:?}", tally(given, "image,host", "")));
    answers.push(format!(
        "{:?} {:?}",
        store.hosts().unwrap(),
        store.searches()
    ));
    let status = store.status().unwrap();
    answers.push(format!(
        "{} {} {} {}",
        status.dumps, status.groups, status.pinned, status.failed
    ));
    answers.join("\n")
}

#[test]
fn a_rebuilt_database_answers_as_before() {
    use aground_store::lifecycle::{Actor, Change};
    let given = Given::new();
    for number in 0..9 {
        let record = crash(number, ["a", "b"][usize::from(number % 2)], "api:1", "core");
        let entry = given.spool(&record, &[]);
        std::fs::write(entry.join("log.txt"), "service started\n").unwrap();
        given.store.admit(&record, &entry).unwrap();
        let mut report = report(&[["f", "g", "h"][usize::from(number % 3)], "main"]);
        report.cause.message = Some(format!("tenant {number} out of range"));
        let failure = (number == 8).then_some("timed out");
        given.store.assign(&record.id, &report, failure).unwrap();
    }
    let store = &given.store;
    store.pin(&id(3), true).unwrap();
    store.save_search("mine", "host:a").unwrap();
    let by = Actor::aground();
    let group = |number: u8| given.summary(&id(number)).group.unwrap();
    let (first, second, third) = (group(0), group(1), group(2));
    store
        .change_group(
            &by,
            &first,
            Change::Tag {
                tag: "known".into(),
            },
        )
        .unwrap();
    store
        .change_group(&by, &second, Change::Merge { into: third })
        .unwrap();
    let before = answers(&given);
    let events = store.events_after(0, 1000).unwrap();

    let Given { directory, store } = given;
    drop(store);
    let mut told = vec![];
    let rebuilt = Store::rebuild(directory.path(), |done, all| told.push((done, all))).unwrap();
    assert_eq!((rebuilt.rows.admitted, rebuilt.warnings), (9, vec![]));
    assert_eq!(told.first(), Some(&(0, 9)));
    let given = Given {
        store: Store::open(directory.path()).unwrap(),
        directory,
    };
    assert_eq!(answers(&given), before);
    assert_eq!(given.store.events_after(0, 1000).unwrap(), events);

    // A database that is nothing any more is no loss either.
    let Given { directory, store } = given;
    drop(store);
    std::fs::write(directory.path().join("aground.db"), "no database").unwrap();
    let rebuilt = Store::rebuild(directory.path(), |_, _| {}).unwrap();
    assert_eq!((rebuilt.rows.admitted, rebuilt.warnings.len()), (9, 11));
    let given = Given {
        store: Store::open(directory.path()).unwrap(),
        directory,
    };
    assert_eq!(answers(&given), before);
}
