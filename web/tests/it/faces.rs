//! Overview, images, comparison, theories and settings, by the API and by their verbs.

use crate::site::{Site, failed, ok, record};
use aground_store::lifecycle::{Actor, Change};
use axum::http::StatusCode;

async fn site() -> Site {
    let now = jiff::Timestamp::now().as_millisecond();
    let records: Vec<_> = [1, 2, 3]
        .into_iter()
        .map(|number| {
            let mut record = record(number);
            record.captured_at_ms = now - 60_000 * i64::from(number);
            record.process.environment = vec!["HOME=/".into(), format!("PORT=800{number}")];
            record
        })
        .collect();
    let site = Site::with(&records).await;
    for record in &records[..2] {
        site.report(record, "null pointer in parse_header");
    }
    site
}

#[tokio::test]
async fn the_overview_and_top_tell_the_same() {
    let site = site().await;
    let overview = site.get("/api/v1/overview").await.json();
    assert_eq!(overview["crashes"], 3);
    let titles = overview["new_groups"].as_array().unwrap().iter();
    let titles: Vec<_> = titles.map(|group| &group["cause_title"]).collect();
    assert!(
        titles.contains(&&serde_json::json!("null pointer in parse_header")),
        "{overview:#}"
    );
    let top = ok(&site.aground(&["top"]).await);
    assert!(
        top.starts_with("3 crashes of ") && top.contains("in the last 24h (0 before that)"),
        "{top}"
    );
    assert!(top.contains("null pointer in parse_header"), "{top}");
    let wrong = site.get("/api/v1/overview?window=1y").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(
        wrong.json()["detail"]
            .as_str()
            .unwrap()
            .contains("24h, 7d, 30d")
    );
}

#[tokio::test]
async fn images_are_listed_and_narrowed() {
    let site = site().await;
    let images = ok(&site.aground(&["images"]).await);
    assert!(images.contains("shop:1.42"), "{images}");
    let json = ok(&site
        .aground(&["images", "--format", "json", "container:shop-1"])
        .await);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["Crashes"], "1");
    let wrong = site.aground(&["images", "imgae:x"]).await;
    assert!(!wrong.status.success());
    let page = site.get("/images?query=imgae:x").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn two_crashes_are_compared() {
    let site = site().await;
    let found = site.get("/api/v1/compare?a=11&b=22").await.json();
    assert_eq!(found["same_group"], true, "{found:#}");
    assert_eq!(found["environment"][0]["name"], "PORT");
    assert_eq!(found["environment"][0]["b"], "8002");
    assert_eq!(found["environment_same"], 1);
    assert_eq!(found["stack"][0]["a"]["function"], "parse_header");
    // Its group has one other crash.
    let other = site.get("/api/v1/compare?a=11").await.json();
    assert_eq!(other["b"]["id"], found["b"]["id"]);
    let text = ok(&site.aground(&["compare", "11", "33"]).await);
    for part in [
        "of one group",
        "PORT",
        "8001",
        "8003",
        "shop-1",
        "#0 parse_header",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    for (target, status) in [
        ("/api/v1/compare", StatusCode::BAD_REQUEST),
        ("/api/v1/compare?a=ffff&b=11", StatusCode::NOT_FOUND),
        ("/compare?a=ffff", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(site.get(target).await.status, status, "{target}");
    }
    failed(&site.aground(&["compare", "ffff", "11"]).await, 1);
}

#[tokio::test]
async fn theories_and_settings_are_listed() {
    let site = site().await;
    assert_eq!(
        site.get("/api/v1/investigations").await.json()["items"],
        serde_json::json!([])
    );
    let store = site.app.daemon.store();
    let dump = store.resolve_dump("11").unwrap();
    let group = store.dump(&dump).unwrap().summary.group.unwrap();
    let text = "a race\x1b[2J".to_owned();
    store
        .change_group(&Actor::aground(), &group, Change::Theory { text })
        .unwrap();
    let listed = ok(&site.aground(&["investigations"]).await);
    assert!(
        listed.contains("a race\\x1b[2J") && listed.contains("proposed"),
        "{listed}"
    );
    let settings = ok(&site.aground(&["settings"]).await);
    let of = |key: &str| {
        settings
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
    };
    assert!(
        of("analysis_seconds").contains("120") && of("analysis_seconds").ends_with("yes"),
        "{settings}"
    );
    assert!(
        of("analyzer").contains("/bin/false") && of("analyzer").ends_with("no"),
        "{settings}"
    );
}

#[tokio::test]
async fn a_crash_is_text_that_shows_what_acts() {
    let site = site().await;
    let answer = site.get("/api/v1/dumps/11/text").await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let text = String::from_utf8(answer.body).unwrap();
    assert!(
        text.starts_with("null pointer in parse_header\n") && text.contains("shop-1"),
        "{text}"
    );
    assert!(
        text.contains("[2J_request") && !text.contains('\u{1b}'),
        "{text}"
    );
    let none = site.get("/api/v1/dumps/33/text").await;
    let none = String::from_utf8(none.body).unwrap();
    assert!(
        none.contains("failed, so this is what the record says"),
        "{none}"
    );
}
