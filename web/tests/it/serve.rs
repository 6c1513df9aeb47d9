//! `aground serve` as a process: what it listens on, whom it refuses, how it ends.

use crate::site::{core, failed, ok, record, spool};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

struct Service {
    child: Child,
    directory: PathBuf,
    address: String,
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aground"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--state-dir"])
        .arg(directory.join("state"));
    command.arg("--runtime-dir").arg(directory.join("run"));
    command
        .env("AGROUND_ANALYZER", "/bin/false")
        .env_remove("RUST_LOG");
    command
}

impl Service {
    fn start(directory: &Path) -> Self {
        Self::of(command(directory), directory)
    }

    fn of(mut command: Command, directory: &Path) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = log.by_ref().find_map(|line| {
            let line = line.unwrap();
            Some(
                line.split_once("url=http")?
                    .1
                    .split_once("://")?
                    .1
                    .split('/')
                    .next()?
                    .to_owned(),
            )
        });
        std::thread::spawn(move || log.for_each(drop));
        Self {
            child,
            directory: directory.to_owned(),
            address: url.expect("the service says where it listens"),
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("run/api.sock")
    }

    fn aground(&self, arguments: &[&str]) -> Output {
        let host = format!("unix://{}", self.socket().display());
        Command::new(env!("CARGO_BIN_EXE_aground"))
            .args(arguments)
            .env("AGROUND_HOST", host)
            .output()
            .unwrap()
    }

    /// The answer to a request over TCP, head and body.
    fn request(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_serves_on_both_and_ends_cleanly_with_open_streams() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Service::start(directory.path());
    assert_eq!(ok(&service.aground(&["ping"])), "OK\n");
    let tcp = format!("http://{}", service.address);
    assert_eq!(ok(&service.aground(&["--host", &tcp, "ping"])), "OK\n");

    let mut events = TcpStream::connect(&service.address).unwrap();
    events
        .write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut head = [0; 15];
    events.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");

    let begun = std::time::Instant::now();
    assert!(service.end(Signal::TERM).success());
    assert!(
        begun.elapsed().as_secs() < 4,
        "an open stream held up the end"
    );
    assert!(!service.socket().exists());
    failed(&service.aground(&["ping"]), 125);
}

#[test]
fn names_that_only_lead_here_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path());
    let get = |host: &str| {
        service.request(&format!(
            "GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
        ))
    };
    for ours in [
        "Host: localhost\r\n",
        "Host: 127.0.0.1:1\r\n",
        "Host: [::1]\r\n",
    ] {
        assert!(get(ours).starts_with("HTTP/1.1 200"), "{ours}");
    }
    for foreign in [
        "Host: evil.example\r\n",
        "Host: 127.0.0.1.evil.example\r\n",
        "Host: \r\n",
    ] {
        let answer = get(foreign);
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("foreign-host"),
            "{foreign}: {answer}"
        );
        assert!(answer.contains("nosniff"), "{answer}");
    }
    assert!(
        !service
            .request("GET /healthz HTTP/1.0\r\n\r\n")
            .starts_with("HTTP/1.0 200")
    );
}

#[test]
fn a_second_service_is_refused_and_a_killed_one_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Service::start(directory.path());
    let error = failed(&command(directory.path()).output().unwrap(), 1);
    assert!(
        error.contains("another aground daemon answers on"),
        "{error}"
    );
    let elsewhere = directory.path().join("elsewhere");
    let mut other = Command::new(env!("CARGO_BIN_EXE_aground"));
    other
        .args(["serve", "--listen", "127.0.0.1:0", "--state-dir"])
        .arg(directory.path().join("state"));
    let error = failed(
        &other.arg("--runtime-dir").arg(&elsewhere).output().unwrap(),
        1,
    );
    assert!(
        error.contains("another aground daemon is running on"),
        "{error}"
    );
    let mut other = Command::new(env!("CARGO_BIN_EXE_aground"));
    other
        .args(["serve", "--listen", &service.address, "--state-dir"])
        .arg(&elsewhere);
    let error = failed(
        &other.arg("--runtime-dir").arg(&elsewhere).output().unwrap(),
        1,
    );
    assert!(
        error.contains(&format!("cannot listen on {}", service.address)),
        "{error}"
    );

    service.end(Signal::KILL);
    assert!(service.socket().exists());
    let again = Service::start(directory.path());
    assert_eq!(ok(&again.aground(&["ping"])), "OK\n");
}

/// Half a core must not be taken for a whole one.
#[test]
fn a_damaged_core_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    spool(&state, &record(1));
    let service = Service::start(directory.path());
    let file = state
        .join("dumps")
        .join(record(1).id.as_str())
        .join("core.zst");
    for _ in 0..100 {
        if file.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let whole = std::fs::read(&file).unwrap();
    assert!(service.aground(&["cp", "11", "-"]).stdout == core());
    std::fs::write(&file, &whole[..whole.len() - 8]).unwrap();
    let copy = directory.path().join("copy");
    failed(&service.aground(&["cp", "11", copy.to_str().unwrap()]), 1);
    assert!(!copy.exists());
    let left = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        left.into_iter()
            .all(|name| name == "state" || name == "run"),
        "a partial copy was left"
    );
}

/// A certificate of its own for 127.0.0.1, and its key.
fn identity(directory: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=aground", "-addext"])
        .args(["subjectAltName=IP:127.0.0.1", "-addext"])
        .args(["basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    (certificate, key)
}

/// A service with this `[web]` section.
fn with_web(directory: &Path, web: &str) -> Command {
    let config = directory.join("config.toml");
    std::fs::write(&config, format!("[web]\n{web}")).unwrap();
    let mut command = command(directory);
    command.arg("--config").arg(config);
    command
}

#[test]
fn over_tls_everybody_shows_a_token_and_certificates_are_renewed() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = identity(directory.path());
    let web = format!("tokens = true\ntls_cert = {certificate:?}\ntls_key = {key:?}");
    spool(&directory.path().join("state"), &record(1));
    let mut service = Service::of(with_web(directory.path(), &web), directory.path());
    let host = format!("https://{}", service.address);
    let created = service.aground(&["token", "create", "--role", "debug", "--name", "ci", "-q"]);
    let token = directory.path().join("token");
    std::fs::write(&token, ok(&created)).unwrap();
    let (token, ca) = (token.to_str().unwrap(), certificate.to_str().unwrap());
    let asked = |arguments: &[&str]| {
        let all = [&["--host", &host], arguments].concat();
        Command::new(env!("CARGO_BIN_EXE_aground"))
            .args(all)
            .output()
            .unwrap()
    };
    let listed = ok(&asked(&["--ca", ca, "--token-file", token, "ls", "-q"]));
    assert_eq!(listed, format!("{}\n", record(1).id.short()));
    let copied = asked(&["--ca", ca, "--token-file", token, "cp", "11", "-"]);
    assert!(copied.stdout == core());

    let error = failed(&asked(&["--ca", ca, "ls"]), 1);
    assert!(error.contains("this needs a token"), "{error}");
    let error = failed(&asked(&["--token-file", token, "ls"]), 125);
    assert!(
        error.contains("certificate") || error.contains("UnknownIssuer"),
        "{error}"
    );
    std::fs::write(directory.path().join("wrong"), "aground_wrong").unwrap();
    let wrong = directory.path().join("wrong");
    let error = failed(
        &asked(&["--ca", ca, "--token-file", wrong.to_str().unwrap(), "ls"]),
        1,
    );
    assert!(error.contains("this token is not known"), "{error}");
    let error = failed(&asked(&["--token-file", "/nonexistent", "ls"]), 1);
    assert!(error.contains("cannot read /nonexistent"), "{error}");
    // In the clear nobody gets a word, and to another machine no token goes that way.
    let plain = format!("http://{}", service.address);
    let clear = Command::new(env!("CARGO_BIN_EXE_aground"))
        .args(["--host", &plain, "ping"])
        .output()
        .unwrap();
    failed(&clear, 1);
    let away = Command::new(env!("CARGO_BIN_EXE_aground"))
        .args([
            "--host",
            "http://192.0.2.1:7400",
            "--token-file",
            token,
            "ls",
        ])
        .output()
        .unwrap();
    let error = failed(&away, 1);
    assert!(error.contains("in the clear"), "{error}");

    let before = std::fs::read(&certificate).unwrap();
    identity(directory.path());
    assert!(std::fs::read(&certificate).unwrap() != before);
    kill_process(Pid::from_child(&service.child), Signal::HUP).unwrap();
    let renewed = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        asked(&["--ca", ca, "--token-file", token, "ls"])
            .status
            .success()
    });
    assert!(renewed, "the new certificate is shown");
    assert!(service.end(Signal::TERM).success());
}

#[test]
fn what_would_be_served_in_the_clear_or_by_half_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = identity(directory.path());
    let error = |web: &str, listen: &str| {
        let config = directory.path().join("config.toml");
        std::fs::write(&config, format!("[web]\n{web}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_aground"));
        command.args(["serve", "--listen", listen, "--config"]);
        let below = |name| directory.path().join(name);
        command.arg(config).arg("--state-dir").arg(below("state"));
        command.arg("--runtime-dir").arg(below("run"));
        failed(&command.output().unwrap(), 1)
    };
    let wide = error("", "0.0.0.0:0");
    assert!(
        wide.contains("refusing to listen on 0.0.0.0:0 in the clear"),
        "{wide}"
    );
    let half = error(&format!("tls_cert = {certificate:?}"), "127.0.0.1:0");
    assert!(
        half.contains("tls_cert and tls_key must be given both or neither"),
        "{half}"
    );
    let swapped = format!("tls_cert = {key:?}\ntls_key = {certificate:?}");
    let swapped = error(&swapped, "127.0.0.1:0");
    assert!(swapped.contains("for TLS"), "{swapped}");
}
