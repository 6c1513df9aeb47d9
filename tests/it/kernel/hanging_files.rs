//! The kernel holds a process whose program lies on a file system that stops answering.

use aground_testkit::fuse::HangingFiles;
use aground_testkit::house::files;
use aground_testkit::run::{eventually, run};
use aground_testkit::site::{Site, signal, text};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Initialised data that nothing has touched is still in the file alone, and a pointer leads there.
const PROGRAM: &str = "
#include <unistd.h>
static char table[65536] = {1};
int main(void) { char *volatile here = table + 8192; for (;;) pause(); return here != 0; }
";

/// The kernel may wait for such a page itself, and then nobody can make it let go of the process.
/// We do not wait with it.
#[test]
fn pages_that_never_come_do_not_keep_the_record() {
    for policy in ["full", "lean"] {
        let mut site = Site::new();
        let (source, program) = (site.path().join("program.c"), site.path().join("program"));
        fs::write(&source, PROGRAM).unwrap();
        run("gcc", &["-g", "-o", text(&program), text(&source)]).ok();
        let hanging = HangingFiles::new(fs::read(&program).unwrap());
        let settings = format!(r#"{{"policy":"{policy}","hold_max":"2s"}}"#);
        fs::write(site.state().join("capture.json"), settings).unwrap();
        let mut victim = Command::new(hanging.program())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        eventually(Duration::from_secs(20), || {
            let waits = fs::read_to_string(format!("/proc/{}/wchan", victim.id())).unwrap();
            waits.contains("pause").then_some(()).ok_or(waits)
        });
        // What the page cache holds would answer in the file system's stead.
        fs::write("/proc/sys/vm/drop_caches", "1").unwrap();
        hanging.hang();
        {
            let _claim = site.collect();
            signal(victim.id(), Signal::SEGV);
            eventually(Duration::from_mins(1), || {
                given_free(&site)
                    .then_some(())
                    .ok_or_else(|| "no entry is given free".to_owned())
            });
        }
        assert!(hanging.unanswered() > 0, "nobody asked for the file");
        drop(hanging);
        victim.wait().unwrap();
        site.start();
        let dump = site.wait_for(1, &[]).remove(0);
        let capture = &dump["record"]["capture"];
        assert_eq!(capture["policy"], policy);
        assert_ne!(capture["kept"], "full", "{capture:#}");
        // What a lean core wants may be in memory, or the helper had to be ended.
        let lean = capture["kept"] == "lean";
        assert!(lean || capture["reason"].is_string(), "{capture:#}");
        assert_eq!(dump["record"]["process"]["name"], "program");
    }
}

/// Whether the helper has handed its entry over, or left it to the daemon.
fn given_free(site: &Site) -> bool {
    let spool = site.state().join("spool");
    let records = |place| {
        let entries = files(&spool.join(place)).into_iter();
        entries.filter(|path| path.ends_with("record.json"))
    };
    let free = |record: PathBuf| {
        let entry = record.parent().and_then(|entry| File::open(entry).ok());
        let lock = FlockOperation::NonBlockingLockExclusive;
        entry.is_some_and(|entry| flock(entry, lock).is_ok())
    };
    records("ready").count() == 1 || records("incoming").any(free)
}
