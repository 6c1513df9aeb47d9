//! `aground whoami`: a living process, and captured ones.

use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const POD: &str = "12345678-9abc-def0-1234-56789abcdef0";

fn whoami(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aground"));
    command.arg("whoami").args(arguments).output().unwrap()
}

fn answer(arguments: &[&str]) -> Value {
    let output = whoami(&[arguments, &["--format", "json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A directory with these files.
fn captured(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    directory
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_living_process_is_identified() {
    let pid = std::process::id();
    let seen = answer(&[&pid.to_string()]);
    assert_eq!(seen["pid"], json!(pid));
    assert!(seen["command"].as_str().unwrap().contains("it-"), "{seen}");
    assert!(seen["evidence"].is_array());
}

#[test]
fn captured_texts_claim_and_the_disk_confirms() {
    let inside = format!("0::/system.slice/docker-{A}.scope/docker/{B}\n");
    let status = b"Name:\tx\nPid:\t77\nUid:\t0\t0\t0\t0\n";
    let proc = captured(&[
        ("cgroup", inside.as_bytes()),
        ("status", status),
        ("cmdline", b"/bin/x\0-v\0"),
    ]);
    let claimed = answer(&["--proc", text(proc.path())]);
    assert_eq!(claimed["runtime"], "docker");
    assert_eq!(claimed["id"], A);
    assert_eq!(claimed["chain"], json!([{"runtime": "docker", "id": B}]));
    assert_eq!(claimed["unit"], Value::Null);
    assert_eq!(claimed["name"], Value::Null);
    assert_eq!(
        (&claimed["source"], &claimed["confidence"]),
        (&json!("cgroup"), &json!("claimed"))
    );
    assert_eq!(
        (&claimed["pid"], &claimed["command"]),
        (&json!(77), &json!("/bin/x -v"))
    );

    let directory = format!("var/lib/docker/containers/{A}/config.v2.json");
    let root = captured(&[(
        &directory,
        br#"{"Name":"/web","Config":{"Image":"shop:1"}}"#,
    )]);
    let confirmed = answer(&["--proc", text(proc.path()), "--root", text(root.path())]);
    assert_eq!(
        (&confirmed["id"], &confirmed["name"]),
        (&json!(A), &json!("web"))
    );
    assert_eq!(confirmed["source"], "cgroup-and-disk");
    assert_eq!(confirmed["confidence"], "confirmed");

    let shown = whoami(&["--proc", text(proc.path()), "--root", text(root.path())]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("id            {A}\n")), "{shown}");
    assert!(
        shown.contains(&format!("disk          /{directory}: runtime, id, name")),
        "{shown}"
    );
}

#[test]
fn processes_of_the_host_have_a_unit_and_no_id() {
    let proc = captured(&[("cgroup", b"0::/system.slice/ssh.service\n")]);
    let seen = answer(&["--proc", text(proc.path())]);
    assert_eq!(
        (&seen["runtime"], &seen["id"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&seen["unit"], &seen["chain"]),
        (&json!("ssh.service"), &json!([]))
    );
    assert_eq!(seen["source"], "cgroup");
}

#[test]
fn pods_are_named_by_cgroup_and_mounts() {
    let cgroup = format!(
        "0::/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{A}.scope\n",
        POD.replace('-', "_")
    );
    let mounts = format!(
        "1 2 8:1 /var/lib/kubelet/pods/{POD}/containers/web/0a1b2c3d /dev/termination-log rw - ext4 /dev/vda rw\n\
         1 2 8:1 /x/sandboxes/{B}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
    );
    let proc = captured(&[
        ("cgroup", cgroup.as_bytes()),
        ("mountinfo", mounts.as_bytes()),
    ]);
    let seen = answer(&["--proc", text(proc.path())]);
    assert_eq!(
        (&seen["runtime"], &seen["id"]),
        (&json!("containerd"), &json!(A))
    );
    assert_eq!(
        (&seen["pod_uid"], &seen["container"]),
        (&json!(POD), &json!("web"))
    );
    assert_eq!(seen["sandbox_id"], B);
}

#[test]
fn hostile_texts_are_shown_as_text() {
    let proc = captured(&[
        ("cgroup", b"0::/lxc.payload.\x1b[2J\xff\n"),
        ("mountinfo", b"\xff\0\x1b"),
        ("cmdline", b"\x1b]0;x\x07\0"),
    ]);
    for format in ["text", "json"] {
        let output = whoami(&["--proc", text(proc.path()), "--format", format]);
        assert!(output.status.success());
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            !shown.chars().any(|c| c.is_control() && c != '\n'),
            "{shown:?}"
        );
    }
}

#[test]
fn what_cannot_be_answered_is_one_line() {
    let empty = captured(&[]);
    let nothing = format!(
        "{} has neither a cgroup nor a mountinfo",
        text(empty.path())
    );
    let proc = captured(&[("cgroup", b"0::/\n")]);
    for (arguments, expected) in [
        (&["--proc", text(empty.path())][..], nothing.as_str()),
        (&["--proc", "/nowhere"], "/nowhere: No such file"),
        (
            &["--proc", text(proc.path()), "--root", "/nowhere"],
            "/nowhere: No such file",
        ),
        (&["2147483647"], "/proc/2147483647 cannot be opened"),
    ] {
        let output = whoami(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(
            errors.contains(expected) && errors.lines().count() == 1,
            "{errors}"
        );
    }
    for arguments in [
        &["0"][..],
        &["x"],
        &[],
        &["1", "--root", "/"],
        &["1", "--format", "xml"],
    ] {
        assert!(!whoami(arguments).status.success(), "{arguments:?}");
    }
}

#[test]
fn a_users_container_is_claimed_by_him() {
    let slice = "user.slice/user-1000.slice/user@1000.service/user.slice";
    let cgroup = format!("0::/{slice}/libpod-{A}.scope/container\n");
    let proc = captured(&[("cgroup", cgroup.as_bytes())]);
    let storage = "home/u/.local/share/containers/storage/overlay-containers";
    let config = format!("{storage}/{A}/userdata/config.json");
    let root = captured(&[(&config, b"{\"hostname\":\"web\"}")]);
    let seen = answer(&["--proc", text(proc.path()), "--root", text(root.path())]);
    assert_eq!(
        (&seen["runtime"], &seen["id"]),
        (&json!("podman"), &json!(A))
    );
    assert_eq!(
        (&seen["user"], &seen["confidence"]),
        (&json!(1000), &json!("claimed-by-user"))
    );
    assert_eq!(seen["source"], "cgroup-and-user-disk");
}
