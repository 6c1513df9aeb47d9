//! What people decide about groups, by forms and by the API.

use super::{EVIL, Site, record, report};
use aground_helper::id::DumpId;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

/// A service with a crash each of two groups.
async fn two_groups() -> (Site, [String; 2]) {
    let site = Site::with(&[record(0x11, true), record(0x22, false)]).await;
    let store = site.app.daemon.store();
    let mut groups = vec![];
    for (number, digit) in [(0x11, "a"), (0x22, "b")] {
        let mut report = report();
        report.signature.hash = digit.repeat(64);
        report.signature.kind = "label".to_owned();
        let id = DumpId::from_bytes([number; 16]);
        store.save_report(&id, &report).unwrap();
        groups.push(store.dump(&id).unwrap().summary.group.unwrap());
    }
    let groups = groups.try_into().unwrap();
    (site, groups)
}

impl Site {
    /// Posts a form, which must lead somewhere; the page it leads back to.
    async fn form(&self, group: &str, fields: &str) -> String {
        let target = format!("/groups/{group}/changes");
        let (status, body) = self.hand_in(Method::POST, &target, FORM, fields).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
        self.page(&format!("/groups/{group}"), StatusCode::OK).await
    }

    async fn api(&self, group: &str, decision: &Value) -> (StatusCode, Value) {
        let target = format!("/api/v1/groups/{group}/changes");
        let body = decision.to_string();
        let (status, text) = self
            .hand_in(Method::POST, &target, "application/json", &body)
            .await;
        (status, serde_json::from_str(&text).unwrap())
    }
}

#[tokio::test]
async fn forms_decide_and_pages_show_it_whatever_was_typed() {
    let (site, [a, b]) = two_groups().await;
    let page = site.form(&a, "kind=resolve&image=api%3A1.4").await;
    assert!(page.contains("resolved in api:1.4 and later"), "{page}");
    let evil = crate::client::encode(&EVIL.replace('\0', ""));
    for field in ["note&text", "theory&text", "owner&owner"] {
        // An owner is one line of visible text; the store says so.
        let fields = format!("kind={field}={evil}");
        let target = format!("/groups/{a}/changes");
        let (status, _) = site.hand_in(Method::POST, &target, FORM, &fields).await;
        assert!(status == StatusCode::SEE_OTHER || status == StatusCode::UNPROCESSABLE_ENTITY);
    }
    site.form(&a, "kind=tag&tag=race").await;
    site.form(&a, "kind=ticket&ticket=javascript%3Aalert(1)")
        .await;
    let page = site
        .form(&a, "kind=ticket&ticket=https%3A%2F%2Ft%2F1")
        .await;
    assert!(page.contains("href=\"https://t/1\"") && !page.contains("href=\"javascript"));
    let list = site.page("/groups", StatusCode::OK).await;
    assert!(list.contains("race") && list.contains("resolved"), "{list}");

    let merge = format!("kind=merge&into={}", &b[..4]);
    let page = site.form(&a, &merge).await;
    assert!(page.contains(&format!("action=\"/groups/{b}/changes\"")));
    site.form(&b, "kind=undo").await;
    // The group is there again, and says how.
    let page = site.page(&format!("/groups/{a}"), StatusCode::OK).await;
    assert!(page.contains("undone"), "{page}");
    for (fields, expected) in [
        ("kind=explode", StatusCode::BAD_REQUEST),
        ("kind=merge&into=ffff", StatusCode::NOT_FOUND),
        ("kind=split", StatusCode::BAD_REQUEST),
        ("kind=tag&tag=two+words", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let target = format!("/groups/{a}/changes");
        let (status, page) = site.hand_in(Method::POST, &target, FORM, fields).await;
        assert_eq!(status, expected, "{fields}");
        super::check(fields, &page);
    }
}

#[tokio::test]
async fn the_api_decides_and_says_what_is_wrong() {
    let (site, [a, _]) = two_groups().await;
    let (status, changed) = site
        .api(&a, &json!({ "kind": "theory", "text": "a race" }))
        .await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(changed["entry"]["by"]["via"], "api");
    let theory = changed["entry"]["sequence"].clone();
    let verdict =
        json!({ "kind": "verdict", "theory": theory, "verdict": "disproven", "why": "no" });
    for again in [false, true] {
        let (status, changed) = site.api(&a, &verdict).await;
        assert_eq!(
            (status, changed["entry"].is_null()),
            (StatusCode::OK, again)
        );
        assert_eq!(changed["life"]["theories"][0]["verdict"], "disproven");
    }
    for (decision, expected) in [
        (
            json!({ "kind": "verdict", "theory": 99, "verdict": "proven" }),
            404,
        ),
        (json!({ "kind": "evidence", "theory": theory }), 400),
        (
            json!({ "kind": "ignore", "crashes": 3, "until": "7d" }),
            400,
        ),
        (json!({ "kind": "ignore", "until": "2001-01-01" }), 400),
        (json!({ "kind": "note" }), 400),
        (json!({ "kind": "split", "query": "nonsense:1" }), 422),
        (json!({ "kind": "resolve", "image": "0123456789ab" }), 422),
        (json!([1]), 400),
    ] {
        let (status, problem) = site.api(&a, &decision).await;
        assert_eq!(status.as_u16(), expected, "{decision}: {problem}");
        assert_eq!(problem["status"], expected, "{problem}");
    }
    let (_, history) = site
        .send(Method::GET, &format!("/api/v1/groups/{a}/changes"))
        .await;
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["items"].as_array().unwrap().len(), 2, "{history}");
    let (_, life) = site
        .send(Method::GET, &format!("/api/v1/groups/{a}/life"))
        .await;
    assert!(life.contains("a race"), "{life}");
}
