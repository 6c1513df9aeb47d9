//! Claims the kernel's `core_pattern` for one test and puts it back, also when the test is killed.
//!
//! The setting belongs to the whole machine. A claim holds a lock other tests wait for, and a
//! watchdog process in a session of its own that shares the lock: when the claim ends, or the
//! test process dies in whatever way, its standard input ends and it writes the old values back.
//! There is no other way of restoring, so the one that matters is the one that is always used.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
const LIMIT: &str = "/proc/sys/kernel/core_pipe_limit";
const LOCK: &str = "/run/lock/aground-core-pattern";

/// The claim; ends when dropped.
pub struct CorePattern {
    watchdog: Child,
    before: (String, String),
}

impl CorePattern {
    /// Waits until nobody else claims the setting, then claims it.
    pub fn claim() -> Self {
        fs::create_dir_all("/run/lock").expect("make /run/lock");
        let lock = File::options()
            .create(true)
            .append(true)
            .open(LOCK)
            .expect("open the lock");
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("lock");
        let before = (Self::value(), Self::pipe_limit());
        assert!(
            !before.0.contains("/tmp/"),
            "somebody left a core_pattern behind: {}",
            before.0
        );
        // The watchdog's standard output is the lock: it stays held until the watchdog has ended.
        let watchdog = Command::new("setsid")
            .args([
                "sh",
                "-c",
                r#"cat >/dev/null; printf %s "$1" >"$2"; printf %s "$3" >"$4""#,
                "sh",
            ])
            .args([&before.0, PATTERN, &before.1, LIMIT])
            .stdin(Stdio::piped())
            .stdout(lock)
            .stderr(Stdio::null())
            .spawn()
            .expect("start the watchdog");
        Self { watchdog, before }
    }

    /// The kernel's `core_pattern` now.
    pub fn value() -> String {
        read(PATTERN)
    }

    /// The kernel's `core_pipe_limit` now.
    pub fn pipe_limit() -> String {
        read(LIMIT)
    }

    /// Both settings as they were when claimed.
    pub fn before(&self) -> (&str, &str) {
        (&self.before.0, &self.before.1)
    }

    /// Writes a pattern by hand, as another program on the machine might.
    pub fn set(&self, pattern: &str) {
        fs::write(PATTERN, pattern).expect("write core_pattern");
    }

    /// The watchdog's process, for the test that kills a claim's owner.
    pub fn watchdog(&self) -> u32 {
        self.watchdog.id()
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Whether the pattern is free of a test's traces within the time given.
pub fn is_restored_within(limit: Duration, site: &Path) -> bool {
    let end = std::time::Instant::now() + limit;
    let ours = site.to_string_lossy().into_owned();
    while std::time::Instant::now() < end {
        if !CorePattern::value().contains(&ours) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .expect("read a kernel setting")
        .trim_end()
        .to_owned()
}
