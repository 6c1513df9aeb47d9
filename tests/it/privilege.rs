//! Who may read the memory of a privileged program: root on the host, and nobody through us.

use aground_testkit::helper::{collect, kernel_arguments, vanished_pid};
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, USER, text};
use aground_testkit::synthetic::Core;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program with the setuid bit, started by an ordinary user; killed when dropped.
struct Privileged(Child);

impl Privileged {
    fn started(site: &Site, mode: u32) -> Self {
        let program = site.path().join("bin/privileged");
        fs::copy("/bin/sleep", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", USER, "--regid", "nogroup", "--clear-groups"])
            .arg(&program)
            .arg("1000")
            .env("COLOUR", "green")
            .stdin(Stdio::null());
        let child = command.spawn().unwrap();
        eventually(Duration::from_secs(10), || {
            let name = fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap();
            (name.trim() == "privileged").then_some(()).ok_or(name)
        });
        Self(child)
    }

    /// Arguments that say it was an ordinary process of its user.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = kernel_arguments(&self.0.id().to_string());
        (arguments[3], arguments[4]) = ("65534".to_owned(), "65534".to_owned());
        arguments
    }
}

impl Drop for Privileged {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn recorded(site: &Site, arguments: &[String], core: Core) -> Value {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    collect(site, &arguments, &core.bytes()).ok();
    let mut dumps = site.wait_for(1, &[]);
    assert_eq!(dumps.len(), 1);
    dumps.remove(0)
}

fn core_file(site: &Site, dump: &Value) -> PathBuf {
    let id = dump["summary"]["id"].as_str().unwrap();
    site.state().join("dumps").join(id).join("core.zst")
}

#[track_caller]
fn assert_roots_alone(site: &Site, dump: &Value, reason: &str) {
    let capture = &dump["record"]["capture"];
    assert_eq!(capture["access"], "root", "{capture:#}");
    let said = capture["access_reason"].as_str().unwrap();
    assert!(said.contains(reason), "{said}");
    assert_eq!(capture["kept"], "full");
    let core = fs::symlink_metadata(core_file(site, dump)).unwrap();
    assert_eq!(
        (core.uid(), core.gid(), core.mode() & 0o7777),
        (0, 0, 0o600)
    );
    // What the memory would have told is not in the report; that it happened is.
    assert!(!dump["report"].to_string().contains("0x401136"));
    assert_eq!(dump["report"]["process"]["signal"]["name"], "SIGSEGV");
}

#[test]
fn memory_of_a_setuid_program_is_for_root_alone() {
    let site = Site::started();
    let program = Privileged::started(&site, 0o4711);
    let dump = recorded(&site, &program.arguments(), Core::default());
    assert_roots_alone(&site, &dump, "raised privileges");
    let record = &dump["record"];
    assert_eq!(record["process"]["name"], "privileged");
    assert_eq!(record["process"]["args"][1], "1000");
    assert!(!record.to_string().contains("COLOUR"), "{record:#}");
    assert!(
        record["process"]["open_files"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    // Its program may be read by root alone: it lies beside the core, and so it does for us.
    let id = dump["summary"]["id"].as_str().unwrap();
    let modules = record["modules"].as_array().unwrap();
    let private = modules
        .iter()
        .find(|module| module["path"].as_str().unwrap().ends_with("/privileged"));
    let private = private.unwrap()["sha256"].as_str().unwrap();
    let kept = core_file(&site, &dump)
        .with_file_name("private")
        .join(private);
    assert_eq!(fs::metadata(kept).unwrap().mode() & 0o7777, 0o600);
    let module = site.get(&format!("/api/v1/dumps/{id}/modules/{private}"));
    assert_eq!(module.status, 404);

    let path = core_file(&site, &dump);
    for format in ["elf", "zst"] {
        let refused = site.get(&format!("/api/v1/dumps/{id}/core?format={format}"));
        assert_eq!(refused.status, 403);
        let problem = refused.json();
        assert_eq!(problem["code"], "root-only");
        assert_eq!(problem["path"], text(&path));
    }
    let page = site.get(&format!("/dumps/{id}")).text();
    assert!(page.contains("Only root may read the memory"), "{page}");
    assert!(!page.contains(&format!("/api/v1/dumps/{id}/core")));
    let shown = site.aground(&["bt", id]).ok();
    assert!(shown.contains("for root alone"), "{shown}");

    let (mine, theirs) = (site.path().join("mine"), site.path().join("theirs"));
    let copied = site.aground(&["cp", id, text(&mine)]);
    assert!(
        copied.stderr.contains("only root may read"),
        "{}",
        copied.stderr
    );
    copied.ok();
    assert!(fs::read(&mine).unwrap() == Core::default().bytes());
    let mut as_user = Command::new("setpriv");
    as_user
        .args(["--reuid", USER, "--regid", "nogroup", "--clear-groups"])
        .arg(site.program("aground"))
        .args(["cp", id, text(&theirs)])
        .env("AGROUND_HOST", site.host());
    let refused = finish(&mut as_user).one_line_error();
    assert!(
        refused.contains(text(&path)) && refused.contains("sudo"),
        "{refused}"
    );

    site.aground(&["rm", id]).ok();
    assert!(!path.parent().unwrap().exists());
}

/// CVE-2025-4598: the setuid program is gone, an ordinary one has its number, and the core is
/// still that of the first.
#[test]
fn a_pid_that_belongs_to_another_by_now_opens_nothing() {
    let site = Site::started();
    let innocent = Privileged::started(&site, 0o755);
    let secret = Core {
        secure: true,
        ..Core::default()
    };
    let dump = recorded(&site, &innocent.arguments(), secret);
    assert_roots_alone(&site, &dump, "raised privileges");
    site.aground(&["rm", dump["summary"]["id"].as_str().unwrap()])
        .ok();

    // The same program that nobody raised is everybody's.
    let dump = recorded(&site, &innocent.arguments(), Core::default());
    assert_eq!(dump["record"]["capture"]["access"], "readers");
    assert_eq!(dump["record"]["capture"]["access_reason"], Value::Null);
    assert!(dump["report"].to_string().contains("0x401136"));
}

#[test]
fn what_the_kernel_says_of_a_process_that_is_gone_decides() {
    for (position, said, reason) in [(8, "2", "dump mode 2"), (8, "", "dump mode unknown")] {
        let site = Site::started();
        let mut arguments = kernel_arguments(&vanished_pid());
        said.clone_into(&mut arguments[position]);
        let dump = recorded(&site, &arguments, Core::default());
        assert_roots_alone(&site, &dump, reason);
    }
}

/// A daemon that runs as root could open the file; it obeys the record.
#[test]
fn a_daemon_of_roots_hands_nothing_out_either() {
    let mut site = Site::new();
    site.start_as_root();
    let mut arguments = kernel_arguments(&vanished_pid());
    "2".clone_into(&mut arguments[8]);
    let dump = recorded(&site, &arguments, Core::default());
    assert_roots_alone(&site, &dump, "dump mode 2");
    let id = dump["summary"]["id"].as_str().unwrap();
    assert_eq!(site.get(&format!("/api/v1/dumps/{id}/core")).status, 403);
}
