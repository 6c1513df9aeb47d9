//! Every page through the real router and store, with what a hostile container would put there.
#![allow(clippy::unwrap_used)]

mod decisions;
mod grouping;

use crate::ui::view::stack::name_threads;
use crate::{App, router};
use aground_analyzer::describe::Description;
use aground_analyzer::report::{Address, Cause, Frame, Report, SourceLine, Thread, Wait};
use aground_daemon::{Config, Daemon};
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::{Container, Kept, Record};
use aground_store::symbols::{Source, SymbolFile};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use std::time::Duration;
use tower::Service;

const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}\x1b[31m\u{0}";

/// A crash all of whose texts are hostile, and one of them long.
fn record(number: u8, container: bool) -> Record {
    let json = serde_json::json!({
        "schema": 1,
        "id": DumpId::from_bytes([number; 16]),
        "captured_at_ms": 1_795_000_000_000_i64,
        "signal": { "number": 11, "name": EVIL },
        "kernel": { "pid": 1, "tid": 77, "namespace_tid": 9, "pidfd": true },
        "process": {
            "pid": 70, "namespace_pid": 1, "name": EVIL, "executable": EVIL, "cwd": EVIL,
            "args": [EVIL, EVIL.repeat(100)], "environment": [format!("A={EVIL}"), EVIL],
            "thread_names": { "77": format!("unlucky{EVIL}") }, "cgroup": [EVIL],
            "limits": [{ "name": EVIL, "soft": EVIL, "hard": EVIL }],
            "open_files": [[3, EVIL]]
        },
        "unit": EVIL,
        "host": { "hostname": EVIL, "machine_id": EVIL, "boot_id": EVIL, "kernel": EVIL, "arch": EVIL, "aground": EVIL },
        "capture": {
            "state": "complete", "kept": "partial", "reason": EVIL, "hold_us": 1500, "core_size": 2000,
            "bytes_seen": 1000, "bytes_kept": 1000, "bytes_stored": 10, "truncated": true
        },
        "modules": [{ "path": EVIL, "base": 4096, "end": 8192, "build_id": EVIL, "missing": EVIL }],
        "problems": [EVIL]
    });
    let mut record: Record = serde_json::from_value(json).unwrap();
    record.container = container.then(|| Container {
        runtime: EVIL.to_owned(),
        id: "e".repeat(64),
        name: Some(EVIL.repeat(50)),
        image: Some(EVIL.to_owned()),
        labels: [(EVIL.to_owned(), EVIL.to_owned())].into(),
        started_at: Some(EVIL.to_owned()),
        ..Container::default()
    });
    record
}

fn report() -> Report {
    let frame = |index| Frame {
        index,
        pc: Address(0x1000),
        function: Some(EVIL.to_owned()),
        module: Some(format!("/app/{EVIL}")),
        file: Some(EVIL.to_owned()),
        line: Some(2),
        in_app: index == 0,
        source: vec![SourceLine {
            number: 2,
            text: EVIL.to_owned(),
        }],
        ..Frame::default()
    };
    let thread = |tid, crashed| Thread {
        tid,
        crashed,
        registers: [(EVIL.to_owned(), Address(1))].into(),
        waits_for: (tid == 3).then(|| Wait {
            what: EVIL.to_owned(),
            owner: Some(tid),
            owner_name: Some(EVIL.to_owned()),
            ..Wait::default()
        }),
        frames: vec![frame(0), frame(1)],
        incomplete: Some(EVIL.to_owned()),
        ..Thread::default()
    };
    let json = serde_json::json!({
        "schema": 1,
        "core": { "arch": EVIL, "size": 1, "kept": "full", "truncated": false },
        "process": { "pid": 1, "signal": { "number": 11, "name": EVIL, "code_name": EVIL } },
        "cause": Cause {
            kind: EVIL.to_owned(),
            title: format!("cause {EVIL}"),
            message: Some(EVIL.repeat(100)),
            instruction: Some(EVIL.to_owned()),
            evidence: vec![EVIL.to_owned()],
            ..Cause::default()
        },
        "site": {
            "what": EVIL, "function": EVIL,
            "code": [{ "pc": "0x1000", "offset": 4, "bytes": EVIL, "text": EVIL, "target": EVIL, "marked": true }],
            "registers": [{ "name": EVIL, "value": "0x8", "points_to": EVIL }],
            "memory": [
                { "what": EVIL, "address": "0x1004", "start": "0x1000", "bytes": "3c 62 3e ?? 00" },
                { "what": EVIL, "address": "0x8", "start": "0x0", "bytes": EVIL, "absent": EVIL },
                { "what": EVIL, "address": "0x8", "start": "0xffffffffffffffff", "bytes": EVIL.repeat(99) }
            ]
        },
        "threads": [thread(9, true), thread(2, false), thread(3, false)],
        "deadlocks": [[9, 3], [3], [], [-1]],
        "modules": [{ "path": EVIL, "build_id": EVIL, "base": "0x1000", "end": "0x2000",
                      "image": EVIL, "debug": EVIL, "problem": EVIL, "wanted": ["abcd1234", EVIL] }],
        "runtimes": [{ "language": EVIL, "version": EVIL, "threads": [thread(1, false)] }],
        "signature": { "version": 1, "kind": "symbolic", "title": EVIL, "hash": "ab".repeat(32),
                       "frames": [{ "function": EVIL, "kept": false, "rule": EVIL }] },
        "warnings": [EVIL]
    });
    serde_json::from_value(json).unwrap()
}

/// A running service whose store holds some crashes.
struct Site {
    app: App,
    _directory: tempfile::TempDir,
}

impl Site {
    async fn with(records: &[Record]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        for record in records {
            let entry = state.join(layout::READY).join(record.id.as_str());
            std::fs::create_dir_all(&entry).unwrap();
            std::fs::write(
                entry.join(layout::RECORD),
                serde_json::to_vec(record).unwrap(),
            )
            .unwrap();
            std::fs::write(entry.join(layout::LOG), format!("one\n{EVIL}\n")).unwrap();
        }
        let config = Config {
            state_dir: state,
            runtime_dir: directory.path().join("run"),
            analyzer: Some("/bin/false".into()),
            ..Config::default()
        };
        let app = App::new(Daemon::start(config).await.unwrap());
        let site = Self {
            app,
            _directory: directory,
        };
        site.settle(records.len()).await;
        site
    }

    /// Waits until every crash is taken in and its analysis, which fails, has ended.
    async fn settle(&self, count: usize) {
        for _ in 0..400 {
            let status = self.app.daemon.store().status().unwrap();
            if status.dumps == count as u64 && status.pending == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the crashes were not taken in");
    }

    async fn send(&self, method: Method, target: &str) -> (StatusCode, String) {
        self.hand_in(method, target, "text/html", "").await
    }

    /// The same with a body.
    async fn hand_in(
        &self,
        method: Method,
        target: &str,
        kind: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("accept", "text/html")
            .header("content-type", kind)
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = router(self.app.clone()).call(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A page, checked for what holds for all of them.
    async fn page(&self, target: &str, expected: StatusCode) -> String {
        let (status, page) = self.send(Method::GET, target).await;
        assert_eq!(status, expected, "{target}: {page}");
        check(target, &page);
        page
    }
}

/// What holds for every page, however hostile its contents.
fn check(target: &str, page: &str) {
    const ELEMENTS: &str = " a article aside blockquote body br button circle code datalist dd details dialog div dl doctype dt footer form g \
        h1 h2 h3 head header html input kbd label li link main mark meta nav noscript ol option p path pre rect script section select small \
        span strong summary svg table tbody td textarea th thead time title tr ul ";
    assert_eq!(page.matches("<h1").count(), 1, "{target}: one h1");
    assert_eq!(page.matches("<main").count(), 1, "{target}: one main");
    assert_eq!(
        page.matches("<script").count(),
        2,
        "{target}: our scripts only"
    );
    let invisible = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(
        !page.contains(invisible),
        "{target}: an invisible character"
    );
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag
            .split_once('>')
            .unwrap_or_else(|| panic!("{target}: <{tag}"))
            .0;
        let name = tag
            .trim_start_matches(['/', '!'])
            .split([' ', '/'])
            .next()
            .unwrap();
        assert!(ELEMENTS.contains(&format!(" {name} ")), "{target}: <{tag}>");
        // Attributes without their values.
        let bare: String = tag.split('"').step_by(2).collect();
        assert!(
            !bare.contains(" style=") && !bare.contains(" on"),
            "{target}: <{tag}>"
        );
        let void =
            tag.ends_with('/') || matches!(name, "br" | "doctype" | "meta" | "link" | "input");
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "{target}: </{closed}>"),
            None if void => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{target}: {open:?}");
}

/// The group of a dump.
fn group_of(site: &Site, dump: &DumpId) -> String {
    let dump = site.app.daemon.store().dump(dump).unwrap();
    dump.summary.group.unwrap()
}

#[tokio::test]
async fn no_page_shows_anything_raw() {
    let records = [record(0x11, true), record(0x12, true), record(0x21, false)];
    let site = Site::with(&records).await;
    site.app
        .daemon
        .store()
        .save_report(&records[0].id, &report())
        .unwrap();

    let crash = site.page("/dumps/1111", StatusCode::OK).await;
    for text in [
        "cause &lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;&lt;img src=x onerror=alert(2)&gt;‹U+202E›␛[31m␀",
        "unlucky&lt;script&gt;",
        "2 threads like this: thread 2, thread 3",
        "waits for the mutex at 0x0, owned by thread 3 (&lt;script&gt;",
        "Deadlock: thread 3 waits for what it has itself.",
        "<code>&lt;b&gt; .</code>",
        "The core is truncated: 1.0 kB of 2.0 kB arrived.",
        "A guess",
    ] {
        assert!(crash.contains(text), "{text} is missing:\n{crash}");
    }
    assert!(
        !crash.contains("http-equiv=\"refresh\""),
        "an ended analysis is waited for"
    );

    // A group's page explains its newest crash.
    site.app
        .daemon
        .store()
        .save_report(&records[2].id, &report())
        .unwrap();
    let its = group_of(&site, &records[2].id);
    for target in ["/groups", "/?window=30d"] {
        let page = site.page(target, StatusCode::OK).await;
        let link = format!("href=\"/groups/{its}\"");
        assert!(page.contains(&link), "{target}: {page}");
    }
    site.page("/", StatusCode::OK).await;
    site.page("/?window=7d", StatusCode::OK).await;
    let (status, _) = site.send(Method::GET, "/?query=since:1d&window=7d").await;
    assert_eq!(status, StatusCode::PERMANENT_REDIRECT, "an old link");
    site.page("/groups?window=30d&query=since:1d", StatusCode::OK)
        .await;
    let group = site.page(&format!("/groups/{its}"), StatusCode::OK).await;
    assert!(group.contains("left out"), "{group}");

    let bare = site.page("/dumps/12", StatusCode::OK).await;
    assert!(bare.contains("there is no memory to say more"), "{bare}");
    let process = site.page("/dumps/21", StatusCode::OK).await;
    assert!(
        process.contains("Ran outside of any container"),
        "{process}"
    );
    let all = site.page("/dumps", StatusCode::OK).await;
    assert_eq!(all.matches("data-row").count(), 3);
    site.page("/status", StatusCode::OK).await;
    let report = site
        .page("/report?by=host,image,label:a&query=host:*", StatusCode::OK)
        .await;
    assert!(
        report.contains("/dumps?query=host:%2A%20host:%22"),
        "{report}"
    );
    site.page("/report?by=imgae", StatusCode::BAD_REQUEST).await;
    site.page("/hosts", StatusCode::OK).await;
    for target in [
        "/images",
        "/images?query=since:1d",
        "/investigations",
        "/investigations?verdict=proven",
        "/settings",
        "/compare",
        "/compare?a=1111",
        "/compare?a=1111&b=21",
    ] {
        site.page(target, StatusCode::OK).await;
    }
    let (status, text) = site.send(Method::GET, "/api/v1/dumps/1111/text").await;
    assert_eq!(status, StatusCode::OK);
    let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t') || c == '\u{202e}';
    assert!(text.contains("<script>") && !text.contains(acts), "{text}");
    let evil = crate::ui::view::text::url(EVIL);
    site.page(
        &format!("/report?by={evil}&query={evil}"),
        StatusCode::BAD_REQUEST,
    )
    .await;
    site.page("/groups?query=image:a%20sgnal:b", StatusCode::BAD_REQUEST)
        .await;
    symbols_are_shown_as_text(&site).await;
}

async fn symbols_are_shown_as_text(site: &Site) {
    let evil = "&lt;script&gt;alert(1)&lt;/script&gt;";
    let missing = site.page("/symbols", StatusCode::OK).await;
    assert!(
        missing.contains("abcd1234") && missing.contains("No server is asked"),
        "{missing}"
    );
    assert!(missing.contains(evil) && !missing.contains("action=\"/symbols/fetch\""));
    let description = Description {
        build_id: "abcd1234".to_owned(),
        debug: EVIL.to_owned(),
        ..Description::default()
    };
    let file = SymbolFile::new(description, EVIL, Source::Uploaded, 1, 0);
    let store = site.app.daemon.store();
    let from = store.state_dir().join("file");
    std::fs::write(&from, "x").unwrap();
    store.keep_symbols(&from, &file).unwrap();
    let kept = site.page("/symbols", StatusCode::OK).await;
    assert!(kept.contains("href=\"/api/v1/symbols/abcd1234\"") && kept.contains(evil));
    assert!(kept.contains("Every frame of every crash"), "{kept}");
    let remove = "/symbols/abcd1234/remove";
    let (status, _) = site.send(Method::POST, remove).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, _) = site.send(Method::POST, remove).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, page) = site.send(Method::POST, "/symbols").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{page}");
    check("/symbols", &page);
}

#[tokio::test]
async fn an_empty_service_says_how_to_crash_something() {
    let site = Site::with(&[]).await;
    let home = site.page("/", StatusCode::OK).await;
    assert!(
        home.contains("nothing has crashed") && home.contains("kill -SEGV"),
        "{home}"
    );
    site.page("/groups", StatusCode::OK).await;
    site.page("/dumps", StatusCode::OK).await;
    let found = site.page("/dumps?query=nothing", StatusCode::OK).await;
    assert!(found.contains("Nothing matches"), "{found}");
}

#[tokio::test]
async fn mistakes_are_pages_that_help() {
    let site = Site::with(&[record(0x11, true), record(0x12, true)]).await;
    let ambiguous = site.page("/dumps/1", StatusCode::CONFLICT).await;
    assert_eq!(
        ambiguous.matches("href=\"/dumps/1").count(),
        2,
        "{ambiguous}"
    );
    let typo = site
        .page("/groups?query=image:a%20sgnal:x", StatusCode::BAD_REQUEST)
        .await;
    assert!(
        typo.contains("image:a <mark>sgnal</mark>:x") && typo.contains("did you mean signal"),
        "{typo}"
    );
    for (target, status) in [
        ("/dumps/ffff", StatusCode::NOT_FOUND),
        ("/dumps/%3Cscript%3E", StatusCode::NOT_FOUND),
        ("/groups/0000", StatusCode::NOT_FOUND),
        ("/nowhere/%3Cscript%3E", StatusCode::NOT_FOUND),
        ("/dumps?cursor=x", StatusCode::BAD_REQUEST),
        (
            "/dumps?query=%3Cscript%3E:x%E2%80%AE",
            StatusCode::BAD_REQUEST,
        ),
    ] {
        site.page(target, status).await;
    }
    let (status, problem) = site.send(Method::GET, "/api/v1/nowhere").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(problem.starts_with('{'), "{problem}");
}

#[tokio::test]
async fn a_crash_is_analysed_again_and_removed_by_its_buttons() {
    let site = Site::with(&[record(0x11, true)]).await;
    let (status, _) = site.send(Method::POST, "/dumps/11/analyze").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, _) = site.send(Method::GET, "/dumps/11/remove").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    site.settle(1).await;
    let (status, _) = site.send(Method::POST, "/dumps/11/remove").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    site.page("/dumps/11", StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn files_are_found_under_the_name_pages_give_them() {
    let site = Site::with(&[]).await;
    let home = site.page("/", StatusCode::OK).await;
    let names = home
        .split("\"/static/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap());
    let names: Vec<_> = names.collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        let (status, body) = site.send(Method::GET, &format!("/static/{name}")).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        assert!(
            !body.contains("url(") && !body.contains("@import"),
            "{name}"
        );
    }
    let (status, _) = site.send(Method::GET, "/static/aground-0.css").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[test]
fn a_page_waits_for_an_analysis_and_says_why_there_is_no_core() {
    use super::pages::dump::DumpPage;
    use aground_store::types::{Dump, DumpStatus, DumpSummary};
    use askama::Template;

    let mut record = record(0x11, true);
    record.capture.kept = Kept::None;
    record.capture.reason = Some("the disk is full".to_owned());
    let summary = serde_json::json!({
        "id": record.id, "crashed_at_ms": 0, "host": "h", "signal": "SIGSEGV", "pid": 1, "name": "a",
        "command": "a", "status": DumpStatus::Pending, "kept": "none", "truncated": false,
        "core_bytes": 0, "stored_bytes": 0
    });
    let summary: DumpSummary = serde_json::from_value(summary).unwrap();
    let dump = Dump {
        summary,
        record,
        report: None,
        log_tail: None,
    };
    let page = DumpPage::new(&dump, 1000).render().unwrap();
    check("pending", &page);
    assert!(
        page.contains("<meta http-equiv=\"refresh\" content=\"2\">"),
        "{page}"
    );
    assert!(
        page.contains("No memory was kept: the disk is full"),
        "{page}"
    );
    assert!(!page.contains("/core\""), "a download of nothing:\n{page}");
}

#[test]
fn only_threads_whose_numbers_are_known_are_named() {
    let (record, mut report) = (record(1, true), report());
    name_threads(&mut report, &record);
    let named: Vec<_> = report
        .threads
        .iter()
        .map(|thread| thread.name.is_some())
        .collect();
    assert_eq!(named, [true, false, false]);
}
