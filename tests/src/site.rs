//! Gives a test an Aground of its own: programs, state, port, and a daemon that ends with the test.

use crate::core_pattern::CorePattern;
use crate::house::program;
use crate::http::{self, Answer};
use crate::run::{Outcome, eventually, finish};
use crate::small_disk::SmallDisk;
use serde_json::Value;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The unprivileged user the daemon runs as in tests.
pub const USER: &str = "nobody";
const GROUP: &str = "nogroup";
const PROGRAMS: [&str; 5] = [
    "aground",
    "aground-analyzer",
    "aground-collect",
    "aground-import",
    "docker-dumps",
];

/// One installation below a temporary directory.
pub struct Site {
    directory: TempDir,
    port: u16,
    daemon: Option<Child>,
}

impl Site {
    /// Lays out the directories; nothing runs yet.
    pub fn new() -> Self {
        // A short path: the kernel cuts core_pattern at 127 characters.
        let directory = tempfile::Builder::new()
            .prefix("ag-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        let site = Self {
            directory,
            port: free_port(),
            daemon: None,
        };
        open_to_all(site.path());
        for part in ["bin", "state", "run"] {
            fs::create_dir(site.path().join(part)).expect("make a directory");
        }
        open_to_all(&site.path().join("bin"));
        for name in PROGRAMS {
            place(&program(name), &site.program(name));
        }
        for owned in [site.state(), site.runtime()] {
            finish(
                Command::new("chown")
                    .arg(format!("{USER}:{GROUP}"))
                    .arg(owned),
            )
            .ok();
        }
        site
    }

    /// A site whose daemon runs.
    #[track_caller]
    pub fn started() -> Self {
        let mut site = Self::new();
        site.start();
        site
    }

    /// Where everything of it lies.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Where records go when the state directory takes none.
    pub fn fallback(&self) -> PathBuf {
        let state = text(&self.state()).replace('/', "-");
        PathBuf::from(format!("/run/aground-fallback{state}"))
    }

    /// The runtime directory.
    pub fn runtime(&self) -> PathBuf {
        self.path().join("run")
    }

    /// One of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.path().join("bin").join(name)
    }

    /// The TCP port of API and pages.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The daemon's address for clients.
    pub fn host(&self) -> String {
        format!("unix://{}", self.runtime().join("api.sock").display())
    }

    /// `aground serve` as the unprivileged user, as a command not yet started.
    pub fn serve(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            USER,
            "--regid",
            GROUP,
            "--clear-groups",
            "--pdeathsig",
            "KILL",
        ]);
        command.arg(self.program("aground")).arg("serve");
        self.with_flags(&mut command);
        command
    }

    fn with_flags(&self, command: &mut Command) {
        command
            .arg("--state-dir")
            .arg(self.state())
            .arg("--runtime-dir")
            .arg(self.runtime());
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.env_remove("AGROUND_HOST").stdin(Stdio::null());
    }

    /// Starts the daemon as root, which nobody should.
    #[track_caller]
    pub fn start_as_root(&mut self) {
        let mut serve = Command::new(self.program("aground"));
        serve.arg("serve");
        self.with_flags(&mut serve);
        self.start_with(serve);
    }

    /// Puts the state directory on a file system of its own.
    pub fn on_small_disk(&self, mebibytes: u64) -> SmallDisk {
        let disk = SmallDisk::mount(&self.state(), mebibytes);
        let owner = format!("{USER}:{GROUP}");
        finish(Command::new("chown").arg(owner).arg(self.state())).ok();
        disk
    }

    /// Starts the daemon with variables in its environment.
    #[track_caller]
    pub fn start_with_variables(&mut self, variables: &[(&str, &str)]) {
        let mut serve = self.serve();
        serve.envs(variables.iter().copied());
        self.start_with(serve);
    }

    /// Starts the daemon with a configuration file.
    #[track_caller]
    pub fn start_with_config(&mut self, text: &str) {
        let path = self.path().join("config.toml");
        fs::write(&path, text).expect("write the configuration");
        let mut serve = self.serve();
        serve.arg("--config").arg(path);
        self.start_with(serve);
    }

    /// The same as root.
    #[track_caller]
    pub fn start_as_root_with_config(&mut self, text: &str) {
        let path = self.path().join("config.toml");
        fs::write(&path, text).expect("write the configuration");
        let mut serve = Command::new(self.program("aground"));
        serve.arg("serve").arg("--config").arg(path);
        self.with_flags(&mut serve);
        self.start_with(serve);
    }

    /// Starts the daemon and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        self.start_with(self.serve());
    }

    #[track_caller]
    fn start_with(&mut self, mut serve: Command) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("open the log");
        serve.stdout(log.try_clone().expect("clone")).stderr(log);
        self.daemon = Some(serve.spawn().expect("start the daemon"));
        eventually(Duration::from_secs(30), || {
            let ping = self.aground(&["ping"]);
            (ping.code == Some(0))
                .then_some(())
                .ok_or_else(|| format!("{}\nlog: {}", ping.stderr, self.log_text()))
        });
    }

    /// Asks the daemon to end (SIGTERM) and says how it did.
    #[track_caller]
    pub fn stop(&mut self) -> std::process::ExitStatus {
        signal(self.pid(), rustix::process::Signal::TERM);
        self.ended()
    }

    /// Waits until the daemon has ended and says how.
    #[track_caller]
    pub fn ended(&mut self) -> std::process::ExitStatus {
        let mut daemon = self.daemon.take().expect("a daemon");
        eventually(Duration::from_secs(30), || {
            daemon
                .try_wait()
                .expect("wait")
                .ok_or_else(|| "the daemon does not end".to_owned())
        })
    }

    /// Kills the daemon (SIGKILL).
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon");
        daemon.kill().expect("kill");
        daemon.wait().expect("wait");
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a daemon").id()
    }

    fn log(&self) -> PathBuf {
        self.path().join("serve.log")
    }

    /// What the daemon has logged.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Sends crashes here until the claim is dropped.
    #[track_caller]
    pub fn collect(&self) -> CorePattern {
        let claim = CorePattern::claim();
        self.install().ok();
        assert!(
            CorePattern::value().starts_with('|'),
            "not installed: {}",
            CorePattern::value()
        );
        claim
    }

    /// `aground install` for this site.
    pub fn install(&self) -> Outcome {
        self.install_with(&[])
    }

    /// The same with more flags. The helper stays where the site has it, so that a real
    /// installation on this machine is left alone.
    pub fn install_with(&self, more: &[&str]) -> Outcome {
        let state = self.state();
        let helper = self.program("aground-collect");
        let mut arguments = vec![
            "install",
            "--state-dir",
            text(&state),
            "--destination",
            text(&helper),
            "--helper",
            text(&helper),
            "--user",
            USER,
        ];
        arguments.extend(more);
        self.aground(&arguments)
    }

    /// `aground uninstall` for this site.
    pub fn uninstall(&self) -> Outcome {
        self.aground(&["uninstall", "--state-dir", text(&self.state())])
    }

    /// Runs `aground …` against this site.
    pub fn aground(&self, arguments: &[&str]) -> Outcome {
        finish(
            Command::new(self.program("aground"))
                .args(arguments)
                .env("AGROUND_HOST", self.host()),
        )
    }

    /// Dumps that match filters, newest first, as `aground ls --format json` gives them.
    #[track_caller]
    pub fn dumps(&self, filters: &[&str]) -> Vec<Value> {
        let mut arguments = vec!["ls", "--no-trunc", "--format", "json"];
        for filter in filters {
            arguments.extend(["--filter", filter]);
        }
        json_lines(&self.aground(&arguments).ok())
    }

    /// Waits until so many dumps are there and none is still to be analysed.
    #[track_caller]
    pub fn wait_for(&self, count: usize, filters: &[&str]) -> Vec<Value> {
        eventually(Duration::from_secs(90), || {
            let ids = self.ids(filters);
            if ids.len() < count {
                return Err(format!(
                    "{} of {count} dumps\nlog: {}",
                    ids.len(),
                    self.log_text()
                ));
            }
            let dumps: Vec<Value> = ids.iter().map(|id| self.dump(id)).collect();
            match dumps.iter().find(|dump| !is_settled(dump)) {
                Some(dump) => Err(format!(
                    "{} is {}\nlog: {}",
                    dump["summary"]["id"],
                    dump["summary"]["status"],
                    self.log_text()
                )),
                None => Ok(dumps),
            }
        })
    }

    /// Waits for the one dump of a container and its report.
    #[track_caller]
    pub fn dump_of(&self, container: &str) -> Value {
        let mut dumps = self.wait_for(1, &[&format!("container={container}")]);
        assert_eq!(dumps.len(), 1, "{container} has several dumps");
        let dump = dumps.remove(0);
        assert_eq!(
            dump["summary"]["status"],
            "analyzed",
            "{dump:#}\nlog: {}",
            self.log_text()
        );
        dump
    }

    /// Full ids of the dumps that match, newest first.
    #[track_caller]
    pub fn ids(&self, filters: &[&str]) -> Vec<String> {
        let mut arguments = vec!["ls", "--no-trunc", "-q"];
        for filter in filters {
            arguments.extend(["--filter", filter]);
        }
        self.aground(&arguments)
            .ok()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// A dump whole, from the API.
    #[track_caller]
    pub fn dump(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/dumps/{id}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// `GET` on the daemon's TCP port.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        http::get(self.port, path)
    }

    /// The core of a dump, as `aground cp` writes it.
    #[track_caller]
    pub fn core(&self, id: &str) -> PathBuf {
        let path = self.path().join(format!("{id}.core"));
        self.aground(&["cp", id, text(&path)]).ok();
        path
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = fs::remove_dir_all(self.fallback());
        if std::thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}", self.log_text());
        }
    }
}

/// JSON values, one a line, as Docker's `--format json` prints lists.
#[track_caller]
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// A path that is text, which all paths of tests are.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .expect("a process id");
    rustix::process::kill_process(pid, signal).expect("signal");
}

/// A TCP port nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

fn is_settled(dump: &Value) -> bool {
    matches!(
        dump["summary"]["status"].as_str(),
        Some("analyzed" | "failed")
    )
}

/// A link where the file system allows it: debug builds are large.
fn place(from: &Path, to: &Path) {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).expect("copy a program");
    }
}

fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("set permissions");
}
