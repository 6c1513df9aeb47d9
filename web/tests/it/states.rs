//! What pages say where something is not there: nothing yet, no core, no report, no verified file.

use crate::site::{Site, record};
use aground_analyzer::report::Report;
use aground_helper::record::{Kept, Record};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

async fn page(site: &Site, target: &str) -> String {
    let answer = site.get(target).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 200, "{target}: {text}");
    text
}

fn check(page: &str, said: &[&str]) {
    for said in said {
        assert!(page.contains(said), "{said} is missing: {page}");
    }
}

async fn page_of(record: Record) -> String {
    let site = Site::with(&[record]).await;
    page(&site, "/dumps/11").await
}

#[tokio::test]
async fn an_empty_store_says_what_to_do_first() {
    let site = Site::with(&[]).await;
    for target in ["/", "/groups"] {
        let first = page(&site, target).await;
        check(
            &first,
            &["nothing has crashed", "Crash something", "docker run"],
        );
        check(&first, &["aground import --systemd"]);
        let installed = first.contains("The kernel hands crashes to Aground.");
        assert!(
            installed != first.contains("<pre>aground install"),
            "{first}"
        );
    }
    check(
        &page(&site, "/dumps").await,
        &["No crash yet", "What to do first"],
    );
    for (target, said) in [
        ("/images", "No container has crashed"),
        ("/hosts", "No crash has a group yet"),
        ("/report", "Nothing to count"),
        ("/investigations", "Nobody has a theory yet"),
        ("/groups/proposals", "No two groups are alike enough"),
        ("/groups?query=image:x", "Nothing matches this search"),
        ("/symbols", "None yet."),
    ] {
        check(&page(&site, target).await, &[said]);
    }
}

#[tokio::test]
async fn a_record_without_memory_says_why_there_is_none() {
    let mut thin = record(1);
    thin.capture.kept = Kept::None;
    thin.capture.reason = Some("the rule for batch/* says <record>".to_owned());
    let page = page_of(thin).await;
    let why = "No core was kept: the rule for batch/* says &lt;record&gt;.";
    check(&page, &[why, "The record and the report remain."]);
    assert!(!page.contains("/core\" download"), "{page}");
}

#[tokio::test]
async fn a_failed_analysis_says_so_and_can_be_tried_again() {
    let failed = page_of(record(1)).await;
    check(&failed, &["Analysis failed.", ">Analyze again</button>"]);
    assert!(!failed.contains("data-waiting"), "nothing is waited for");
}

#[tokio::test]
async fn a_pending_analysis_is_waited_for() {
    let program = tempfile::tempdir().unwrap();
    let sleeper = program.path().join("sleeper");
    std::fs::write(&sleeper, "#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&sleeper, PermissionsExt::from_mode(0o755)).unwrap();
    let site = Site::analyzed_by(&[record(1)], &sleeper).await;
    for _ in 0..200 {
        if site.get("/dumps/11").await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let waiting = page(&site, "/dumps/11").await;
    let said = [
        "data-waiting=",
        "the cause is being worked out",
        "http-equiv=\"refresh\"",
    ];
    check(&waiting, &said);
    assert!(!waiting.contains("Analysis failed"), "{waiting}");
    check(
        &page(&site, "/dumps").await,
        &["the cause is being worked out"],
    );
    site.app.daemon.shutdown().await;
}

#[tokio::test]
async fn a_truncated_core_and_files_that_were_not_verified_are_owned_up_to() {
    let mut cut = record(1);
    cut.capture.truncated = true;
    cut.capture.bytes_seen = 1000;
    let site = Site::with(std::slice::from_ref(&cut)).await;
    let report: Report = serde_json::from_value(serde_json::json!({
        "schema": 1,
        "core": { "arch": "x86_64", "size": 1, "kept": "full", "truncated": true },
        "process": { "pid": 1, "signal": { "number": 11, "name": "SIGSEGV" } },
        "cause": { "kind": "null-dereference", "title": "read of 0x0", "confidence": "guess" },
        "threads": [],
        "modules": [{ "path": "/lib/libc.so.6", "base": "0x1000", "end": "0x2000",
                      "image": "captured file", "debug": "none",
                      "problem": "not verified: the core holds neither its build ID nor its first page" }],
        "signature": { "version": 1, "kind": "executable", "title": "t", "hash": "ab".repeat(32), "frames": [] },
        "warnings": []
    }))
    .unwrap();
    let store = site.app.daemon.store();
    store.save_report(&cut.id, &report).unwrap();
    check(
        &page(&site, "/dumps/11").await,
        &[
            "The core is truncated: 1.0 kB of",
            "not verified: the core holds neither its build ID nor its first page",
            "The core does not say which thread received the signal.",
            "A guess",
        ],
    );
    check(&page(&site, "/dumps").await, &["truncated"]);
}
