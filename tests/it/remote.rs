//! A daemon on another machine, reached through a real `ssh` as Docker reaches its engine.

use aground_testkit::run::{Outcome, eventually, finish, run};
use aground_testkit::site::{Site, free_port};
use aground_testkit::synthetic::Core;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// `sshd` on a port of its own, which lets one key in as root and finds `aground` on its path.
struct Far {
    daemon: Child,
    port: u16,
    /// Holds `ssh` with the key.
    path: PathBuf,
}

impl Far {
    fn started(site: &Site) -> Self {
        let directory = site.path().join("ssh");
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let file = |name: &str| directory.join(name).display().to_string();
        for key in ["host", "user"] {
            let make = ["-q", "-t", "ed25519", "-N", "", "-f", &file(key)];
            run("ssh-keygen", &make).ok();
        }
        let port = free_port();
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             UsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             SetEnv AGROUND_HOST={} PATH={}:/usr/bin:/bin\n",
            file("host"),
            file("user.pub"),
            site.host(),
            site.path().join("bin").display(),
        );
        fs::write(file("server"), server).unwrap();
        let client = format!(
            "IdentityFile {}\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\n\
             BatchMode yes\nLogLevel ERROR\n",
            file("user")
        );
        fs::write(file("client"), client).unwrap();
        let path = directory.join("bin");
        fs::create_dir(&path).unwrap();
        let script = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n",
            file("client")
        );
        fs::write(path.join("ssh"), script).unwrap();
        fs::set_permissions(path.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        let daemon = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f", &file("server"), "-E", &file("log")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let far = Self { daemon, port, path };
        eventually(Duration::from_secs(20), || {
            let asked = far.near(site, "aground", &["--host", &far.address(), "ping"]);
            let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
            (asked.code == Some(0))
                .then_some(())
                .ok_or(format!("{asked:?}\n{log}"))
        });
        far
    }

    fn address(&self) -> String {
        format!("ssh://root@127.0.0.1:{}", self.port)
    }

    /// Runs a program here, where no daemon is.
    fn near(&self, site: &Site, program: &str, arguments: &[&str]) -> Outcome {
        self.near_with(&site.program(program), arguments, &[])
    }

    fn near_with(&self, program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let path = format!("{}:/usr/bin:/bin", self.path.display());
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", path);
        command.env_remove("AGROUND_HOST");
        finish(command.envs(variables.iter().copied()))
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn a_daemon_is_reached_through_ssh() {
    let mut site = Site::started();
    let core = site.path().join("a.core");
    fs::write(&core, Core::default().bytes()).unwrap();
    let far = Far::started(&site);
    let address = far.address();
    let aground = |arguments: &[&str]| {
        let mut all = vec!["--host", address.as_str()];
        all.extend(arguments);
        far.near(&site, "aground", &all)
    };
    // Bytes go there and come back as they were.
    aground(&["import", core.to_str().unwrap()]).ok();
    let id = site.wait_for(1, &[])[0]["summary"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let copied = aground(&["cp", &id, "-"]);
    assert_eq!(copied.code, Some(0), "{}", copied.stderr);
    assert_eq!(copied.bytes, fs::read(&core).unwrap());

    // The Docker CLI's ways of naming a machine.
    let dumps = site.program("docker-dumps");
    let docker = site.path().join("docker");
    let config = docker.display().to_string();
    let made = Command::new("docker")
        .args(["--config", &config, "context", "create", "far", "--docker"])
        .arg(format!("host={address}"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let listed = ["ls", "-q", "--no-trunc"];
    let by_host = far.near_with(&dumps, &listed, &[("DOCKER_HOST", &address)]);
    assert_eq!(by_host.ok().trim(), id);
    let by_context = ["--context", "far", "ls", "-q", "--no-trunc"];
    let settings = [("DOCKER_CONFIG", config.as_str())];
    assert_eq!(
        far.near_with(&dumps, &by_context, &settings).ok().trim(),
        id
    );
    let aground = site.program("aground");
    assert_eq!(
        far.near_with(&aground, &by_context, &settings).ok().trim(),
        id
    );

    // Who may not, or nobody there: ssh says it, or aground over there, and then we.
    site.stop();
    let nobody = far.near(&site, "aground", &["--host", &address, "ls"]);
    assert_eq!(nobody.code, Some(1));
    for said in [
        "is it running?",
        &format!("cannot reach the aground daemon at {address}"),
    ] {
        assert!(nobody.stderr.contains(said), "{}", nobody.stderr);
    }
    let closed = far.near(
        &site,
        "aground",
        &["--host", "ssh://root@127.0.0.1:1", "ls"],
    );
    assert!(
        closed.stderr.contains("Connection refused"),
        "{}",
        closed.stderr
    );
}
