//! Pins, and dumps of which something was given up, as API, command line and pages show them.

use crate::site::{MODULE_SHA256, Site, failed, ok, record};
use axum::http::{Method, StatusCode};

#[tokio::test]
async fn pins_from_everywhere() {
    let site = Site::with(&[record(1), record(2)]).await;
    let id = record(1).id;
    let pinned = async || {
        let found = site.get("/api/v1/dumps?query=pinned:yes").await.json();
        found["items"].as_array().unwrap().len()
    };
    let api = format!("/api/v1/dumps/{id}/pin");
    let answer = site.send(Method::PUT, &api, &[]).await;
    assert_eq!((answer.status, pinned().await), (StatusCode::OK, 1));
    let page = site.get(&format!("/dumps/{id}")).await;
    assert!(String::from_utf8_lossy(&page.body).contains(">Unpin</button>"));
    site.send(Method::DELETE, &api, &[]).await;
    assert_eq!(pinned().await, 0);

    let button = site
        .send(Method::POST, &format!("/dumps/{id}/pin"), &[])
        .await;
    assert_eq!((button.status, pinned().await), (StatusCode::SEE_OTHER, 1));
    site.send(Method::POST, &format!("/dumps/{id}/unpin"), &[])
        .await;
    assert_eq!(pinned().await, 0);

    assert_eq!(ok(&site.aground(&["pin", "11", "22"]).await), "11\n22\n");
    assert_eq!(pinned().await, 2);
    let listed = ok(&site.aground(&["ls", "--filter", "pinned=yes"]).await);
    assert_eq!(listed.matches(", pinned").count(), 2, "{listed}");
    assert_eq!(ok(&site.aground(&["unpin", "11"]).await), "11\n");
    assert_eq!(pinned().await, 1);
    let error = failed(&site.aground(&["pin", "33", "11"]).await, 1);
    assert!(
        error.contains("no dump has an id that starts with"),
        "{error}"
    );
    assert_eq!(pinned().await, 2, "the one after the wrong one is pinned");
}

#[tokio::test]
async fn dropped_memory_is_owned_up_to_everywhere() {
    let site = Site::with(&[record(1)]).await;
    site.report(&record(1), "write to 0x0");
    let id = record(1).id;
    let store = site.app.daemon.store();
    store.drop_memory(&id, "of a <test>").unwrap();

    let dump = site.get(&format!("/api/v1/dumps/{id}")).await.json();
    assert_eq!(dump["summary"]["kept"], "none");
    assert_eq!(dump["summary"]["dropped"], "of a <test>");
    assert_eq!(dump["record"]["capture"]["kept"], "full");
    for (method, target, status) in [
        (Method::GET, format!("/api/v1/dumps/{id}/core"), 404),
        (
            Method::GET,
            format!("/api/v1/dumps/{id}/modules/{MODULE_SHA256}"),
            404,
        ),
        (Method::POST, format!("/api/v1/dumps/{id}/analyze"), 409),
        (Method::POST, format!("/dumps/{id}/analyze"), 409),
    ] {
        let answer = site.send(method, &target, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{target}");
        if status == 404 {
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains("dropped because of a <test>"), "{detail}");
        }
    }
    let page = site.get(&format!("/dumps/{id}")).await;
    let page = String::from_utf8_lossy(&page.body);
    assert!(page.contains("Memory was dropped because of a &lt;test&gt;."));
    let why = "The core was dropped because of a &lt;test&gt;. The record and the report remain.";
    assert!(page.contains(why) && !page.contains(">Analyze again<"));
    assert!(!page.contains("/core\" download"), "nothing to download");
    let list = site.get("/dumps").await;
    assert!(String::from_utf8_lossy(&list.body).contains("<small>dropped</small>"));
    let listed = ok(&site.aground(&["ls"]).await);
    assert!(listed.contains("analyzed, memory dropped"), "{listed}");
    let backtrace = ok(&site.aground(&["bt", "11"]).await);
    assert!(
        backtrace.contains("its memory was dropped because of a <test>"),
        "{backtrace}"
    );
    let error = failed(&site.aground(&["cp", "11", "-"]).await, 1);
    assert!(error.contains("its memory was dropped because"), "{error}");
}

#[tokio::test]
async fn pruning_says_what_and_why_then_does_it() {
    let site = Site::with(&[record(1), record(2), record(3)]).await;
    for number in 1..=3 {
        site.report(&record(number), "write to 0x0");
    }
    let dry = site
        .send(
            Method::POST,
            "/api/v1/prune?dry_run=true&max_bytes=0&min_free=0",
            &[],
        )
        .await;
    let dry = dry.json();
    assert_eq!(dry["dry_run"], true);
    let actions: Vec<_> = dry["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["action"].clone())
        .collect();
    assert_eq!(actions, ["delete", "delete", "delete"], "{dry}");
    assert!(
        dry["steps"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("the quota is 0 bytes")
    );
    assert_eq!(
        site.get("/api/v1/dumps").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    let table = ok(&site
        .aground(&[
            "prune",
            "--dry-run",
            "--memory",
            "--filter",
            "container=shop-1",
        ])
        .await);
    assert!(
        table.starts_with("DUMP ID        ACTION        FREES"),
        "{table}"
    );
    assert!(
        table.contains("110101020304   drop memory") && table.contains("it was asked for"),
        "{table}"
    );
    assert!(table.contains("Would reclaim: "), "{table}");
    // Nobody answers, so nothing happens.
    let asked = ok(&site.aground(&["prune", "container:shop-2"]).await);
    assert!(
        asked.contains("  - delete so many dumps: 1\n") && asked.contains("[y/N]"),
        "{asked}"
    );
    assert_eq!(
        site.get("/api/v1/dumps").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    ok(&site.aground(&["pin", "33"]).await);
    let done = ok(&site
        .aground(&["prune", "-f", "--memory", "--format", "json", "image:shop"])
        .await);
    let done: serde_json::Value = serde_json::from_str(&done).unwrap();
    assert_eq!(done["steps"].as_array().unwrap().len(), 2, "{done}");
    assert!(
        ok(&site.aground(&["prune", "-f", "container:shop-2"]).await)
            .contains("Total reclaimed space: ")
    );
    assert_eq!(
        ok(&site.aground(&["ls", "-q"]).await),
        "330301020304\n110101020304\n"
    );
    assert_eq!(
        ok(&site.aground(&["ls", "-q", "kept:none"]).await),
        "110101020304\n"
    );
    let nothing = ok(&site.aground(&["prune"]).await);
    assert_eq!(nothing, "Nothing to give up.\n");

    let status = ok(&site.aground(&["status"]).await);
    assert!(
        status.contains(" must stay free") && status.contains("Given up"),
        "{status}"
    );
    let page = site.get("/status").await;
    let page = String::from_utf8_lossy(&page.body);
    assert!(
        page.contains("Given up lately") && page.contains("memory dropped"),
        "{page}"
    );
}

#[tokio::test]
async fn a_prune_that_is_not_understood_gives_nothing_up() {
    let site = Site::with(&[record(1)]).await;
    for (arguments, expected) in [
        (
            &["prune", "-f", "--max-bytes", "lots"][..],
            "max_bytes: \"lots\" is not a size",
        ),
        (
            &["prune", "-f", "--max-age", "old"],
            "max_age: \"old\" is not a duration",
        ),
        (&["prune", "-f", "colour:red"], "unknown field \"colour\""),
    ] {
        let error = failed(&site.aground(arguments).await, 1);
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(ok(&site.aground(&["ls", "-q"]).await), "110101020304\n");
}
