//! The daemon killed before each call that changes the disk, while it takes a crash in and
//! analyses it (strace(1), `inject`): the next one finds the crash, once, and whole.

use aground_testkit::helper::{keep_all, record, vanished_pid};
use aground_testkit::run::eventually;
use aground_testkit::site::Site;
use aground_testkit::synthetic::Core;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const STEPS: [&str; 6] = [
    "rename",
    "fsync",
    "fdatasync",
    "pwrite64",
    "unlink",
    "rmdir",
];
/// Each thread counts its own calls; the first few of each are those of one crash.
const NUMBERS: [u32; 5] = [1, 2, 3, 4, 6];

/// The daemon, watched by strace from aside (`-D`); killed when dropped.
struct Daemon(Child);

impl Daemon {
    fn killed_at(site: &Site, step: &str, number: u32) -> Self {
        let serve = site.serve();
        let mut command = Command::new("strace");
        command
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={step}"),
            ])
            .args(["-e", &format!("inject={step}:signal=KILL:when={number}")])
            .arg(serve.get_program())
            .args(serve.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn all_analyzed(site: &Site, count: usize) -> bool {
    let listed = site.aground(&["ls", "--format", "{{.Status}}"]);
    let mut lines = listed.stdout.lines();
    listed.code == Some(0)
        && listed.stdout.lines().count() == count
        && lines.all(|status| status.starts_with("analyzed"))
}

#[test]
fn a_daemon_killed_at_any_step_loses_nothing_and_doubles_nothing() {
    let mut site = Site::started();
    site.stop();
    let (mut crashes, mut killed) = (0, 0);
    for step in STEPS {
        for number in NUMBERS {
            keep_all(&site);
            record(&site, &vanished_pid(), &Core::default().bytes()).ok();
            crashes += 1;
            let mut daemon = Daemon::killed_at(&site, step, number);
            let died = eventually(Duration::from_mins(1), || {
                if daemon.0.try_wait().unwrap().is_some() {
                    return Ok(true);
                }
                let done = all_analyzed(&site, crashes);
                done.then_some(false)
                    .ok_or_else(|| format!("neither dead nor done: {step} {number}"))
            });
            killed += u32::from(died);
            drop(daemon);
            // Its sockets go with its last thread, which strace lets go of a little later.
            eventually(Duration::from_secs(20), || {
                TcpListener::bind(("127.0.0.1", site.port()))
                    .map(drop)
                    .map_err(|error| error.to_string())
            });
        }
    }
    assert!(
        killed >= 12,
        "only {killed} of {crashes} daemons were killed"
    );
    site.start();
    let dumps = site.wait_for(crashes, &[]);
    assert_eq!(dumps.len(), crashes);
    for dump in dumps {
        let whole = (&dump["summary"]["status"], &dump["summary"]["kept"]);
        assert_eq!(whole, (&"analyzed".into(), &"full".into()), "{dump:#}");
        let id = dump["summary"]["id"].as_str().unwrap();
        assert!(std::fs::read(site.core(id)).unwrap() == Core::default().bytes());
    }
    assert_eq!(
        site.get("/api/v1/status").json()["rejected"],
        serde_json::json!([])
    );
}
