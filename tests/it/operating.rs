//! What an operator does with the service: check its settings, start it by a socket, read its log,
//! look what it is busy with.

use aground_testkit::http;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, free_port, json_lines};
use aground_testkit::synthetic::Core;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[test]
fn settings_are_checked_before_a_restart() {
    let site = Site::new();
    let file = site.path().join("aground.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        site.aground(&["config", "check", "--config", file.to_str().unwrap()])
    };
    let fine = check("workers = 2\n[retention]\nmax_bytes = \"10GB\"\n").ok();
    assert_eq!(fine, format!("{}: ok\n", file.display()));
    for (text, why) in [
        ("worker = 2\n", "line 1: unknown field `worker`"),
        ("\n[retention]\nmax_bytes = \"many\"\n", "line 3"),
        ("workers = 0\n", "workers must be between 1 and 256"),
        ("listen = \"0.0.0.0:7400\"\n", "in the clear"),
        (
            "debug_listen = \"0.0.0.0:7401\"\n",
            "debug_listen must be an address of loopback",
        ),
        (
            "[web]\ntls_cert = \"/nonexistent\"\ntls_key = \"/nonexistent\"\n",
            "/nonexistent",
        ),
    ] {
        let error = check(text).one_line_error();
        assert!(error.contains(why), "{text}: {error}");
    }
    let absent = site.aground(&["config", "check", "--config", "/nonexistent"]);
    assert!(absent.one_line_error().contains("/nonexistent"));
}

/// Ends with the test.
struct Activated(Child);

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn systemd_may_hold_the_sockets() {
    let site = Site::new();
    let (socket, port) = (site.runtime().join("held.sock"), free_port());
    let mut activate = Command::new("systemd-socket-activate");
    activate
        .arg(format!("--listen={}", socket.display()))
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(site.program("aground"))
        .args(["serve", "--state-dir"])
        .arg(site.state())
        .arg("--runtime-dir")
        .arg(site.runtime())
        .stdout(Stdio::null())
        .stderr(fs::File::create(site.path().join("serve.log")).unwrap());
    let _service = Activated(activate.spawn().unwrap());
    eventually(Duration::from_secs(30), || {
        socket.exists().then_some(()).ok_or("no socket".to_owned())
    });
    // The first question starts the service, and waits for its answer.
    let host = format!("unix://{}", socket.display());
    let mut ping = Command::new(site.program("aground"));
    finish(ping.args(["--host", &host, "ping"])).ok();
    assert_eq!(
        http::get(port, "/readyz").status,
        200,
        "{}",
        site.log_text()
    );
    assert!(
        !site.runtime().join("api.sock").exists(),
        "it made one of its own"
    );
}

#[test]
fn the_log_names_the_dump_on_every_line_about_it() {
    let mut site = Site::new();
    site.start_with_variables(&[("AGROUND_LOG_FORMAT", "json")]);
    let core = site.path().join("a.core");
    fs::write(&core, Core::default().bytes()).unwrap();
    site.aground(&["import", core.to_str().unwrap()]).ok();
    let id = site.wait_for(1, &[])[0]["summary"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    site.aground(&["rm", &id]).ok();
    site.stop();
    let lines = json_lines(&site.log_text());
    let about = |message: &str| {
        let line = lines
            .iter()
            .find(|line| line["fields"]["message"] == message);
        line.unwrap_or_else(|| panic!("no line \"{message}\": {lines:?}"))
    };
    for message in ["core imported", "analysed", "removed"] {
        assert_eq!(about(message)["fields"]["dump"], id.as_str(), "{message}");
    }
}

#[test]
fn a_profile_says_what_the_service_is_busy_with() {
    let mut site = Site::new();
    let port = free_port();
    site.start_with_config(&format!("debug_listen = \"127.0.0.1:{port}\"\n"));
    // Something to do meanwhile.
    let asking = Command::new("sh")
        .arg("-c")
        .arg("while \"$0\" ls >/dev/null; do :; done")
        .arg(site.program("aground"))
        .env("AGROUND_HOST", site.host())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _asking = Activated(asking);
    let profile = http::get(port, "/debug/profile?seconds=3");
    assert_eq!(profile.status, 200, "{}", profile.text());
    let text = profile.text();
    assert!(
        text.contains("aground_web::") || text.contains("tokio::"),
        "{text}"
    );
    for line in text.lines() {
        let (stack, count) = line.rsplit_once(' ').unwrap();
        assert!(
            stack.contains(';') && count.parse::<u64>().is_ok_and(|n| n > 0),
            "{line}"
        );
    }
    for wrong in ["?seconds=0", "?seconds=301", "?seconds=x", "?second=1"] {
        let answer = http::get(port, &format!("/debug/profile{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    assert_eq!(http::get(port, "/api/v1/dumps").status, 404);
    assert_eq!(site.get("/debug/profile").status, 404);
}
