//! Programs whose files lie on a file system that stops answering.

use aground_testkit::fuse::HangingFiles;
use aground_testkit::helper::kernel_arguments;
use aground_testkit::run::eventually;
use aground_testkit::site::Site;
use aground_testkit::synthetic::Core;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Time enough for any of the helper's limits.
const LONG: Duration = Duration::from_secs(100);

/// A process; killed when dropped.
struct Process(Child);

impl Process {
    #[track_caller]
    fn started(command: &mut Command, sign: &str) -> Self {
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        eventually(Duration::from_secs(20), || {
            let waits = fs::read_to_string(format!("/proc/{}/wchan", child.id())).unwrap();
            waits.contains(sign).then_some(()).ok_or(waits)
        });
        Self(child)
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that a file system holds ends when that does.
        let _ = self.0.kill();
        let _ = self.0.try_wait();
    }
}

/// Starts the helper, and gives it a whole core.
fn helper(site: &Site, pid: &str) -> Process {
    let mut helper = Command::new(site.program("aground-collect"))
        .arg(site.state())
        .args(kernel_arguments(pid))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = helper.stdin.take().unwrap();
    // Closed when dropped, as the kernel does at the end; a helper that gave up has closed it first.
    let _ = stream.write_all(&Core::default().bytes());
    Process(helper)
}

/// Waits until the helper has let go of the process.
#[track_caller]
fn wait_for_release(helper: &Process) {
    eventually(LONG, || {
        let standard_input = fs::read_link(format!("/proc/{}/fd/0", helper.id()))
            .map_err(|error| error.to_string())?;
        (standard_input == Path::new("/dev/null"))
            .then_some(())
            .ok_or_else(|| standard_input.display().to_string())
    });
}

fn module<'d>(dump: &'d Value, path: &Path) -> &'d Value {
    let modules = dump["record"]["modules"].as_array().unwrap();
    let found = modules
        .iter()
        .find(|module| module["path"] == path.to_str().unwrap());
    found.unwrap_or_else(|| panic!("{} is not in {modules:#?}", path.display()))
}

#[test]
fn a_program_on_a_mount_that_hangs_delays_neither_release_nor_record() {
    let mut site = Site::started();
    let files = HangingFiles::new(fs::read("/bin/sleep").unwrap());
    let mut command = Command::new(files.program());
    let victim = Process::started(command.arg("1000"), "nanosleep");
    site.stop();
    files.hang();

    let mut helper = helper(&site, &victim.id());
    wait_for_release(&helper);
    // It ends though its child never may.
    let status = eventually(LONG, || {
        helper
            .0
            .try_wait()
            .unwrap()
            .ok_or_else(|| "it does not end".to_owned())
    });
    assert!(status.success(), "{status}");
    assert!(files.unanswered() > 0, "nobody asked for the file");
    site.start();
    let dump = site.wait_for(1, &[]).remove(0);
    assert_eq!(dump["summary"]["kept"], "full");
    assert_eq!(dump["record"]["capture"]["state"], "complete");
    let missing = module(&dump, &files.program())["missing"].as_str().unwrap();
    assert!(missing.contains("did not answer within"), "{missing}");
    // What lies elsewhere was taken all the same.
    let modules = dump["record"]["modules"].as_array().unwrap();
    let libc = modules
        .iter()
        .find(|module| module["path"].as_str().unwrap().contains("libc.so"));
    assert_eq!(libc.unwrap()["missing"], Value::Null);
}
