//! Crashes of Aground's own programs are recorded, once.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::handler::Handler;
use aground_testkit::run::{eventually, run};
use aground_testkit::site::{Site, signal, text};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

/// Dies of a signal while it holds more memory than a pipe does.
fn crash() {
    let program = "x=$(head -c 4000000 /dev/zero | tr '\\0' x); kill -SEGV $$";
    let status = Command::new("sh").args(["-c", program]).status();
    assert!(!status.unwrap().success());
}

/// The one dump of an executable's file name.
#[track_caller]
fn of<'d>(dumps: &'d [Value], name: &str) -> &'d Value {
    let is_of = |dump: &&Value| {
        let executable = dump["record"]["process"]["executable"].as_str();
        executable.is_some_and(|path| path.ends_with(name))
    };
    let mut found = dumps.iter().filter(is_of);
    let first = found.next().unwrap_or_else(|| panic!("{name} has no dump"));
    assert!(found.next().is_none(), "{name} has several dumps");
    first
}

/// Waits until nothing is on its way, and says how many dumps there are then.
fn settled(site: &Site) -> usize {
    let spool = site.state().join("spool");
    eventually(Duration::from_secs(30), || {
        let waiting = ["incoming", "ready"].map(|place| {
            let entries = fs::read_dir(spool.join(place)).unwrap();
            entries.count()
        });
        (waiting == [0, 0])
            .then_some(())
            .ok_or(format!("{waiting:?}"))
    });
    let count = site.ids(&[]).len();
    site.wait_for(count, &[]).len()
}

#[test]
fn an_analyzer_that_always_crashes_is_recorded_once_for_each_crash() {
    let mut site = Site::new();
    let (source, analyzer) = (site.path().join("a.c"), site.program("aground-analyzer"));
    fs::write(&source, "int main(void) { *(volatile int *)0 = 1; }").unwrap();
    fs::remove_file(&analyzer).unwrap();
    run("gcc", &["-o", text(&analyzer), text(&source)]).ok();
    site.start();
    let claim = site.collect();
    crash();
    let dumps = site.wait_for(2, &[]);
    let error = |dump: &Value| {
        dump["summary"]["analysis_error"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let user = error(of(&dumps, "sh"));
    assert!(
        user.contains("SIGSEGV") && user.contains("core dumped"),
        "{user}"
    );
    let own = error(of(&dumps, "aground-analyzer"));
    assert!(own.contains("a crash of the analyzer itself"), "{own}");
    assert!(
        dumps
            .iter()
            .all(|dump| dump["summary"]["group"].is_string())
    );
    assert_eq!(settled(&site), 2);
    drop(claim);
}

#[test]
fn a_crash_of_the_daemon_is_there_when_it_is_back() {
    let mut site = Site::started();
    let claim = site.collect();
    // Rust's own handler of SIGSEGV lets one pass that nothing in the program caused.
    signal(site.pid(), Signal::ABORT);
    let status = site.ended();
    assert!(status.core_dumped(), "{status}");
    drop(claim);
    site.start();
    let dumps = site.wait_for(1, &[]);
    let dump = of(&dumps, "/aground");
    assert_eq!(dump["summary"]["status"], "analyzed");
    assert_eq!(dump["record"]["signal"]["name"], "SIGABRT");
    assert_eq!(settled(&site), 1);
}

/// The helpers of a site, by process id.
fn helpers(site: &Site) -> Vec<u32> {
    let state = text(&site.state()).to_owned();
    let is_one = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.contains("aground-collect\0") && words.contains(&state)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_one).collect()
}

#[test]
fn a_helper_that_crashes_leaves_the_crash_it_was_called_for() {
    let mut site = Site::new();
    site.start_with_config("[capture.forward]\nhost = \"also\"\n");
    // Keeps the helper waiting for a moment.
    let handler = Handler::new(&site, "exec sleep 1000");
    let claim = CorePattern::claim();
    claim.set(&handler.pattern("%P"));
    site.install().ok();
    let crashing = std::thread::spawn(crash);
    let helper = eventually(Duration::from_secs(10), || {
        let held = handler.begun();
        let helpers = helpers(&site);
        (!held.is_empty() && helpers.len() == 1)
            .then(|| helpers[0])
            .ok_or_else(|| format!("{held:?} {helpers:?}"))
    });
    signal(helper, Signal::ABORT);
    crashing.join().unwrap();
    // A daemon that starts looks for what dead helpers left at once, not within a minute.
    site.stop();
    site.start();
    let dumps = site.wait_for(1, &[]);
    let capture = &dumps[0]["record"]["capture"];
    assert_eq!(capture["state"], "interrupted", "{capture:#}");
    assert_eq!(settled(&site), 1);
    drop(claim);
    for pid in handler.begun() {
        signal(pid, Signal::KILL);
    }
}
