//! The daemon and its clients when something is wrong with what they are asked.

use aground_testkit::run::{Outcome, finish};
use aground_testkit::site::Site;
use aground_testkit::synthetic::Core;
use std::io::Write;
use std::process::{Command, Stdio};

/// Puts so many crashes into the spool, by the helper.
fn record(site: &Site, count: usize) {
    for _ in 0..count {
        let mut helper = Command::new(site.program("aground-collect"))
            .arg(site.state())
            .args([
                "3999999",
                "3999999",
                "1",
                "0",
                "0",
                "11",
                "1795000000",
                "0",
                "1",
                "3",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        helper
            .stdin
            .take()
            .unwrap()
            .write_all(&Core::default().bytes())
            .unwrap();
        assert!(helper.wait().unwrap().success());
    }
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let site = Site::started();
    let mut second = site.serve();
    second.args([
        "--listen",
        &format!("127.0.0.1:{}", aground_testkit::site::free_port()),
    ]);
    let refused = match finish(&mut second) {
        // A flag given twice is refused by the command line itself; ask again without the first.
        outcome if outcome.stderr.contains("cannot be used multiple times") => {
            finish(&mut site.serve())
        }
        outcome => outcome,
    };
    let error = refused.one_line_error();
    assert!(
        error.contains("another aground daemon") || error.contains("already"),
        "{error}"
    );
    site.aground(&["ping"]).ok();
}

#[test]
fn unknown_and_ambiguous_ids_are_named() {
    let site = Site::started();
    // Of seventeen ids two begin with the same digit.
    record(&site, 17);
    site.wait_for(17, &[]);
    let ids = site.ids(&[]);
    let digit = "0123456789abcdef"
        .chars()
        .find(|digit| ids.iter().filter(|id| id.starts_with(*digit)).count() > 1)
        .unwrap();
    let absent = "0123456789abcdef".repeat(2);
    for verb in ["inspect", "bt", "rm"] {
        let error = site.aground(&[verb, &digit.to_string()]).one_line_error();
        assert!(error.contains("ambiguous"), "{verb}: {error}");
        for unknown in [absent.as_str(), "zzz", "../../etc/passwd", "%00", ""] {
            site.aground(&[verb, unknown]).one_line_error();
        }
    }
    site.aground(&["cp", &digit.to_string(), "-"])
        .one_line_error();
    site.aground(&["cp", &absent, "-"]).one_line_error();
    assert_eq!(site.ids(&[]).len(), 17, "something was removed");
    assert_eq!(site.get(&format!("/api/v1/dumps/{absent}")).status, 404);
    assert_eq!(site.get(&format!("/api/v1/dumps/{digit}")).status, 409);
    assert_eq!(site.get("/api/v1/groups/0000000000000000").status, 404);
}

#[test]
fn bad_filters_are_refused_in_one_line() {
    let site = Site::started();
    for filter in ["colour=red", "image", "=x", "since=yesterweek", "signal"] {
        let error = site.aground(&["ls", "--filter", filter]).one_line_error();
        // It repeats the part that is wrong: the key, or the value of a key it knows.
        let (key, value) = filter.split_once('=').unwrap_or((filter, filter));
        assert!(
            error.contains(key) || error.contains(value),
            "{filter}: {error}"
        );
    }
    let answer = site.get("/api/v1/dumps?query=colour:red");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer.head.contains("application/problem+json"),
        "{}",
        answer.head
    );
    assert_eq!(site.get("/api/v1/dumps?limit=many").status, 400);
    assert_eq!(site.get("/api/v1/dumps?cursor=nonsense").status, 400);
}

/// A filter is data: it changes neither the SQL nor what it asks for.
#[test]
fn filters_are_not_sql() {
    let site = Site::started();
    record(&site, 2);
    site.wait_for(2, &[]);
    for filter in [
        "image=' OR 1=1 --",
        "container=\"; DROP TABLE dumps; --",
        "exe=%",
        "comm=_",
    ] {
        let listed: Outcome = site.aground(&["ls", "-q", "--filter", filter]);
        assert_eq!(listed.ok(), "", "{filter} matched");
    }
    assert_eq!(site.ids(&[]).len(), 2);
}

#[test]
fn without_a_daemon_clients_say_so() {
    let site = Site::new();
    for verb in [
        &["ls"][..],
        &["ping"],
        &["status"],
        &["groups"],
        &["bt", "abc"],
    ] {
        let error = site.aground(verb).one_line_error();
        assert!(
            error.contains("api.sock"),
            "{verb:?} does not say whom it asked: {error}"
        );
    }
}

#[test]
fn a_removed_dump_is_gone_with_its_files() {
    let site = Site::started();
    record(&site, 2);
    site.wait_for(2, &[]);
    let id = site.ids(&[]).remove(0);
    assert!(site.state().join("dumps").join(&id).exists());
    site.aground(&["rm", &id]).ok();
    assert!(!site.state().join("dumps").join(&id).exists());
    assert_eq!(site.ids(&[]).len(), 1);
}

/// The API refuses requests that a page of another site could make a browser send.
#[test]
fn requests_from_other_sites_are_refused() {
    let site = Site::started();
    record(&site, 1);
    site.wait_for(1, &[]);
    let id = site.ids(&[]).remove(0);
    let port = site.port();
    let cross = format!(
        "DELETE /api/v1/dumps/{id} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n\r\n"
    );
    assert_eq!(aground_testkit::http::request(port, &cross).status, 403);
    let rebound = format!("GET /api/v1/dumps HTTP/1.0\r\nHost: evil.example:{port}\r\n\r\n");
    let answer = aground_testkit::http::request(port, &rebound);
    assert!((400..500).contains(&answer.status), "{}", answer.head);
    assert_eq!(site.ids(&[]).len(), 1);
}
