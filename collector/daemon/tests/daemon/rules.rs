//! Rules and scripts on new dumps and over history, with mistakes in them.

use crate::given::*;
use aground_daemon::{Daemon, RulesRun};
use aground_store::Query;
use aground_store::lifecycle::{Actor, Change};
use aground_store::types::PageRequest;
use std::fs;

/// An analyzer whose scripts find a property, and of which one makes a mistake.
fn given(files: &[(&str, &str)]) -> Given {
    let mut given = Given::analyzer(
        r#"if [ "$1" = script ]; then
             case $manifest in *broken*) printf 'no json'; exit 0;; esac
             printf '[{"script":"libc","properties":[["libc","musl"]],"error":null},{"script":"bad","properties":[["found","before"]],"error":{"message":"nonsense","line":3,"column":1}}]'
             exit; fi
           say title 1"#,
    );
    let directory = given.directory.path().join("rules.d");
    fs::create_dir_all(&directory).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    given.config.rules.directory = Some(directory);
    given.config.rules.shipped = true;
    given
}

const RULES: &str = r#"
[[rule]]
name = "known"
query = "cause:unknown"
tag = ["known-bug"]
ticket = ["https://tracker/1"]
owner = "team-a"
note = "update the library"
state = "ignored"

[[rule]]
name = "other"
query = "cause:abort"
tag = ["never"]

[[rule]]
name = "first"
query = "id:0101* property:libc=musl"
tag = ["first"]

[[rule]]
name = "second"
query = "id:0202* property:libc=musl"
tag = ["second"]
"#;

fn only_group(daemon: &Daemon) -> Option<aground_store::types::GroupSummary> {
    let none = aground_store::Histogram {
        now_ms: 0,
        window_ms: 0,
        buckets: 0,
    };
    let groups = daemon
        .store()
        .groups(&Query::default(), &PageRequest::default(), none)
        .unwrap();
    groups.items.into_iter().next()
}

fn found(daemon: &Daemon, query: &str) -> usize {
    let query = Query::parse(query).unwrap();
    let page = PageRequest::default();
    daemon.store().dumps(&query, &page).unwrap().items.len()
}

/// Waits until the group has a tag, which the last rule gives.
fn settled(daemon: &Daemon, tag: &str) {
    eventually("the last rule", || {
        let tags = only_group(daemon)?.tags;
        tags.contains(&tag.to_owned()).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_act_once_on_a_group_and_scripts_on_each_dump() {
    let given = given(&[("a.toml", RULES)]);
    let daemon = given.start().await;
    given.crash(1);
    settled(&daemon, "first");
    let group = only_group(&daemon).unwrap();
    assert_eq!(group.tags, ["first", "known-bug"]);
    assert_eq!(group.tickets, ["https://tracker/1"]);
    assert_eq!(
        (group.owner.as_deref(), group.state.as_str()),
        (Some("team-a"), "ignored")
    );
    let history = daemon.store().group_history(&group.id).unwrap();
    assert!(history.iter().all(|entry| entry.by.via == "rule"));
    assert_eq!(found(&daemon, "property:libc=mus*"), 1);
    assert_eq!(found(&daemon, "property:libc=glibc"), 0);
    let status = daemon.rules();
    let libc = status
        .rules
        .iter()
        .find(|rule| rule.name == "libc")
        .unwrap();
    assert_eq!(libc.mistake, None);

    // What somebody takes back does not come again.
    let by = Actor::default();
    for change in [
        Change::Untag {
            tag: "known-bug".into(),
        },
        Change::Reopen { why: None },
    ] {
        daemon.store().change_group(&by, &group.id, change).unwrap();
    }
    given.crash(2);
    settled(&daemon, "second");
    let group = only_group(&daemon).unwrap();
    assert_eq!(group.count, 2);
    assert_eq!(group.tags, ["first", "second"]);
    assert_eq!(group.state.as_str(), "open");
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_history_a_dry_run_says_and_a_run_does() {
    let mut given = given(&[]);
    given.config.rules.shipped = false;
    let daemon = given.start().await;
    let id = given.crash(1);
    eventually("the analysis", || {
        daemon.store().dump(&id).ok()?.summary.group
    });
    daemon.shutdown().await;
    drop(daemon);

    let directory = given.config.rules.directory.clone().unwrap();
    fs::write(directory.join("a.toml"), RULES).unwrap();
    fs::write(directory.join("libc.rhai"), "property(\"a\", 1)").unwrap();
    fs::write(directory.join("odd.rhai"), "let = 1").unwrap();
    let daemon = given.start().await;
    assert_eq!(daemon.rules().problems.len(), 1);
    let run = |dry, only: Option<&str>, query: &str| RulesRun {
        query: Query::parse(query).unwrap(),
        only: only.map(str::to_owned),
        dry,
        scripted: 10,
    };
    let dry = daemon.run_rules(run(true, None, "")).await.unwrap();
    // One asks for what the script will find.
    assert_eq!((dry.changes.len(), dry.scripted), (5, 1));
    assert_eq!(dry.properties["libc: libc=musl"], 1);
    assert!(
        dry.mistakes[0].contains("bad line 3: nonsense"),
        "{:?}",
        dry.mistakes
    );
    assert_eq!(only_group(&daemon).unwrap().tags.len(), 0);
    let elsewhere = daemon
        .run_rules(run(false, None, "signal:SIGABRT"))
        .await
        .unwrap();
    assert_eq!((elsewhere.changes.len(), elsewhere.scripted), (0, 0));
    let other = daemon
        .run_rules(run(false, Some("other"), ""))
        .await
        .unwrap();
    assert_eq!((other.changes.len(), other.scripted), (0, 0));
    let wet = daemon.run_rules(run(false, None, "")).await.unwrap();
    assert_eq!(wet.changes, dry.changes);
    assert_eq!(only_group(&daemon).unwrap().tags, ["known-bug"]);
    assert_eq!(found(&daemon, "property:libc"), 1);
    for expected in [1, 0] {
        let again = daemon.run_rules(run(false, None, "")).await.unwrap();
        assert_eq!(again.changes.len(), expected);
    }
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_scripts_found_is_found_again_after_a_reindex() {
    let given = given(&[("a.toml", RULES)]);
    let daemon = given.start().await;
    let id = given.crash(1);
    settled(&daemon, "first");
    daemon.shutdown().await;
    drop(daemon);

    aground_store::Store::rebuild(&given.config.state_dir, |_, _| {}).unwrap();
    let store = aground_store::Store::open(&given.config.state_dir).unwrap();
    assert_eq!(store.properties(&id).unwrap(), []);
    assert_eq!(store.unscripted(10).unwrap().len(), 1);
    drop(store);

    let daemon = given.start().await;
    eventually("the properties", || {
        (found(&daemon, "property:libc=musl") == 1).then_some(())
    });
    eventually("the end of the list", || {
        daemon
            .store()
            .unscripted(10)
            .unwrap()
            .is_empty()
            .then_some(())
    });
    // What a rule said once it does not say again.
    assert_eq!(only_group(&daemon).unwrap().tags, ["first", "known-bug"]);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_scripts_that_fails_stops_no_dump() {
    let given = given(&[("broken.rhai", "// broken\nproperty(\"a\", 1)")]);
    let daemon = given.start().await;
    let ids = [given.crash(1), given.crash(2)];
    for id in ids {
        eventually("the analysis", || {
            daemon.store().dump(&id).ok()?.summary.group
        });
    }
    let told = eventually("the mistake", || {
        let rules = daemon.rules().rules;
        rules.into_iter().find(|rule| rule.name == "(all scripts)")
    });
    assert!(
        told.mistake
            .unwrap()
            .mistake
            .message
            .contains("is no report")
    );
    let run = RulesRun {
        dry: true,
        scripted: 1,
        ..RulesRun::default()
    };
    let outcome = daemon.run_rules(run).await.unwrap();
    assert!(
        outcome.mistakes[0].contains("is no report"),
        "{:?}",
        outcome.mistakes
    );
    daemon.shutdown().await;
}
