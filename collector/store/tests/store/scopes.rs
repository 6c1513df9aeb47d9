//! A store seen through a scope answers everything as a store that holds nothing else.

use crate::given::*;
use aground_analyzer::report::{Address, MemoryRange, RegisterUse, Site, Variable};
use aground_helper::record::Record;
use aground_store::access::{Scope, Sight};
use aground_store::lifecycle::{Actor, Change};
use aground_store::tally::{Columns, Over, TallyRequest};
use aground_store::types::PageRequest;
use aground_store::{Query, Store, StoreError};
use std::fmt::Debug;

/// Crashes of two teams and of the host, in turn; those of the first team and its prod namespace.
fn crashes() -> Vec<(Record, &'static str, bool)> {
    let ours = |number, name: &str| {
        let mut record = in_container(
            number,
            name,
            "shop/api:1",
            &[("team", "core"), ("commit", "0123456789abcdef")],
        );
        let container = record.container.as_mut().unwrap();
        container.pod_namespace = Some("prod".to_owned());
        container.image_digests = vec![format!("shop/api@sha256:{}", "c".repeat(64))];
        record
    };
    let theirs = |number, name: &str| {
        let mut record = in_container(number, name, "pay/api:1", &[("team", "money")]);
        "node2".clone_into(&mut record.host.hostname);
        record
    };
    vec![
        (ours(1, "a\nb"), "parse", true),
        (theirs(2, "p1"), "parse", false),
        (ours(3, "a1"), "own", true),
        (theirs(4, "p2"), "secret", false),
        (record(5), "parse", false),
        (ours(6, "a2"), "parse", true),
        (theirs(7, "p1"), "parse", false),
    ]
}

fn scoped(store: &Store, conditions: &[&str]) -> Store {
    let conditions = conditions.iter().map(ToString::to_string).collect();
    let sight = Sight {
        scope: Scope::new(conditions).unwrap(),
        memory: true,
    };
    store.seen(sight).unwrap()
}

/// Both stores: all crashes seen through the scope, and those in scope alone.
fn both(conditions: &[&str]) -> (Given, Store, Given) {
    let (all, few) = (Given::new(), Given::new());
    for (record, function, in_scope) in crashes() {
        let record = with_modules(record, &[function.as_bytes()]);
        for given in [&all, &few].into_iter().take(1 + usize::from(in_scope)) {
            let entry = given.spool(&record, &[function.as_bytes()]);
            given.store.admit(&record, &entry).unwrap();
            given
                .store
                .save_report(&record.id, &report(&[function, function]))
                .unwrap();
        }
    }
    let seen = scoped(&all.store, conditions);
    (all, seen, few)
}

#[allow(clippy::needless_pass_by_value)] // so that it takes what calls return
fn told<T: Debug, E: Debug>(answer: Result<T, E>) -> String {
    format!("{answer:#?}")
}

fn check_everything(seen: &Store, few: &Store) {
    check_queries(seen, few);
    check_sums(seen, few);
    check_each(seen, few);
}

fn check_queries(seen: &Store, few: &Store) {
    let same = |what: &str, ask: &dyn Fn(&Store) -> String| {
        assert_eq!(ask(seen), ask(few), "{what}");
    };
    for text in [
        "",
        "function:parse",
        "function:secret",
        "image:pay*",
        "image:shop/api",
        "-image:shop/api",
        "label:team=money",
        "label:team",
        "host:node2",
        "crashes:>1",
        "crashes:>2",
        "state:open since:2020-01-01",
        "first_seen:>2020-01-01",
        "secret",
        "parse",
        "text:p1 signal:SIGSEGV",
        "image:shop/api image:pay/api",
        "id:04",
    ] {
        let query = Query::parse(text).unwrap();
        let page = PageRequest::default();
        same(&format!("dumps {text}"), &|store| {
            told(store.dumps(&query, &page).map(|page| page.items))
        });
        same(&format!("count {text}"), &|store| {
            told(store.count_dumps(&query))
        });
        same(&format!("groups {text}"), &|store| {
            told(store.groups(&query, &page, hour()))
        });
        same(&format!("histogram {text}"), &|store| {
            told(store.histogram(&query, hour()))
        });
        for by in [
            "image",
            "group",
            "label:team,host",
            "container,state",
            "image_digest",
        ] {
            let request = TallyRequest {
                by: Columns::parse(by).unwrap(),
                query: query.clone(),
                over: Some(Over {
                    width_ms: 3_600_000,
                    buckets: 3,
                    now_ms: NOON + 3_600_000,
                }),
                limit: 0,
            };
            same(&format!("report {by} {text}"), &|store| {
                told(store.tally(&request))
            });
        }
    }
}

fn check_sums(seen: &Store, few: &Store) {
    let same = |what: &str, ask: &dyn Fn(&Store) -> String| {
        assert_eq!(ask(seen), ask(few), "{what}");
    };
    same("hosts", &|store| told(store.hosts()));
    same("states", &|store| told(store.groups_by_state()));
    same("status", &|store| {
        told(store.status().map(|s| {
            (
                s.dumps,
                s.groups,
                s.pending,
                s.failed,
                s.pinned,
                s.core_bytes,
                s.modules,
            )
        }))
    });
    same("wanted", &|store| told(store.missing_symbols(100)));
    same("events", &|store| {
        let events = store.events_after(0, 100);
        told(events.map(|all| {
            all.into_iter()
                .map(|e| (e.kind, e.dump, e.group))
                .collect::<Vec<_>>()
        }))
    });
}

fn check_each(seen: &Store, few: &Store) {
    let same = |what: &str, ask: &dyn Fn(&Store) -> String| {
        assert_eq!(ask(seen), ask(few), "{what}");
    };
    for (record, function, in_scope) in crashes() {
        let id = &record.id;
        same("dump", &|store| told(store.dump(id)));
        same("record", &|store| told(store.record(id)));
        same("report", &|store| format!("{:?}", store.report(id)));
        same("like", &|store| told(store.like(id)));
        same("contains", &|store| told(store.contains(id)));
        same("resolve", &|store| {
            told(store.resolve_dump(&id.as_str()[..2]))
        });
        same("properties", &|store| told(store.properties(id)));
        same("core", &|store| {
            told(store.core(id).map(|core| core.is_some()))
        });
        let sha256 = sha256(function.as_bytes());
        same("module", &|store| told(store.module(&sha256).map(|_| ())));
        let group = &report(&[function, function]).signature.hash[..16];
        same("group", &|store| told(store.group(group, hour())));
        same("group's beginning", &|store| {
            told(store.resolve_group(&group[..4]))
        });
        same("history", &|store| {
            told(store.history(group).map(|history| history.seen))
        });
        assert!(in_scope || matches!(seen.dump(id), Err(StoreError::NotFound("dump"))));
    }
    same("every beginning of a group", &|store| {
        "0123456789abcdef"
            .chars()
            .map(|c| told(store.resolve_group(&c.to_string())))
            .collect()
    });
}

#[test]
fn what_is_out_of_scope_does_not_exist() {
    for conditions in [
        &["label=team=core"][..],
        &["namespace=prod"],
        &["image=shop/*"],
        &["namespace=other", "namespace=prod", "label=team"],
        &["image=shop/api", "label=team=core"],
    ] {
        let (_all, seen, few) = both(conditions);
        check_everything(&seen, &few.store);
    }
}

#[test]
fn what_comes_later_and_what_is_decided_is_seen_by_the_same_rule() {
    let (all, seen, few) = both(&["label=team=core"]);
    let late = crashes().remove(0).0;
    for (number, team, into_both) in [(11, "core", true), (12, "money", false)] {
        let record = in_container(number, "late", "shop/api:2", &[("team", team)]);
        for given in [&all, &few].into_iter().take(1 + usize::from(into_both)) {
            given.analysed(&record, "late");
        }
    }
    all.store.remove_dump(&late.id).unwrap();
    few.store.remove_dump(&late.id).unwrap();
    let ann = Actor {
        uid: Some(1000),
        name: "ann".into(),
        via: "api".into(),
    };
    let group = |function: &str| report(&[function, function]).signature.hash[..16].to_owned();
    let tag = || Change::Tag { tag: "seen".into() };
    all.store.change_group(&ann, &group("own"), tag()).unwrap();
    all.store
        .change_group(&ann, &group("secret"), tag())
        .unwrap();
    few.store.change_group(&ann, &group("own"), tag()).unwrap();
    let find = |store: &Store, text: &str| {
        let query = Query::parse(text).unwrap();
        let page = store
            .groups(&query, &PageRequest::default(), hour())
            .unwrap();
        page.items
            .into_iter()
            .map(|group| (group.title, group.count))
            .collect::<Vec<_>>()
    };
    for text in ["", "tag:seen", "function:late"] {
        assert_eq!(find(&seen, text), find(&few.store, text), "{text}");
    }
    assert!(seen.group_history(&group("own")).unwrap().len() == 1);
    assert!(seen.resolve_group(&group("secret")).is_err());
}

#[test]
fn a_wider_query_does_not_widen_a_scope() {
    let (_all, seen, _few) = both(&["image=shop/api"]);
    let query = Query::parse("image:pay/api").unwrap();
    assert_eq!(
        seen.dumps(&query, &PageRequest::default()).unwrap().items,
        []
    );
    // Quotes and wildcards of a scope are its own.
    let odd = scoped(&seen, &["label=team=x' OR TRUE --", "image=?"]);
    assert_eq!(odd.count_dumps(&Query::default()).unwrap(), Some(0));
}

#[test]
fn memory_is_hidden_and_cannot_be_guessed_by_asking() {
    let given = Given::new();
    let mut record = in_container(1, "a", "shop:1", &[]);
    record.process.environment = vec!["HOME=/secret-home".to_owned()];
    let entry = given.spool(&record, &[]);
    std::fs::write(entry.join("log.txt"), "secretword in the log").unwrap();
    given.store.admit(&record, &entry).unwrap();
    let mut report = report(&["parse", "main"]);
    let thread = report.threads.first_mut().unwrap();
    thread.registers.insert("rax".into(), Address(0x5ec_4e7));
    thread.frames.first_mut().unwrap().variables.push(Variable {
        name: "key".into(),
        value: "\"secret-value\"".into(),
        ..Variable::default()
    });
    report.site = Some(Site {
        memory: vec![MemoryRange {
            bytes: "de ad be ef".into(),
            ..MemoryRange::default()
        }],
        registers: vec![RegisterUse {
            name: "rax".into(),
            value: Address(0x5ec_4e7),
            ..RegisterUse::default()
        }],
        ..Site::default()
    });
    given.store.save_report(&record.id, &report).unwrap();
    let whole = serde_json::to_string(&given.store.dump(&record.id).unwrap()).unwrap();
    let secrets = [
        "secret-home",
        "secretword",
        "0x5ec4e7",
        "secret-value",
        "de ad be ef",
    ];
    for secret in secrets {
        assert!(whole.contains(secret), "{secret}");
    }

    let sight = Sight {
        memory: false,
        ..Sight::default()
    };
    let blind = given.store.seen(sight).unwrap();
    let answers = [
        serde_json::to_string(&blind.dump(&record.id).unwrap()).unwrap(),
        serde_json::to_string(&blind.record(&record.id).unwrap()).unwrap(),
        serde_json::to_string(&blind.report(&record.id).unwrap()).unwrap(),
    ];
    for answer in &answers {
        for secret in secrets {
            assert!(!answer.contains(secret), "{secret}: {answer}");
        }
        assert!(
            answer.contains("hidden: it needs the role debug"),
            "{answer}"
        );
    }
    assert!(matches!(
        blind.core(&record.id),
        Err(StoreError::Refused(_))
    ));
    for text in [
        "log:secretword",
        "secret*",
        "-log:secret*",
        "text:secretword",
    ] {
        let query = Query::parse(text).unwrap();
        let refused = blind.dumps(&query, &PageRequest::default());
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{text}");
        assert!(blind.count_dumps(&query).is_err(), "{text}");
        assert!(
            blind
                .groups(&query, &PageRequest::default(), hour())
                .is_err(),
            "{text}"
        );
        assert!(blind.histogram(&query, hour()).is_err(), "{text}");
        assert!(blind.dump_matches(&query, &record.id).is_err(), "{text}");
    }
    let told = Query::parse("message:null image:shop").unwrap();
    assert!(blind.dumps(&told, &PageRequest::default()).is_ok());
}
