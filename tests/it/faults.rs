//! What can go wrong at every step of the helper, made to go wrong there (strace(1), `inject`):
//! whatever it is, the crash is recorded, and the record is true.

use aground_testkit::helper::{collect, keep_all, kernel_arguments, vanished_pid};
use aground_testkit::run::eventually;
use aground_testkit::site::{Site, text};
use aground_testkit::synthetic::Core;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

/// Time enough for any of the helper's limits.
const LONG: Duration = Duration::from_secs(100);

/// The helper under strace, which does to it what `fault` says; its crash is that of a process
/// that is gone already.
fn helper_with(site: &Site, fault: &[&str]) -> Command {
    let core = site.path().join("core");
    fs::write(&core, Core::default().bytes()).unwrap();
    let mut helper = Command::new("strace");
    helper
        .args(["-f", "-qq", "-o"])
        .arg(site.path().join("trace"))
        .args(fault)
        .arg(site.program("aground-collect"))
        .arg(site.state())
        .args(kernel_arguments(&vanished_pid()))
        .stdin(File::open(core).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    helper
}

fn entries(site: &Site, place: &str) -> Vec<PathBuf> {
    fs::read_dir(site.state().join("spool").join(place))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default()
}

/// strace, and with it the helper, killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The one crash, after the daemon took over.
#[track_caller]
fn the_crash(site: &mut Site) -> Value {
    site.start();
    let mut dumps = site.wait_for(1, &[]);
    assert_eq!(dumps.len(), 1);
    let dump = dumps.remove(0);
    assert_eq!(dump["summary"]["signal"], "SIGSEGV");
    dump
}

/// Directories of entries, whatever became of them.
fn all_entries(site: &Site) -> Vec<PathBuf> {
    [entries(site, "incoming"), entries(site, "ready")].concat()
}

/// Makes entries look old: those without a record are left alone while they may be just begun.
fn age(entries: &[PathBuf]) {
    let past = SystemTime::now() - Duration::from_secs(100);
    for entry in entries {
        File::open(entry).unwrap().set_modified(past).unwrap();
    }
}

/// What the helper asks of the kernel where it reads, writes and lets go.
const STEPS: [&str; 14] = [
    "mkdir", "mkdirat", "open", "openat", "flock", "fchown", "read", "write", "ppoll", "fsync",
    "renameat", "unlinkat", "dup2", "clone3",
];

/// Killed before each of these calls: as soon as there is an entry there is a crash, and it never
/// claims more than was kept.
#[test]
fn a_helper_killed_at_any_step_leaves_a_true_record() {
    let mut site = Site::new();
    keep_all(&site);
    let (mut killed, mut before_the_entry) = (0, 0);
    for step in STEPS {
        for number in 1.. {
            let before = all_entries(&site).len();
            let fault = format!("inject={step}:signal=KILL:when={number}");
            let trace = format!("trace={step},renameat");
            let status = helper_with(&site, &["-e", &trace, "-e", &fault]).status();
            let after = all_entries(&site).len();
            if status.unwrap().success() {
                assert_eq!(after, before + 1);
                break;
            }
            killed += 1;
            let trace = fs::read_to_string(site.path().join("trace")).unwrap();
            let recorded = trace
                .lines()
                .any(|line| line.contains("\"record.json\") = 0"));
            assert!(
                after > before || !recorded,
                "{fault}: the record is gone\n{trace}"
            );
            before_the_entry += usize::from(after == before);
        }
    }
    // How many calls come before the helper can have made an entry depends on what runs here.
    assert!(
        killed - before_the_entry > 40,
        "{before_the_entry} of {killed}"
    );
    let entries = all_entries(&site);
    age(&entries);
    site.start();
    let dumps = site.wait_for(entries.len(), &[]);
    assert_eq!(dumps.len(), entries.len());
    for dump in dumps {
        let capture = &dump["record"]["capture"];
        if capture["state"] == "complete" {
            assert_eq!(capture["kept"], "full", "{capture:#}");
        } else {
            assert_ne!(capture["kept"], "full", "{capture:#}");
            let unknown = dump["summary"]["signal"] == "unknown";
            assert!(unknown || capture["reason"].is_string(), "{capture:#}");
        }
    }
}

/// The disk is full, or broken, for one call and for all from that one on.
#[test]
fn a_disk_that_fails_at_any_step_leaves_a_true_record_or_a_line_in_the_log() {
    let mut site = Site::new();
    keep_all(&site);
    let mut expected = 0;
    for step in ["mkdirat", "write", "fsync", "renameat", "openat"] {
        for onwards in ["", "+"] {
            for number in 1.. {
                let fault = format!("inject={step}:error=ENOSPC:when={number}{onwards}");
                let places = || all_entries(&site).len() + fallback_entries(&site).len();
                let before = places();
                let status = helper_with(&site, &["-e", &fault]).status().unwrap();
                let trace = fs::read_to_string(site.path().join("trace")).unwrap();
                assert!(!trace.contains("SIGABRT"), "{fault}");
                if !trace.contains("umask(") {
                    continue; // The program could not even be loaded.
                }
                if places() == before {
                    // Both places failed: a call once, and for ever.
                    assert!(
                        !status.success() && onwards == "+",
                        "{fault}: lost\n{trace}"
                    );
                    assert!(trace.contains("/dev/kmsg"), "{fault}: nobody is told");
                }
                assert!(places() <= before + 1, "{fault}: twice\n{trace}");
                expected += places() - before;
                if !trace.contains("(INJECTED)") {
                    break;
                }
            }
        }
    }
    age(&all_entries(&site));
    age(&fallback_entries(&site));
    site.start();
    let dumps = site.wait_for(expected, &[]);
    assert_eq!(dumps.len(), expected);
    for dump in dumps {
        let capture = &dump["record"]["capture"];
        let kept = capture["kept"] != "none";
        let id = dump["summary"]["id"].as_str().unwrap();
        let core = site.state().join("dumps").join(id).join("core.zst");
        assert_eq!(kept, core.exists(), "{capture:#}");
        if capture["kept"] == "full" {
            assert!(fs::read(site.core(id)).unwrap() == Core::default().bytes());
        }
    }
    assert!(fallback_entries(&site).is_empty());
}

fn fallback_entries(site: &Site) -> Vec<PathBuf> {
    let list = |place: &str| fs::read_dir(site.fallback().join("spool").join(place));
    let lists = ["incoming", "ready"].map(list);
    let entries = lists.into_iter().flatten().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_stream_cut_anywhere_is_recorded_as_cut() {
    let mut site = Site::new();
    keep_all(&site);
    let whole = Core::default().bytes();
    let mut random = 1795_u64;
    let mut cuts = Vec::new();
    for index in 0..100_u64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let cut = usize::try_from(random >> 33).unwrap() % whole.len();
        let mut arguments = kernel_arguments(&vanished_pid());
        arguments[1] = (1 + index).to_string();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        collect(&site, &arguments, &whole[..cut]).ok();
        cuts.push(cut);
    }
    site.start();
    let dumps = site.wait_for(cuts.len(), &[]);
    assert_eq!(dumps.len(), cuts.len());
    for dump in dumps {
        let tid = dump["record"]["kernel"]["tid"].as_u64().unwrap();
        let cut = cuts[usize::try_from(tid).unwrap() - 1];
        let capture = &dump["record"]["capture"];
        assert_eq!(capture["bytes_seen"], cut, "{capture:#}");
        assert_ne!(capture["kept"], "full", "{capture:#}");
        assert!(capture["reason"].is_string(), "{capture:#}");
        if capture["core_size"].is_u64() {
            assert_eq!(capture["truncated"], true, "{capture:#}");
        }
    }
}

/// Neither our daemon nor the container engine is asked for anything, so that none that is dead
/// or hangs can matter.
#[test]
fn the_helper_talks_to_nobody() {
    let site = Site::started();
    helper_with(&site, &["-e", "trace=connect,sendto,sendmsg,socket"])
        .status()
        .unwrap();
    site.wait_for(1, &[]);
    assert_eq!(fs::read_to_string(site.path().join("trace")).unwrap(), "");
}

#[test]
fn a_helper_stuck_before_its_record_is_ended_and_the_crash_recorded() {
    let mut site = Site::new();
    let settings = site.state().join("capture.json");
    fs::write(&settings, "{}").unwrap();
    // Reading them takes longer than anybody waits.
    let stuck = ["-P", text(&settings), "-e", "inject=read:delay_enter=1000s"];
    let _stuck = Killed(helper_with(&site, &stuck).spawn().unwrap());
    eventually(LONG, || {
        let ready = entries(&site, "ready");
        (ready.len() == 1)
            .then_some(())
            .ok_or_else(|| "no entry is ready".to_owned())
    });
    let record = &the_crash(&mut site)["record"];
    assert_eq!(record["capture"]["kept"], "none");
    let reason = record["capture"]["reason"].as_str().unwrap();
    assert!(reason.contains("took longer than"), "{reason}");
}

#[test]
fn a_helper_stuck_in_the_memory_is_ended_and_the_crash_recorded() {
    let mut site = Site::new();
    fs::write(site.state().join("capture.json"), r#"{"hold_max":"1s"}"#).unwrap();
    let stuck = ["-e", "inject=ppoll:delay_enter=1000s:when=1"];
    let _stuck = Killed(helper_with(&site, &stuck).spawn().unwrap());
    eventually(LONG, || {
        let incoming = entries(&site, "incoming");
        let entry = incoming.first().ok_or("no entry yet")?;
        fs::metadata(entry.join("record.json")).map_err(|error| error.to_string())?;
        let entry = File::open(entry).map_err(|error| error.to_string())?;
        let lock = FlockOperation::NonBlockingLockExclusive;
        flock(entry, lock).map_err(|error| format!("not given free: {error}"))
    });
    let record = &the_crash(&mut site)["record"];
    assert_eq!(record["capture"]["state"], "interrupted");
    assert_eq!(record["capture"]["kept"], "none");
    let reason = record["capture"]["reason"].as_str().unwrap();
    assert!(reason.contains("took longer than 6 seconds"), "{reason}");
}
