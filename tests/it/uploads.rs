//! Large files over lines that break, to a daemon that is killed, onto a disk without room.

use aground_testkit::cut::CuttingProxy;
use aground_testkit::run::eventually;
use aground_testkit::site::{Site, text};
use aground_testkit::synthetic::Core;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const MEBIBYTE: usize = 1 << 20;

/// A core with so many mebibytes behind it that do not get smaller.
fn large(site: &Site, mebibytes: usize) -> PathBuf {
    let mut bytes = Core::default().bytes();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < mebibytes * MEBIBYTE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    let path = site.path().join("core.large");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn import(site: &Site, port: u16, file: &Path) -> Command {
    let mut command = Command::new(site.program("aground"));
    let host = format!("http://127.0.0.1:{port}");
    command.args(["--host", &host, "import", "-q", text(file)]);
    command
}

/// Bytes that have come of the one unfinished upload.
fn offset(site: &Site) -> usize {
    let listed = site.get("/api/v1/uploads").json();
    let offset = listed["items"][0]["offset"].as_u64().unwrap_or(0);
    usize::try_from(offset).unwrap()
}

#[test]
fn a_line_that_breaks_again_and_again_is_no_reason_to_begin_anew() {
    let site = Site::started();
    let file = large(&site, 40);
    let proxy = CuttingProxy::to(site.port(), 7 * MEBIBYTE);
    let output = import(&site, proxy.port(), &file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let id = String::from_utf8(output.stdout).unwrap();
    let core = site.core(id.trim());
    assert_eq!(std::fs::read(core).unwrap(), std::fs::read(&file).unwrap());
    assert!(proxy.cuts() >= 5, "{} cuts", proxy.cuts());
    let sent = proxy.bytes();
    assert!(sent < 60 * MEBIBYTE, "{sent} bytes were sent for 40 MiB");
    let left = site.get("/api/v1/uploads").json();
    assert_eq!(left["items"], serde_json::json!([]));
}

#[test]
fn it_goes_on_when_the_daemon_was_killed_and_when_the_command_was() {
    let mut site = Site::started();
    let file = large(&site, 40);
    // Slow enough to be killed on the way.
    let proxy = CuttingProxy::slowly_to(site.port(), 20 * MEBIBYTE);
    let start = |site: &Site| {
        let mut command = import(site, proxy.port(), &file);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let more_than = |site: &Site, least: usize| {
        eventually(Duration::from_mins(1), || match proxy.bytes() {
            bytes if bytes > least => Ok(()),
            bytes => Err(format!("{bytes} bytes\n{}", site.log_text())),
        });
    };
    let mut first = start(&site);
    more_than(&site, 8 * MEBIBYTE);
    first.kill().unwrap();
    first.wait().unwrap();
    let before = offset(&site);
    assert!(before > 4 * MEBIBYTE, "{before}");

    let second = start(&site);
    more_than(&site, proxy.bytes() + 6 * MEBIBYTE);
    site.kill();
    site.start();
    let output = second.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", site.log_text());
    let id = String::from_utf8(output.stdout).unwrap();
    let core = site.core(id.trim());
    assert_eq!(std::fs::read(core).unwrap(), std::fs::read(&file).unwrap());
    let sent = proxy.bytes();
    assert!(sent < 60 * MEBIBYTE, "{sent} bytes were sent for 40 MiB");
}

#[test]
fn what_has_no_room_is_refused_at_once_and_in_a_line() {
    let mut site = Site::new();
    let _disk = site.on_small_disk(48);
    site.start_with_config("[retention]\nmin_free = \"1MiB\"\n");
    let file = large(&site, 60);
    let proxy = CuttingProxy::to(site.port(), usize::MAX);
    let refused = aground_testkit::run::finish(&mut import(&site, proxy.port(), &file));
    let error = refused.one_line_error();
    assert!(error.contains("no room"), "{error}");
    assert!(proxy.bytes() < MEBIBYTE, "nothing of it was sent");
}
