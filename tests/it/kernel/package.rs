//! The Debian package in a clean Debian: installed, used, upgraded, removed, purged.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::house;
use aground_testkit::run::{Outcome, run};
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A Debian of its own below a directory.
struct Root(TempDir);

impl Root {
    fn unpacked() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let tar = house::root().join("target/debian-root.tar");
        run(
            "tar",
            &[
                "-xf".as_ref(),
                tar.as_os_str(),
                "-C".as_ref(),
                root.as_os_str(),
            ],
        )
        .ok();
        run("chmod", &["755".as_ref(), root.as_os_str()]).ok();
        // The kernel starts the helper in its own root: the path that leads to it from there must
        // lead to it from inside as well.
        let alias = root.join(root.strip_prefix("/").unwrap());
        std::fs::create_dir_all(alias.parent().unwrap()).unwrap();
        symlink("/", &alias).unwrap();
        let proc = root.join("proc");
        run(
            "mount",
            &[
                "-t".as_ref(),
                "proc".as_ref(),
                "proc".as_ref(),
                proc.as_os_str(),
            ],
        )
        .ok();
        Self(directory)
    }

    /// A path in it as the whole machine sees it.
    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below.trim_start_matches('/'))
    }

    fn command(arguments: &[&OsStr]) -> Command {
        let mut command = Command::new("chroot");
        command
            .args(arguments)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env_remove("AGROUND_HOST").stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Outcome {
        let root = self.0.path().as_os_str();
        let arguments: Vec<&OsStr> = std::iter::once(root)
            .chain(arguments.iter().map(OsStr::new))
            .collect();
        aground_testkit::run::finish(&mut Self::command(&arguments))
    }

    /// Installs one of the packages that `tests/run` built.
    #[track_caller]
    fn dpkg(&self, package: &str) {
        let built = house::root().join("target/debian").join(package);
        std::fs::copy(&built, self.path(package)).unwrap_or_else(|error| {
            panic!(
                "{}: {error}: run ./tests/run, which builds it",
                built.display()
            )
        });
        self.run(&["dpkg", "-i", &format!("/{package}")]).ok();
    }

    /// The service as its unit would start it.
    fn serve(&self) -> Service {
        let runtime = self.run(&[
            "install",
            "-d",
            "-o",
            "aground",
            "-g",
            "aground",
            "/run/aground",
        ]);
        runtime.ok();
        let state = self.path("var/lib/aground");
        let arguments = [
            "--userspec=aground:aground".as_ref(),
            self.0.path().as_os_str(),
            "aground".as_ref(),
            "serve".as_ref(),
            "--state-dir".as_ref(),
            state.as_os_str(),
            "--listen".as_ref(),
            "127.0.0.1:0".as_ref(),
        ];
        let service = Service(Self::command(&arguments).spawn().unwrap());
        self.until("the service answers", || {
            self.run(&["aground", "ping"]).code == Some(0)
        });
        service
    }

    #[track_caller]
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..300 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!(
            "not in half a minute: {what}; {}",
            self.run(&["aground", "ls"]).stdout
        );
    }

    /// Lets a shell of this Debian die, and waits until there are so many analysed dumps.
    #[track_caller]
    fn crash(&self, dumps: usize) {
        self.run(&["sh", "-c", "ulimit -c unlimited; kill -ABRT $$"]);
        let analysed = ["aground", "ls", "-q", "--filter", "status=analyzed"];
        self.until("the crash is there", || {
            self.run(&analysed).stdout.lines().count() == dumps
        });
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Best effort: the test's result is known.
        run("umount", &["-l".as_ref(), self.path("proc").as_os_str()]);
    }
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_package_is_installed_used_upgraded_and_removed() {
    let root = Root::unpacked();
    let claim = CorePattern::claim();
    claim.set("/var/tmp/core.%p");
    root.dpkg("aground-1.deb");
    assert_eq!(
        CorePattern::value(),
        "/var/tmp/core.%p",
        "a root without systemd is not a machine to take over"
    );

    let service = root.serve();
    let helper = root.path("usr/lib/aground/aground-collect");
    let state = root.path("var/lib/aground");
    let install = [
        "aground",
        "install",
        "--state-dir",
        text(&state),
        "--helper",
        text(&helper),
        "--destination",
        text(&helper),
    ];
    root.run(&install).ok();
    let ours = CorePattern::value();
    assert!(ours.contains(text(&helper)), "{ours}");
    root.crash(1);
    let shown = root
        .run(&[
            "aground",
            "bt",
            root.run(&["aground", "ls", "-lq"]).ok().trim(),
        ])
        .ok();
    assert!(shown.contains("SIGABRT"), "{shown}");

    // A crash while the service is being exchanged waits for the new one.
    drop(service);
    root.dpkg("aground-2.deb");
    assert_eq!(CorePattern::value(), ours, "an upgrade goes on collecting");
    let service = root.serve();
    root.crash(2);
    assert!(
        root.run(&["dpkg", "-s", "aground"])
            .ok()
            .contains("Version: 0.1.0-2")
    );

    drop(service);
    root.run(&["dpkg", "-r", "aground"]).ok();
    assert_eq!(CorePattern::value(), "/var/tmp/core.%p");
    assert!(!root.path("usr/bin/aground").exists() && !helper.exists());
    let kept = std::fs::read_dir(state.join("dumps")).unwrap().count();
    assert_eq!(kept, 2, "removing a package keeps what it has collected");

    root.run(&["dpkg", "--purge", "aground"]).ok();
    assert!(!state.exists());
    assert_eq!(root.run(&["getent", "passwd", "aground"]).code, Some(2));
}
