//! Gives a test a daemon of its own with crashes in its store, on a unix socket and in process.

use aground_analyzer::report::{
    Cause, CoreFacts, Frame, ProcessFacts, Report, Signature, SignatureFrame, Thread,
};
use aground_daemon::{Config, Daemon};
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::{
    Capture, CaptureState, Container, Host, Kept, KernelFacts, Module, Process, Record, Signal,
};
use aground_web::{App, router};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt;

/// What a module's file holds here.
pub const MODULE: &[u8] = b"\x7fELF module";
/// SHA-256 of [`MODULE`].
pub const MODULE_SHA256: &str = "ae271e5b19ac303432221d1356281641776099d23dd608d8724b44fce2c3bd45";

/// A daemon, its store below a temporary directory, and a socket.
pub struct Site {
    directory: TempDir,
    /// What the router works on.
    pub app: App,
}

/// What came back.
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// A header's text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Site {
    /// A site whose spool held these crashes when the daemon started; all are settled.
    pub async fn with(records: &[Record]) -> Self {
        // These tests are about what is shown, not about analysis.
        let site = Self::analyzed_by(records, Path::new("/bin/false")).await;
        site.settle(records.len()).await;
        site
    }

    /// The same with a program that analyses, before it has ended.
    pub async fn analyzed_by(records: &[Record], analyzer: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        for record in records {
            spool(&state, record);
        }
        let config = Config {
            state_dir: state,
            runtime_dir: directory.path().join("run"),
            analyzer: Some(analyzer.to_owned()),
            ..Config::default()
        };
        let site = Self {
            directory,
            app: App::new(Daemon::start(config).await.unwrap()),
        };
        let listener = tokio::net::UnixListener::bind(site.socket()).unwrap();
        let service = axum::serve(listener, router(site.app.clone()));
        tokio::spawn(async move { service.await });
        site
    }

    async fn settle(&self, count: usize) {
        for _ in 0..300 {
            let listed = self.get("/api/v1/dumps").await.json();
            let settled = |dump: &serde_json::Value| {
                dump["status"] == "failed" || dump["status"] == "analyzed"
            };
            let items = listed["items"].as_array().unwrap();
            if items.len() == count && items.iter().all(settled) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the crashes were not taken in");
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    /// A directory for files of the test.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Gives a dump a report.
    pub fn report(&self, record: &Record, title: &str) {
        self.app
            .daemon
            .store()
            .save_report(&record.id, &report(record, title))
            .unwrap();
    }

    /// `GET`.
    pub async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, &[]).await
    }

    /// Any request.
    pub async fn send(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send_body(method, target, headers, "").await
    }

    /// A form as browsers send it.
    pub async fn post_form(&self, target: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers: Vec<_> = headers.iter().copied().chain([kind]).collect();
        self.send_body(Method::POST, target, &headers, form).await
    }

    /// The first second of an answer that does not end, to somebody with a token.
    pub async fn begin(&self, token: &str, target: &str) -> Vec<u8> {
        let request = Request::get(target)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let response = router(self.app.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{target}");
        let mut body = response.into_body();
        let mut read = vec![];
        let more = Duration::from_secs(1);
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(more, body.frame()).await {
            read.extend(frame.into_data().unwrap_or_default());
        }
        read
    }

    /// Any request with a body.
    pub async fn send_body(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = router(self.app.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// Runs `aground`.
    pub async fn aground(&self, arguments: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_aground"), arguments).await
    }

    /// Runs a program of ours against this site.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).env(
            "AGROUND_HOST",
            format!("unix://{}", self.socket().display()),
        );
        command
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .env("TZ", "UTC");
        command.output().await.unwrap()
    }
}

/// Standard output of a run that had to succeed.
pub fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line of standard error of a run that had to end with this code.
pub fn failed(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

/// The core that every dump of [`record`] has.
pub fn core() -> Vec<u8> {
    let mut core = b"\x7fELF core".to_vec();
    core.resize(700_000, 0);
    core.extend(b"end");
    core
}

/// A crash in a container; ids of different `number` begin with different digits up to 15.
pub fn record(number: u8) -> Record {
    let size = core().len() as u64;
    Record {
        schema: 1,
        id: DumpId::from_bytes([
            number << 4 | number,
            number,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            9,
            10,
            11,
            12,
            13,
            14,
        ]),
        imported: None,
        captured_at_ms: 1_795_000_000_000 + i64::from(number),
        signal: Signal {
            number: 11,
            name: "SIGSEGV".to_owned(),
        },
        kernel: KernelFacts::default(),
        process: Process {
            pid: 4000 + i32::from(number),
            name: "server".to_owned(),
            executable: Some("/app/server".to_owned()),
            args: ["/app/server", "--config", "/etc/server.conf"]
                .map(str::to_owned)
                .to_vec(),
            ..Process::default()
        },
        container: Some(Container {
            runtime: "docker".to_owned(),
            id: format!("{number:x}").repeat(64),
            name: Some(format!("shop-{number}")),
            image: Some("shop:1.42".to_owned()),
            labels: [("team".to_owned(), "core".to_owned())].into(),
            ..Container::default()
        }),
        unit: None,
        context: aground_helper::record::Context::default(),
        host: Host {
            hostname: "box".to_owned(),
            ..Host::default()
        },
        capture: Capture {
            state: CaptureState::Complete,
            kept: Kept::Full,
            reason: None,
            hold_us: Some(1500),
            core_size: Some(size),
            bytes_seen: size,
            bytes_kept: size,
            bytes_stored: 0,
            truncated: false,
            ..Capture::default()
        },
        debug_files: vec![],
        modules: vec![Module {
            path: "/lib/lib\"x\r\n.so".to_owned(),
            base: 0x1000,
            end: 0x2000,
            build_id: None,
            sha256: Some(MODULE_SHA256.to_owned()),
            size: Some(MODULE.len() as u64),
            missing: None,
        }],
        problems: Vec::new(),
    }
}

/// Writes a record, a core, a log and a module as the helper does.
pub fn spool(state: &Path, record: &Record) {
    let entry = state.join(layout::READY).join(record.id.as_str());
    let modules = entry.join(layout::MODULES);
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::write(
        entry.join(layout::RECORD),
        serde_json::to_vec(record).unwrap(),
    )
    .unwrap();
    if record.capture.kept != Kept::None {
        std::fs::write(
            entry.join(layout::CORE),
            zstd::encode_all(&core()[..], 1).unwrap(),
        )
        .unwrap();
    }
    std::fs::write(
        entry.join(layout::LOG),
        "starting\n\x1b[31mfatal\x1b[0m\u{202e}\r\nbye",
    )
    .unwrap();
    std::fs::write(modules.join(MODULE_SHA256), MODULE).unwrap();
}

fn report(record: &Record, title: &str) -> Report {
    let frame = |index, function: &str| Frame {
        index,
        function: Some(function.to_owned()),
        file: Some("/src/parser.c".to_owned()),
        line: Some(42),
        ..Frame::default()
    };
    let kept = |function: &str, rule: Option<&str>| SignatureFrame {
        function: function.to_owned(),
        kept: rule.is_none(),
        rule: rule.map(ToOwned::to_owned),
        ..SignatureFrame::default()
    };
    Report {
        schema: 1,
        core: CoreFacts::default(),
        process: ProcessFacts::default(),
        cause: Cause {
            kind: "null-dereference".to_owned(),
            title: title.to_owned(),
            confidence: "certain".to_owned(),
            ..Cause::default()
        },
        site: None,
        deadlocks: Vec::new(),
        threads: vec![Thread {
            tid: record.process.pid,
            crashed: true,
            frames: vec![frame(0, "parse_header"), frame(1, "handle\x1b[2J_request")],
            ..Thread::default()
        }],
        modules: Vec::new(),
        runtimes: Vec::new(),
        revision: 0,
        partial: None,
        signature: Signature {
            version: aground_analyzer::group::SIGNATURE_VERSION,
            kind: "symbolic".to_owned(),
            title: "parse_header | handle_request".to_owned(),
            hash: "ab".repeat(32),
            frames: vec![
                kept("abort", Some("plumbing of abort")),
                kept("parse_header", None),
            ],
            ..Signature::default()
        },
        warnings: vec!["one thread is guessed".to_owned()],
    }
}
