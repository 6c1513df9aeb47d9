//! Groups that may be one, two groups side by side, and rules that are tried.

use super::{EVIL, Site, check, record, report};
use aground_analyzer::report::SignatureFrame;
use aground_helper::id::DumpId;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

const FORM: &str = "application/x-www-form-urlencoded";

/// A service with two groups that are alike, all of whose names are hostile.
async fn alike() -> (Site, [String; 2]) {
    let site = Site::with(&[record(0x11, true), record(0x22, false)]).await;
    let store = site.app.daemon.store();
    let stacks: [(u8, &str, &[&str]); 2] = [
        (0x11, "a", &["parse", "get", "serve", "main"]),
        (0x22, "b", &["render", "parse", "get", "serve", "main"]),
    ];
    let groups = stacks.map(|(number, digit, functions)| {
        let mut report = report();
        report.signature.hash = digit.repeat(64);
        let frame = |function: &&str| SignatureFrame {
            function: format!("{function}{EVIL}"),
            kept: true,
            helper: (*function == "main").then(|| EVIL.to_owned()),
            ..SignatureFrame::default()
        };
        let frames = functions.iter().map(frame);
        report.signature.frames.extend(frames);
        let id = DumpId::from_bytes([number; 16]);
        store.save_report(&id, &report).unwrap();
        store.dump(&id).unwrap().summary.group.unwrap()
    });
    store.compare_signatures(100).unwrap();
    (site, groups)
}

#[tokio::test]
async fn groups_that_may_be_one_are_shown_side_by_side_and_told_apart() {
    let (site, [a, b]) = alike().await;
    let page = site.page("/groups/proposals", StatusCode::OK).await;
    assert!(page.contains(&format!("/diff/{}", &b)) || page.contains(&format!("/diff/{a}")));
    let page = site
        .page(
            &format!("/groups/{}/diff/{}", &a[..4], &b[..4]),
            StatusCode::OK,
        )
        .await;
    assert!(
        page.contains("render") && page.contains("value=\"distinct\""),
        "{page}"
    );
    let (_, found) = site
        .send(Method::GET, "/api/v1/groups/proposals?limit=1")
        .await;
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    site.page(&format!("/groups/{a}/diff/nothing"), StatusCode::NOT_FOUND)
        .await;
    let (status, body) = site
        .hand_in(
            Method::POST,
            &format!("/groups/{a}/changes"),
            FORM,
            &format!("kind=distinct&from={b}"),
        )
        .await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let page = site.page("/groups/proposals", StatusCode::OK).await;
    assert!(!page.contains("/diff/"), "{page}");
    let page = site.page(&format!("/groups/{a}"), StatusCode::OK).await;
    for words in ["is another bug than", "Another bug than", "told apart"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let (status, problem) = site
        .hand_in(
            Method::POST,
            &format!("/api/v1/groups/{a}/changes"),
            "application/json",
            &json!({ "kind": "distinct", "from": a }).to_string(),
        )
        .await;
    assert_eq!(status.as_u16(), 422, "{problem}");
}

#[tokio::test]
async fn rules_are_tried_on_a_page() {
    let (site, _) = alike().await;
    site.page("/groups/try", StatusCode::OK).await;
    let tried = async |rules: &str| {
        let fields = format!("rules={}&last=10", crate::client::encode(rules));
        let (status, page) = site
            .hand_in(Method::POST, "/groups/try", FORM, &fields)
            .await;
        assert_eq!(status, StatusCode::OK, "{page}");
        check("/groups/try", &page);
        page
    };
    let page = tried("helper parse* *  # everybody calls it").await;
    assert!(page.contains("2 crashes were tried"), "{page}");
    let page = tried(&format!("drop parse *\n{}", EVIL.replace('\0', ""))).await;
    assert!(
        page.contains("This is no rule") && page.contains("line 2"),
        "{page}"
    );
}

#[tokio::test]
async fn grouping_anew_is_asked_for_and_told() {
    let (site, _) = alike().await;
    let (status, body) = site.send(Method::POST, "/api/v1/regroup").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    let asked: Value = serde_json::from_str(&body).unwrap();
    // These reports are of another version than the one that signs.
    assert_eq!(
        (&asked["running"], &asked["all"]),
        (&json!(true), &json!(2))
    );
    for _ in 0..400 {
        let regroup = site.app.daemon.status().regroup;
        if !regroup.running {
            assert_eq!((regroup.done, regroup.trouble), (2, None));
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("it does not end");
}
