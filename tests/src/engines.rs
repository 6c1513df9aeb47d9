//! Container engines besides Docker, with everything of theirs in a directory that goes away.

use crate::run::{Outcome, finish, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a shell in a container does to crash as a process that is not the container's first: that
/// one would not die of a signal it sends to itself.
pub const CRASH: &str = "sh -c 'kill -SEGV $$'; true";

/// Makes a root file system of busybox alone at `directory`.
pub fn busybox_root(directory: &Path) -> PathBuf {
    for part in ["bin", "usr", "etc", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(directory.join(part)).expect("make a directory");
    }
    fs::copy("/bin/busybox", directory.join("bin/busybox")).expect("copy busybox");
    for applet in ["sh", "sleep"] {
        symlink("busybox", directory.join("bin").join(applet)).expect("link");
    }
    directory.to_owned()
}

/// The root file system as an archive beside it.
pub fn archive(root: &Path) -> PathBuf {
    let archive = root.with_extension("tar");
    let mut tar = Command::new("tar");
    tar.arg("-C")
        .arg(root)
        .args(["--owner=0", "--group=0", "-cf"]);
    finish(tar.arg(&archive).arg(".")).ok();
    archive
}

/// A Docker image of a root file system; removed when dropped.
pub struct DockerImage(pub String);

impl DockerImage {
    /// Imports an archive under a name of this process.
    pub fn import(archive: &Path) -> Self {
        let name = format!("{}:1", crate::docker::unique_name("aground-it/engines"));
        let archive = archive.to_str().expect("text");
        run("docker", &["import", archive, &name]).ok();
        Self(name)
    }
}

impl Drop for DockerImage {
    fn drop(&mut self) {
        run("docker", &["rmi", "--force", &self.0]);
    }
}

/// A containerd of its own, where no configuration of the host points.
pub struct Containerd {
    daemon: Child,
    socket: String,
}

impl Containerd {
    /// Starts one below `directory`.
    pub fn start(directory: &Path) -> Self {
        Self::start_with_pause(directory, "none")
    }

    /// The same, whose CRI plugin makes sandboxes of the image `pause`. Scores for the
    /// out-of-memory killer stay as they are where root may not lower them.
    pub fn start_with_pause(directory: &Path, pause: &str) -> Self {
        fs::create_dir_all(directory).expect("make a directory");
        let path = directory.to_str().expect("text");
        let config = format!(
            "version = 2\nroot = \"{path}/root\"\nstate = \"{path}/state\"\n[grpc]\n  address = \"{path}/c.sock\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"{pause}\"\n  \
             restrict_oom_score_adj = true\n"
        );
        fs::write(directory.join("config.toml"), config).expect("configure");
        let log = fs::File::create(directory.join("log")).expect("open the log");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(directory.join("config.toml"));
        let daemon = command
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .expect("containerd");
        let containerd = Self {
            daemon,
            socket: format!("{path}/c.sock"),
        };
        crate::run::eventually(std::time::Duration::from_secs(30), || {
            let answer = containerd.ctr(&["version"]);
            (answer.code == Some(0)).then_some(()).ok_or(answer.stderr)
        });
        containerd
    }

    /// Where it listens.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// Runs `ctr` with it.
    pub fn ctr(&self, arguments: &[&str]) -> Outcome {
        finish(
            Command::new("ctr")
                .args(["--address", &self.socket])
                .args(arguments),
        )
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for namespace in ["--namespace=default", "--namespace=k8s.io"] {
            let containers = self.ctr(&[namespace, "containers", "ls", "-q"]).stdout;
            for name in containers.lines() {
                self.ctr(&[namespace, "tasks", "rm", "--force", name]);
                self.ctr(&[namespace, "containers", "rm", name]);
            }
        }
        // By its id, which is still ours.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Podman with directories of its own, for root or for a user made for the purpose.
pub struct Podman {
    directory: PathBuf,
    user: Option<String>,
}

impl Podman {
    /// Root's, with all its state below `directory`.
    pub fn of_root(directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("make a directory");
        Self {
            directory: directory.to_owned(),
            user: None,
        }
    }

    /// That of a new user who lives in `directory`; both go away.
    pub fn of_user(directory: &Path) -> Self {
        let name = format!("ag-it-{}", std::process::id());
        let home = directory.to_str().expect("text");
        run("useradd", &["--create-home", "--home-dir", home, &name]).ok();
        let runtime = directory.join("run");
        fs::create_dir_all(&runtime).expect("make a directory");
        run("chown", &[name.as_str(), runtime.to_str().expect("text")]).ok();
        Self {
            directory: directory.to_owned(),
            user: Some(name),
        }
    }

    /// Runs `podman`. runc, because crun refuses to run beside cgroup v1.
    pub fn podman(&self, arguments: &[&str]) -> Outcome {
        let directory = self.directory.to_str().expect("text");
        let mut command = if let Some(user) = &self.user {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--init-groups", "podman"]);
            command.env("HOME", directory);
            command.env("XDG_RUNTIME_DIR", format!("{directory}/run"));
            command.current_dir(directory);
            command
        } else {
            let mut command = Command::new("podman");
            command.args(["--root", &format!("{directory}/root")]);
            command.args(["--runroot", &format!("{directory}/run")]);
            command
        };
        command.args([
            "--storage-driver=vfs",
            "--runtime=runc",
            "--cgroup-manager=cgroupfs",
        ]);
        finish(command.args(arguments))
    }

    /// `podman run` with what this machine may lack: networks, and the right to raise limits.
    pub fn run(&self, options: &[&str], image: &str, arguments: &[&str]) -> Outcome {
        let mut all = vec!["run", "--network=none"];
        if self.user.is_none() {
            all.extend(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]);
        }
        all.extend(options);
        all.push(image);
        all.extend(arguments);
        self.podman(&all)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.podman(&["rm", "--all", "--force", "--time=0"]);
        if let Some(user) = &self.user {
            // The files of its containers have uids that only its namespace may remove.
            self.podman(&["system", "reset", "--force"]);
            run("userdel", &["--force", user]);
        }
    }
}

/// An LXC container in the place where LXC keeps them.
pub struct Lxc(pub String);

impl Lxc {
    /// A container over a root file system.
    pub fn new(root: &Path) -> Self {
        let name = crate::docker::unique_name("ag-it");
        let directory = Path::new("/var/lib/lxc").join(&name);
        fs::create_dir_all(&directory).expect("make a directory");
        let config = format!(
            "lxc.uts.name = elsewhere\nlxc.rootfs.path = dir:{}\nlxc.net.0.type = empty\n\
             lxc.apparmor.profile = unconfined\nlxc.mount.auto = proc:rw sys:rw\n",
            root.display()
        );
        fs::write(directory.join("config"), config).expect("configure");
        Self(name)
    }
}

impl Drop for Lxc {
    fn drop(&mut self) {
        run("lxc-stop", &["--kill", "--name", &self.0]);
        let _ = fs::remove_dir_all(Path::new("/var/lib/lxc").join(&self.0));
    }
}

/// A container that runc keeps; removed when dropped.
pub struct Runc {
    /// Its id.
    pub name: String,
    bundle: PathBuf,
}

impl Runc {
    /// Prepares a bundle below `directory` whose root file system is `root`.
    pub fn prepare(directory: &Path, root: &Path) -> Self {
        fs::create_dir_all(directory).expect("make a directory");
        finish(Command::new("runc").arg("spec").current_dir(directory)).ok();
        let runc = Self {
            name: crate::docker::unique_name("ag-it"),
            bundle: directory.to_owned(),
        };
        runc.change(|config| {
            config["root"]["path"] = root.to_str().expect("text").into();
            config["process"]["terminal"] = false.into();
            config["process"]["args"] = vec!["/bin/sleep", "1000"].into();
            // More than this machine may give.
            config["process"]["rlimits"] = serde_json::json!([]);
        });
        runc
    }

    fn change(&self, change: impl Fn(&mut serde_json::Value)) {
        let path = self.bundle.join("config.json");
        let text = fs::read(&path).expect("read the configuration");
        let mut config = serde_json::from_slice(&text).expect("JSON");
        change(&mut config);
        fs::write(&path, config.to_string()).expect("write the configuration");
    }

    /// Starts the container, detached.
    pub fn start(&self) {
        let mut command = Command::new("runc");
        command
            .args(["run", "--detach", &self.name])
            .current_dir(&self.bundle);
        finish(&mut command).ok();
    }

    /// Runs a shell line in it.
    pub fn exec(&self, line: &str) -> Outcome {
        run("runc", &["exec", &self.name, "/bin/sh", "-c", line])
    }
}

impl Drop for Runc {
    fn drop(&mut self) {
        run("runc", &["delete", "--force", &self.name]);
    }
}
