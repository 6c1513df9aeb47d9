//! With `core_pipe_limit` 0 the kernel does not wait for the helper, and a process whose core fits a
//! pipe is gone before anything of it can be read: it is recorded with what is left, which is said.

use aground_testkit::site::Site;
use std::fs;
use std::process::{Child, Command};

const CRASHES: usize = 12;

/// Dies with a core of its notes alone.
fn crash() -> Child {
    let program = "echo 0 >/proc/self/coredump_filter; kill -SEGV $$";
    Command::new("sh").args(["-c", program]).spawn().unwrap()
}

#[test]
fn processes_that_are_gone_are_recorded_with_what_is_left() {
    let site = Site::started();
    let claim = site.collect();
    fs::write("/proc/sys/kernel/core_pipe_limit", "0").unwrap();
    let crashes: Vec<Child> = (0..CRASHES).map(|_| crash()).collect();
    let mut pids: Vec<u32> = crashes.iter().map(Child::id).collect();
    for mut crash in crashes {
        crash.wait().unwrap();
    }
    let dumps = site.wait_for(CRASHES, &[]);
    drop(claim);

    let mut gone = 0;
    for dump in &dumps {
        let record = &dump["record"];
        let pid = record["kernel"]["pid"].as_u64().unwrap();
        pids.retain(|known| u64::from(*known) != pid);
        assert_eq!(record["signal"]["name"], "SIGSEGV");
        assert_eq!(record["kernel"]["uid"], 0);
        assert_eq!(record["capture"]["state"], "complete");
        let problems = record["problems"].to_string();
        if record["process"]["executable"].is_null() {
            gone += 1;
            assert!(
                problems.contains("/proc/") || problems.contains("has ended"),
                "{problems}"
            );
        }
        // The registers and the signal are in the notes.
        assert_ne!(record["capture"]["kept"], "none", "{record:#}");
        assert_eq!(dump["report"]["process"]["signal"]["number"], 11);
    }
    assert_eq!(pids, Vec::<u32>::new(), "not recorded");
    assert!(gone > 0, "every process was waited for");
}
