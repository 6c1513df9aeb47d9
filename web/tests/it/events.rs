//! Event streams: what was missed, what is live, and nothing between them lost.

use crate::site::{Site, failed, ok, record};
use aground_helper::record::Record;
use aground_web::access::Gate;
use aground_web::api::events::EventMessage;
use axum::http::Method;
use std::time::Duration;

/// The messages of a stream, as `id`, `event` and data.
fn messages(body: &[u8]) -> Vec<(String, String, Option<EventMessage>)> {
    let text = std::str::from_utf8(body).unwrap();
    let field = |message: &str, name: &str| {
        let mut lines = message.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_default().to_owned()
    };
    text.split("\n\n")
        .filter(|message| !message.is_empty() && !message.starts_with(':'))
        .map(|message| {
            let data = field(message, "data");
            let data = serde_json::from_str(&data).ok();
            (field(message, "id"), field(message, "event"), data)
        })
        .collect()
}

/// Names of events in order.
fn names(body: &[u8]) -> Vec<String> {
    let messages = messages(body).into_iter();
    messages
        .map(|(_, name, _)| name)
        .filter(|name| !name.is_empty())
        .collect()
}

async fn stopped_after(site: &Site, milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    site.app.stopping.cancel();
}

#[tokio::test]
async fn events_are_followed_until_the_service_stops() {
    let site = Site::with(&[record(1)]).await;
    let change = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let removed = site.send(Method::DELETE, "/api/v1/dumps/11", &[]).await;
        assert_eq!(removed.status, 200);
        stopped_after(&site, 200).await;
    };
    let (answer, ()) = tokio::join!(site.get("/api/v1/events"), change);
    let [(start, hello, None), (id, removed, Some(event))] = &messages(&answer.body)[..] else {
        panic!("{}", String::from_utf8_lossy(&answer.body));
    };
    assert_eq!((hello.as_str(), removed.as_str()), ("", "removed"));
    assert_eq!(
        id.parse::<i64>().unwrap(),
        start.parse::<i64>().unwrap() + 1
    );
    assert_eq!(event.id, record(1).id.to_string());
    assert_eq!(event.dump, None, "it is gone");
}

#[tokio::test]
async fn what_was_missed_is_told_first() {
    let site = Site::with(&[record(1), record(2)]).await;
    let all = site.get("/api/v1/events?after=0&until=0s").await;
    let told = messages(&all.body);
    let mut kinds = names(&all.body);
    kinds.sort_unstable();
    assert_eq!(kinds, ["dump", "dump", "report", "report"]);
    let first = told[1].2.clone().unwrap();
    assert_eq!(first.dump.unwrap().id.to_string(), first.id);

    let second = [("last-event-id", told[1].0.as_str())];
    let rest = site
        .send(Method::GET, "/api/v1/events?until=0s", &second)
        .await;
    assert_eq!(messages(&rest.body)[1..], told[2..]);
    for (target, expected) in [
        ("/api/v1/events?since=1h&until=0s", 4),
        ("/api/v1/events?since=0s&until=0s", 0),
        ("/api/v1/events?after=0&until=1h", 0),
        ("/api/v1/events?after=0&until=0s&query=container:shop-2", 2),
        ("/api/v1/events?after=0&until=0s&filter=image%3Dnone", 0),
    ] {
        assert_eq!(
            names(&site.get(target).await.body).len(),
            expected,
            "{target}"
        );
    }
    for ahead in [
        "/api/v1/events?after=99&until=0s",
        "/api/v1/events?after=9223372036854775807&until=0s",
    ] {
        let body = site.get(ahead).await.body;
        let names = names(&body);
        assert_eq!(
            (names[0].as_str(), names.len()),
            ("reset", 5),
            "numbers of another database"
        );
    }
}

#[tokio::test]
async fn wrong_places_are_problems() {
    let site = Site::with(&[]).await;
    for wrong in [
        "after=x",
        "after=-1",
        "since=yesterday",
        "until=",
        "query=nofield:x",
        "from=1",
    ] {
        let answer = site.get(&format!("/api/v1/events?{wrong}&until=0s")).await;
        let expected = if wrong == "until=" { 200 } else { 400 };
        assert_eq!(answer.status, expected, "{wrong}");
    }
    let answer = site
        .send(Method::GET, "/api/v1/events", &[("last-event-id", "x")])
        .await;
    assert_eq!(answer.status, 400);
}

/// Readers come at any moment while a hundred events happen: each is told all of them, once.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_between_replay_and_live() {
    let records: Vec<Record> = (1..=11).map(record).collect();
    let site = Site::with(&records).await;
    let readers = (0..20).map(|reader| {
        let site = &site;
        async move {
            tokio::time::sleep(Duration::from_millis(reader * 7)).await;
            site.get("/api/v1/events?after=0").await
        }
    });
    let changes = async {
        for gone in &records[1..] {
            for step in 0..10 {
                // Each report on the same dump is one more event.
                site.report(&records[0], &format!("step {step}"));
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
            site.app.daemon.remove_dump(&gone.id).unwrap();
        }
        stopped_after(&site, 1000).await;
    };
    let (told, ()) = tokio::join!(futures_util::future::join_all(readers), changes);
    for answer in told {
        let told = messages(&answer.body);
        let numbers: Vec<&str> = told[1..].iter().map(|(id, _, _)| id.as_str()).collect();
        let all = site.app.daemon.store().events_after(0, 1000).unwrap();
        let all: Vec<String> = all.iter().map(|event| event.sequence.to_string()).collect();
        assert!(all.len() > 100, "{all:?}");
        assert_eq!(numbers, all);
    }
}

#[tokio::test]
async fn the_command_prints_what_happened() {
    let site = Site::with(&[record(1), record(2)]).await;
    let text = ok(&site
        .aground(&["events", "--since", "1h", "--until", "0s"])
        .await);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    let captured = format!("Z dump captured {} (", record(1).id);
    let line = lines.iter().find(|line| line.contains(&captured)).unwrap();
    assert!(
        line.contains("container=shop-1, host=box, image=shop:1.42"),
        "{line}"
    );
    let template = [
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--format",
        "{{.ID}} {{.Action}}",
        "container:shop-2",
    ];
    let text = ok(&site.aground(&template).await);
    assert_eq!(text, format!("{0} captured\n{0} analyzed\n", record(2).id));
    let json = ok(&site
        .aground(&[
            "events", "--since", "1h", "--until", "0s", "--format", "json",
        ])
        .await);
    let event: EventMessage = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(event.kind, "dump");
    for wrong in [
        &["events", "--since", "never"][..],
        &["events", "--format", "table {{.ID}}"],
        &["events", "nofield:x"],
    ] {
        failed(&site.aground(wrong).await, 1);
    }
}

#[tokio::test]
async fn only_so_many_follow_at_once() {
    let mut site = Site::with(&[record(1)]).await;
    site.app.gate = std::sync::Arc::new(Gate::default().with_listeners(2));
    let follow = async || {
        let request = axum::http::Request::get("/api/v1/events")
            .body(axum::body::Body::empty())
            .unwrap();
        let router = aground_web::router(site.app.clone());
        tower::ServiceExt::oneshot(router, request).await.unwrap()
    };
    let (first, second) = (follow().await, follow().await);
    assert_eq!(first.status(), 200);
    assert_eq!(second.status(), 200);
    let third = site.get("/api/v1/events").await;
    assert_eq!(third.status, 503);
    assert_eq!(third.header("retry-after"), "30");
    assert_eq!(third.json()["code"], "too-many-listeners");
    let metrics = site.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("aground_event_listeners 2"), "{metrics}");
    drop(first);
    assert_eq!(follow().await.status(), 200, "a seat is free again");
    drop(second);
}
