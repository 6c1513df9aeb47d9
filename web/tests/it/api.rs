//! The router over a real store.

use crate::site::{MODULE, MODULE_SHA256, Site, core, record};
use aground_helper::record::Kept;
use axum::http::{Method, StatusCode};

#[tokio::test]
async fn dumps_are_listed_filtered_and_paged() {
    let mut other = record(2);
    other.container = None;
    other.signal.name = "SIGABRT".to_owned();
    other.signal.number = 6;
    let site = Site::with(&[record(1), other, record(3)]).await;
    let count = async |target: &str| {
        let answer = site.get(target).await;
        assert_eq!(answer.status, StatusCode::OK, "{target}: {}", answer.json());
        answer.json()["items"].as_array().unwrap().len()
    };
    for (target, expected) in [
        ("/api/v1/dumps", 3),
        ("/api/v1/dumps?query=signal:SIGSEGV", 2),
        (
            "/api/v1/dumps?filter=signal%3DSIGSEGV&filter=signal%3DSIGABRT",
            3,
        ),
        (
            "/api/v1/dumps?filter=signal%3DSIGSEGV&filter=container%3Dshop-3",
            1,
        ),
        (
            "/api/v1/dumps?query=signal:SIGSEGV&filter=label%3Dteam%3Dcore&filter=container%3Dshop-1",
            1,
        ),
        ("/api/v1/dumps?filter=image%3Dnone", 0),
        ("/api/v1/dumps?limit=2", 2),
    ] {
        assert_eq!(count(target).await, expected, "{target}");
    }

    let first = site.get("/api/v1/dumps?limit=2").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = site
        .get(&format!("/api/v1/dumps?limit=2&cursor={cursor}"))
        .await
        .json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next_cursor"], serde_json::Value::Null);
    assert_ne!(rest["items"][0]["id"], first["items"][0]["id"]);
}

#[tokio::test]
async fn wrong_requests_are_problems() {
    let mut twin = record(1);
    twin.id = "11ff0000000000000000000000000000".parse().unwrap();
    let site = Site::with(&[record(1), twin]).await;
    let id = record(1).id;
    for (target, status, code) in [
        ("/api/v1/dumps?query=%22", 400, "bad-query"),
        ("/api/v1/dumps?filter=colour%3Dred", 400, "bad-query"),
        ("/api/v1/dumps?filer=a%3Db", 400, "bad-parameter"),
        ("/api/v1/dumps?limit=-1", 400, "bad-parameter"),
        ("/api/v1/dumps?cursor=nonsense", 400, "bad-cursor"),
        ("/api/v1/dumps/11", 409, "ambiguous"),
        ("/api/v1/dumps/zz", 404, "not-found"),
        ("/api/v1/dumps/%00", 404, "not-found"),
        ("/api/v1/dumps/..%2F..%2Fetc%2Fpasswd", 404, "not-found"),
        ("/api/v1/dumps/%ff", 400, "bad-parameter"),
        ("/api/v1/groups/00", 404, "not-found"),
        ("/api/v1/nothing", 404, "not-found"),
        ("/api/v1/dumps/zz/report", 404, "not-found"),
        (
            &format!("/api/v1/dumps/{id}/core?format=elk"),
            400,
            "bad-parameter",
        ),
        (
            &format!("/api/v1/dumps/{id}/modules/{}", "0".repeat(64)),
            404,
            "not-found",
        ),
        (
            &format!("/api/v1/dumps/{id}/modules/..%2F..%2Frecord.json"),
            404,
            "not-found",
        ),
    ] {
        let answer = site.get(target).await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{target}"
        );
        let problem = answer.json();
        assert_eq!(
            (problem["code"].as_str(), problem["status"].as_u64()),
            (Some(code), Some(status.into())),
            "{target}"
        );
        assert!(problem["detail"].as_str().unwrap().len() > 5, "{problem}");
    }
    let candidates = site.get("/api/v1/dumps/11").await.json()["candidates"].clone();
    assert_eq!(candidates.as_array().unwrap().len(), 2, "{candidates}");
}

#[tokio::test]
async fn one_dump_and_its_parts() {
    let site = Site::with(&[record(1)]).await;
    let id = record(1).id;
    let whole = site.get("/api/v1/dumps/11").await.json();
    assert_eq!(whole["summary"]["id"], id.as_str());
    assert_eq!(whole["record"]["process"]["name"], "server");
    assert_eq!(
        site.get("/api/v1/dumps/11/record").await.json(),
        whole["record"]
    );

    let log = site.get("/api/v1/dumps/11/log").await;
    assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
    assert!(String::from_utf8_lossy(&log.body).starts_with("starting\n"));

    let answer = site.get("/api/v1/dumps/11/core").await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(
        answer.header("content-disposition"),
        format!("attachment; filename=\"core.{}\"", id.short())
    );
    assert_eq!(answer.header("content-length"), core().len().to_string());
    assert!(answer.body == core(), "another core");
    let stored = site.get("/api/v1/dumps/11/core?format=zst").await;
    assert!(zstd::decode_all(&stored.body[..]).unwrap() == core());

    let module = site
        .get(&format!("/api/v1/dumps/11/modules/{MODULE_SHA256}"))
        .await;
    assert_eq!(module.body, MODULE);
    assert_eq!(module.header("content-type"), "application/octet-stream");
    assert_eq!(
        module.header("content-disposition"),
        "attachment; filename=\"lib_x__.so\""
    );
}

/// A module is handed out with the dumps that had it mapped, not with others.
#[tokio::test]
async fn a_module_belongs_to_its_dumps() {
    let mut other = record(2);
    other.modules.clear();
    let site = Site::with(&[record(1), other]).await;
    assert_eq!(
        site.get(&format!("/api/v1/dumps/11/modules/{MODULE_SHA256}"))
            .await
            .status,
        200
    );
    assert_eq!(
        site.get(&format!("/api/v1/dumps/22/modules/{MODULE_SHA256}"))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_crash_without_memory_says_why() {
    let mut bare = record(1);
    bare.capture.kept = Kept::None;
    bare.capture.bytes_kept = 0;
    bare.capture.reason = Some("the disk is full".to_owned());
    let site = Site::with(&[bare]).await;
    let answer = site.get("/api/v1/dumps/11/core").await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .contains("the disk is full"),
        "{}",
        answer.json()
    );
}

#[tokio::test]
async fn groups_are_listed_and_explained() {
    let site = Site::with(&[record(1), record(2)]).await;
    for number in [1, 2] {
        site.report(&record(number), "write to 0x0 in parse_header");
    }
    let groups = site.get("/api/v1/groups").await.json();
    let group = &groups["items"][0];
    assert_eq!(
        (
            group["count"].as_u64(),
            groups["items"].as_array().unwrap().len()
        ),
        (Some(2), 1)
    );
    assert_eq!(group["histogram"].as_array().unwrap().len(), 24);
    let prefix = &group["id"].as_str().unwrap()[..4];
    assert_eq!(
        site.get(&format!("/api/v1/groups/{prefix}")).await.json()["id"],
        group["id"]
    );
    let dumps = site
        .get(&format!("/api/v1/groups/{prefix}/dumps?limit=1"))
        .await
        .json();
    assert_eq!(dumps["items"].as_array().unwrap().len(), 1);
    assert!(dumps["next_cursor"].is_string());
    let explained = site
        .get(&format!("/api/v1/groups/{prefix}/explain"))
        .await
        .json();
    assert_eq!(explained["frames"][0]["rule"], "plumbing of abort");
    assert_eq!(explained["title"], "parse_header | handle_request");
    assert_eq!(explained["weights"][1]["groups"], 1);
    let diff = site
        .get(&format!("/api/v1/groups/{prefix}/diff/{prefix}"))
        .await
        .json();
    assert_eq!(diff["likeness"], 1.0);
    assert_eq!(
        diff["rows"][1][0]["function"],
        diff["rows"][1][1]["function"]
    );
    assert_eq!(
        site.get("/api/v1/dumps/11/report").await.json()["cause"]["kind"],
        "null-dereference"
    );
}

#[tokio::test]
async fn dumps_are_removed_and_analysed_again_only_by_our_own_pages_and_programs() {
    let site = Site::with(&[record(1)]).await;
    let hostile: [&[(&str, &str)]; 4] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
    ];
    for headers in hostile {
        let answer = site.send(Method::DELETE, "/api/v1/dumps/11", headers).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].as_str()),
            (403, Some("cross-site")),
            "{headers:?}"
        );
        assert_eq!(
            site.send(Method::POST, "/api/v1/dumps/11/analyze", headers)
                .await
                .status,
            403,
            "{headers:?}"
        );
    }
    assert_eq!(site.get("/api/v1/dumps/11").await.status, 200);
    assert_eq!(
        site.send(Method::POST, "/api/v1/dumps/11/analyze", &[])
            .await
            .status,
        StatusCode::ACCEPTED
    );
    let ours = [("origin", "http://localhost")];
    let removed = site.send(Method::DELETE, "/api/v1/dumps/11", &ours).await;
    assert_eq!(removed.json()["id"], record(1).id.as_str());
    assert_eq!(site.get("/api/v1/dumps/11").await.status, 404);
    assert_eq!(
        site.send(Method::PUT, "/api/v1/dumps/11", &[]).await.status,
        405
    );
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let site = Site::with(&[record(1)]).await;
    for target in [
        "/healthz",
        "/readyz",
        "/api/v1/status",
        "/api/v1/dumps/11/core",
        "/nothing",
    ] {
        let answer = site.get(target).await;
        assert_eq!(
            answer.header("x-content-type-options"),
            "nosniff",
            "{target}"
        );
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none';") && !policy.contains("unsafe"),
            "{target}: {policy}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{target}");
    }
}
