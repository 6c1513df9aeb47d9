//! `aground …` as a person runs it.

use crate::site::{Site, core, failed, ok, record};
use aground_helper::record::Record;

/// A crash whose every text is out to get the reader's terminal.
fn hostile() -> Record {
    let evil = "\x1b]0;owned\x07\x1b[31mx\u{202e}\u{9b}2J\r\nFAKE ROW".to_owned();
    let mut hostile = record(1);
    hostile.process.name.clone_from(&evil);
    hostile.process.args = vec![evil.clone()];
    hostile.process.executable = Some(evil.clone());
    hostile.host.hostname.clone_from(&evil);
    if let Some(container) = &mut hostile.container {
        container.name = Some(evil.clone());
        container.image = Some(evil.clone());
        container.labels = [("k".to_owned(), evil.clone())].into();
    }
    hostile
}

#[tokio::test]
async fn lists_have_dockers_manners() {
    let site = Site::with(&[record(1), record(2)]).await;
    let table = ok(&site.aground(&["ls", "-n", "1"]).await);
    let mut lines = table.lines();
    let header = lines
        .next()
        .unwrap()
        .split("   ")
        .filter(|c| !c.is_empty())
        .map(str::trim);
    assert_eq!(
        header.collect::<Vec<_>>(),
        [
            "DUMP ID",
            "CONTAINER",
            "IMAGE",
            "COMMAND",
            "SIGNAL",
            "CREATED",
            "SIZE",
            "STATUS",
            "WHAT HAPPENED"
        ]
    );
    let row = lines.next().unwrap();
    assert!(
        row.starts_with("220201020304   shop-2      shop:1.42   \"/app/server --confi…\""),
        "{row}"
    );
    assert!(
        row.contains("700kB") && row.contains(" ago ") && row.contains("failed"),
        "{row}"
    );
    assert_eq!(lines.next(), None);

    for (arguments, expected) in [
        (&["ls", "-q"][..], "220201020304\n110101020304\n"),
        (
            &["ls", "-lq", "--no-trunc"],
            "22020102030405060708090a0b0c0d0e\n",
        ),
        (
            &["ls", "-q", "--filter", "container=shop-1"],
            "110101020304\n",
        ),
        (
            &[
                "ls",
                "-q",
                "-f",
                "CONTAINER= shop-1 ",
                "-f",
                "container=shop-2",
            ],
            "220201020304\n110101020304\n",
        ),
        (
            &["ls", "-q", "container:shop-1", "signal:SIGSEGV"],
            "110101020304\n",
        ),
        (
            &["ls", "-q", "--since", "2026-11-01", "--until", "2026-11-30"],
            "220201020304\n110101020304\n",
        ),
        (&["ls", "-q", "--until", "2026-11-01"], ""),
        (
            &["ls", "--format", "{{.Container}} {{.Label \"team\"}}"],
            "shop-2 core\nshop-1 core\n",
        ),
        (
            &["ls", "-l", "--format", "table {{.ID}}\\t{{lower .Signal}}"],
            "DUMP ID        SIGNAL\n220201020304   sigsegv\n",
        ),
        (
            &["ls", "-q", "--format", "{{.Signal}}"],
            "220201020304\n110101020304\n",
        ),
    ] {
        assert_eq!(
            ok(&site.aground(arguments).await),
            expected,
            "{arguments:?}"
        );
    }

    let json = ok(&site.aground(&["ls", "--format", "json"]).await);
    let row: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&row["ID"], &row["Image"], &row["Labels"]),
        (
            &"220201020304".into(),
            &"shop:1.42".into(),
            &"team=core".into()
        )
    );

    let empty = ok(&site.aground(&["ls", "-f", "image=none"]).await);
    assert_eq!(empty.lines().count(), 1, "an empty list is its header");
}

#[tokio::test]
async fn nothing_from_a_dump_acts_on_the_terminal() {
    let hostile = hostile();
    let site = Site::with(std::slice::from_ref(&hostile)).await;
    site.report(&hostile, "write \x1b[2J to \u{202e}0x0\r\nFAKE");
    let group = site.get("/api/v1/groups").await.json()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for arguments in [
        &["ls"][..],
        &["ls", "--no-trunc"],
        &["ls", "--format", "json"],
        &[
            "ls",
            "--format",
            "{{.Command}} {{.Container}} {{.Image}} {{.Labels}} {{.Host}} {{.Cause}} {{.Where}}",
        ],
        &["ls", "--format", "table {{.Container}}\\t{{.Label \"k\"}}"],
        &["ls", "--format", "{{json .}}x"],
        &["inspect", "11"],
        &[
            "inspect",
            "--format",
            "{{.record.host.hostname}} {{json .record.container}}",
            "11",
        ],
        &["bt", "-arm", "11"],
        &["log", "11"],
        &["groups"],
        &["groups", "--format", "json"],
        &["groups", "explain", &group],
        &["groups", "explain", "--format", "json", &group],
        &["groups", "diff", &group, &group],
        &["groups", "diff", "--format", "json", &group, &group],
        &["status"],
        &["status", "--format", "json"],
    ] {
        let shown = ok(&site.aground(arguments).await);
        let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!shown.contains(acts), "{arguments:?}: {shown:?}");
        assert!(
            !shown.lines().any(|line| line.starts_with("FAKE")),
            "{arguments:?}: {shown}"
        );
    }
    let json: serde_json::Value =
        serde_json::from_str(&ok(&site.aground(&["inspect", "11"]).await)).unwrap();
    assert_eq!(
        json[0]["record"]["host"]["hostname"], hostile.host.hostname,
        "JSON lost its meaning"
    );
}

#[tokio::test]
async fn backtraces_have_the_cause_on_top() {
    let site = Site::with(&[record(1)]).await;
    let shown = ok(&site.aground(&["bt", "11"]).await);
    let failed = "analysis     failed, so this is what the record says: the analyzer failed";
    assert!(shown.contains(failed), "{shown}");
    site.report(&record(1), "write to 0x0 in parse_header");
    let shown = ok(&site.aground(&["bt", "11"]).await);
    assert_eq!(shown.lines().next(), Some("write to 0x0 in parse_header"));
    for expected in [
        "shop-1",
        "shop:1.42",
        "parse_header () at /src/parser.c:42",
        "one thread is guessed",
    ] {
        assert!(shown.contains(expected), "{expected} is missing: {shown}");
    }
}

#[tokio::test]
async fn cores_are_copied_whole() {
    let site = Site::with(&[record(1)]).await;
    let out = site.aground(&["cp", "11", "-"]).await;
    assert!(out.status.success() && out.stdout == core());
    let directory = site.path().join("into");
    std::fs::create_dir(&directory).unwrap();
    for (destination, lands) in [
        (directory.clone(), directory.join("core.110101020304")),
        (directory.join("x"), directory.join("x")),
    ] {
        let copied = site
            .aground(&["cp", "11", destination.to_str().unwrap()])
            .await;
        assert_eq!((ok(&copied), copied.stderr), (String::new(), Vec::new()));
        assert!(
            std::fs::read(&lands).unwrap() == core(),
            "{}",
            lands.display()
        );
    }
    let error = failed(&site.aground(&["cp", "11", "/nonexistent/core"]).await, 1);
    assert!(error.contains("cannot write /nonexistent/core"), "{error}");
    failed(&site.aground(&["cp", "99", "-"]).await, 1);
}

#[tokio::test]
async fn what_is_missing_is_told_and_the_rest_is_done() {
    let site = Site::with(&[record(1), record(2), record(3)]).await;
    let inspected = site.aground(&["inspect", "zz", "11", "yy"]).await;
    assert_eq!(inspected.status.code(), Some(1));
    let array: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 1);
    assert_eq!(
        String::from_utf8_lossy(&inspected.stderr).lines().count(),
        2
    );
    assert!(
        String::from_utf8_lossy(&inspected.stdout).starts_with("[\n    {\n        \"summary\"")
    );
    assert_eq!(site.aground(&["inspect", "zz"]).await.stdout, b"[]\n");

    let removed = site.aground(&["rm", "11", "zz", "22"]).await;
    assert_eq!(
        (removed.status.code(), &removed.stdout[..]),
        (Some(1), &b"11\n22\n"[..])
    );
    assert!(String::from_utf8_lossy(&removed.stderr).contains("zz"));
    assert_eq!(ok(&site.aground(&["rm", "-f", "11"]).await), "");
    assert_eq!(ok(&site.aground(&["ls", "-q"]).await), "330301020304\n");
}

#[tokio::test]
async fn mistakes_are_one_clear_line() {
    let site = Site::with(&[record(1)]).await;
    for (arguments, code, says) in [
        (
            &["ls", "-f", "image"][..],
            1,
            "bad format of filter \"image\" (expected name=value)",
        ),
        (&["ls", "-f", "colour=red"], 1, "colour"),
        (
            &["ls", "--since", "yesterday"],
            1,
            "--since: \"yesterday\" is no time",
        ),
        (&["ls", "--format", "{{.Nope}}"], 1, "Nope"),
        (&["ls", "--format", "{{"], 1, "template parsing error"),
        (
            &["inspect", "--format", "{{.nope}}", "11"],
            64,
            "template parsing error",
        ),
        (&["inspect", ""], 1, "nothing at"),
        (&["bt", "zz"], 1, "zz"),
        (&["log", "zz"], 1, "zz"),
        (&["groups", "explain", "zz"], 1, "zz"),
        (&["groups", "diff", "zz", "zz"], 1, "zz"),
        (&["groups", "try", "/nonexistent"], 1, "/nonexistent"),
        (
            &["--host", "unix:///nonexistent/api.sock", "ls"],
            125,
            "cannot reach the aground daemon at unix:///nonexistent/api.sock: is it running? (aground serve)",
        ),
        (
            &["--host", "http://127.0.0.1:1", "ping"],
            125,
            "cannot reach the aground daemon at http://127.0.0.1:1",
        ),
        (
            &["--host", "/run/x", "ls"],
            1,
            "\"/run/x\" is no address of a daemon",
        ),
        (
            &["serve", "--listen", "0.0.0.0:7999"],
            1,
            "refusing to listen on 0.0.0.0:7999",
        ),
        (&["serve", "--config", "/nonexistent"], 1, "/nonexistent"),
        (&["analyze", "/nonexistent"], 1, "/nonexistent"),
    ] {
        let output = site.aground(arguments).await;
        let error = failed(&output, code);
        assert!(
            error.starts_with("aground: ") && error.contains(says),
            "{arguments:?}: {error}"
        );
    }
    for wrong in [
        &["ls", "--nope"][..],
        &["rm"],
        &["nosuch"],
        &["ls", "-n", "x"],
        &["cp", "11"],
    ] {
        let output = site.aground(wrong).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{wrong:?}: {text}");
        assert!(
            text.contains("\nUsage:  aground") && text.contains("--help' for more information"),
            "{text}"
        );
    }
}

/// `aground ls | head -1` ends without a word.
#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let records: Vec<Record> = (1..=15).map(record).collect();
    let site = Site::with(&records).await;
    let program = env!("CARGO_BIN_EXE_aground");
    let line = format!("({program} cp 11 -; echo $? >&2) | head -c 1 >/dev/null");
    let output = site.run("/bin/sh", &["-c", &line]).await;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "0\n");
}

#[tokio::test]
async fn operators_get_the_state() {
    let site = Site::with(&[record(1)]).await;
    assert_eq!(ok(&site.aground(&["ping"]).await), "OK\n");
    let status = ok(&site.aground(&["status"]).await);
    assert!(status.contains("Dumps         1 in 1 group"), "{status}");
    let json: serde_json::Value =
        serde_json::from_str(&ok(&site.aground(&["status", "--format", "json"]).await)).unwrap();
    assert_eq!(json["store"]["dumps"], 1);
    assert!(ok(&site.aground(&["version"]).await).contains("Daemon:  0."));
}
