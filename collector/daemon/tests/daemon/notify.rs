//! Notifications to servers that fail, are slow, hang, and check what they are sent; and to
//! commands.

use crate::given::*;
use aground_daemon::{Config, Daemon, Notify, TargetStatus};
use aground_store::lifecycle::{Actor, Change};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "a secret of some length";

/// One request as it came.
#[derive(Clone, Debug)]
struct Asked {
    headers: BTreeMap<String, String>,
    body: String,
}

impl Asked {
    fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether it is signed with the secret, over id, time and body.
    fn is_signed(&self) -> bool {
        let signed = format!(
            "{}.{}.{}",
            self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let expected = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            mac.finalize().into_bytes(),
        );
        self.headers["webhook-signature"] == format!("v1,{expected}")
    }
}

/// A server that does what it likes, by how many requests came before.
struct Hook {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hook {
    fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(vec![]));
        let seen = Arc::clone(&asked);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let asked = read_request(&mut stream);
                    seen.lock().unwrap().push(asked);
                    answer(number, &mut stream);
                });
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut TcpStream) -> Asked {
    let mut bytes = vec![];
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let headers: BTreeMap<String, String> = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers["content-length"].parse().unwrap();
            if body.len() >= length {
                let body = body.to_owned();
                return Asked { headers, body };
            }
        }
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "a request was cut");
        bytes.extend_from_slice(&piece[..read]);
    }
}

fn say(stream: &mut TcpStream, status: &str) {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    // A client that gave up does not listen.
    let _ = stream.write_all(answer.as_bytes());
}

/// A daemon that groups crashes by what `bug` beside the state directory says.
fn given(notify: &str) -> Given {
    let mut given = Given::analyzer("say title \"$(cat \"$(dirname \"$0\")/bug\" || echo 1)\"");
    let path = given.directory.path().join("config.toml");
    fs::write(
        &path,
        format!("[notify]\nurl = \"http://aground.example/\"\n{notify}"),
    )
    .unwrap();
    given.config.notify = Config::load(Some(&path)).unwrap().notify;
    given
}

fn bug(given: &Given, number: u8) {
    fs::write(given.directory.path().join("bug"), number.to_string()).unwrap();
}

fn webhook(name: &str, hook: &Hook, more: &str) -> String {
    format!(
        "[[notify.target]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/in?x=1\"\nsecret = \"{SECRET}\"\nretry = \"100ms\"\ntimeout = \"1s\"\n{more}\n",
        hook.port
    )
}

fn target(daemon: &Daemon, name: &str) -> TargetStatus {
    let targets = daemon.targets().unwrap();
    targets.into_iter().find(|it| it.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn news_arrives_signed_though_the_server_fails_is_slow_and_hangs_at_first() {
    let hook = Hook::start(|number, stream| match number {
        0 => say(stream, "500 Internal Server Error"),
        1 => {}
        2 => std::thread::sleep(Duration::from_secs(3)),
        3 => {
            std::thread::sleep(Duration::from_millis(300));
            say(stream, "204 No Content");
        }
        _ => say(stream, "200 OK"),
    });
    let hanging = Hook::start(|_, _| std::thread::sleep(Duration::from_mins(1)));
    let given = given(
        &[
            webhook("good", &hook, ""),
            webhook("hanging", &hanging, "attempts = 2"),
        ]
        .concat(),
    );
    bug(&given, 1);
    given.crash(1);
    given.crash(2);
    let daemon = given.start().await;
    eventually("the notice arrives", || {
        (target(&daemon, "good").tally.delivered == 1).then_some(())
    });
    let asked = hook.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(Asked::is_signed));
    assert!(
        asked.iter().all(|one| one.body == asked[0].body),
        "every attempt says the same"
    );
    let (event, headers) = (asked[3].event(), &asked[3].headers);
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "aground.new-group");
    assert_eq!(event["id"], headers["webhook-id"].as_str());
    let group = event["subject"].as_str().unwrap();
    assert_eq!(event["data"]["group"]["id"], group);
    assert_eq!(
        event["data"]["link"],
        format!("http://aground.example/groups/{group}")
    );
    assert!(headers["content-type"].starts_with("application/cloudevents+json"));
    eventually("what hangs is given up", || {
        let tally = target(&daemon, "hanging").tally;
        (tally.failed == 1).then(|| tally.last_outcome.unwrap())
    });
    assert_eq!(hanging.asked().len(), 2);

    // A regression is news; another crash of a known group is not.
    let by = Actor::aground();
    let resolve = Change::Resolve { image: None };
    daemon.store().change_group(&by, group, resolve).unwrap();
    let mut later = record(3);
    later.captured_at_ms = i64::MAX / 2;
    let entry = given.state("spool/later");
    write_entry(&entry, &later);
    fs::rename(&entry, given.state("spool/ready").join(later.id.as_str())).unwrap();
    eventually("the regression arrives", || {
        hook.asked()
            .iter()
            .any(|one| one.event()["type"] == "aground.regression")
            .then_some(())
    });
    assert_eq!(hook.asked().len(), 5);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_survives_a_restart_and_is_not_told_twice() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let config = |port| {
        format!(
            "[[notify.target]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"http://127.0.0.1:{port}/\"\nretry = \"100ms\"\n"
        )
    };
    let mut given = given(&config(port));
    bug(&given, 1);
    given.crash(1);
    let daemon = given.start().await;
    eventually("an attempt fails", || {
        target(&daemon, "chat").tally.last_outcome
    });
    daemon.shutdown().await;
    drop(daemon);

    let hook = Hook::start(|_, stream| say(stream, "200 OK"));
    given.config.notify = self::given(&config(hook.port)).config.notify;
    let daemon = given.start().await;
    eventually("it arrives after the restart", || {
        (target(&daemon, "chat").tally.delivered == 1).then_some(())
    });
    let text = hook.asked()[0].event()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("New crash in server: title"), "{text}");
    assert!(text.contains("http://aground.example/groups/"), "{text}");
    daemon.shutdown().await;
    drop(daemon);
    let daemon = given.start().await;
    // A known group is no news, and what arrived does not come again.
    given.crash(2);
    eventually("the second crash is analysed", || {
        daemon.store().dump(&id(2)).ok()?.summary.group
    });
    let tested = daemon.test_target("chat").await.unwrap();
    assert!(tested.delivered, "{tested:?}");
    let asked = hook.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].body.contains("Test message from Aground"));
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_the_event_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    let script = "#!/bin/sh\n/bin/cat > \"$1\"\n/usr/bin/env > \"$1.env\"\n/bin/ls -l /proc/self/fd > \"$1.fds\"\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let out = directory.path().join("out; touch evil");
    let command = |name: &str, words: &[&str]| {
        format!(
            "[[notify.target]]\nname = \"{name}\"\nkind = \"command\"\ncommand = {words:?}\ntimeout = \"2s\"\n"
        )
    };
    let program = program.to_str().unwrap();
    let config = [
        command("good", &[program, out.to_str().unwrap()]),
        command("bad", &["/bin/sh", "-c", "echo no way >&2; exit 3"]),
        command("absent", &["/nowhere/program"]),
        command("hangs", &["/bin/sh", "-c", "sleep 600 & sleep 600"]),
    ];
    let given = given(&config.concat());
    let daemon = given.start().await;
    let test = async |name| daemon.test_target(name).await.unwrap();
    let good = test("good").await;
    assert!(good.delivered, "{good:?}");
    let event: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(event["type"], "aground.test");
    let env = fs::read_to_string(out.with_extension("env"))
        .unwrap_or_else(|_| fs::read_to_string(format!("{}.env", out.display())).unwrap());
    // What a shell sets by itself.
    for line in env.lines() {
        assert!(
            ["PWD=", "SHLVL=", "_=", "OLDPWD="]
                .iter()
                .any(|own| line.starts_with(own)),
            "{line}"
        );
    }
    let fds = fs::read_to_string(format!("{}.fds", out.display())).unwrap();
    let state = given.config.state_dir.to_str().unwrap();
    assert!(!fds.contains(state) && !fds.contains("socket:"), "{fds}");
    let bad = test("bad").await;
    assert!(
        !bad.delivered && bad.outcome.contains("exit status: 3: no way"),
        "{bad:?}"
    );
    let absent = test("absent").await;
    assert!(
        absent.outcome.contains("cannot start /nowhere/program"),
        "{absent:?}"
    );
    let hangs = test("hangs").await;
    assert!(
        hangs.outcome.contains("no answer within 2 seconds"),
        "{hangs:?}"
    );
    let unknown = daemon.test_target("unknown").await;
    assert!(unknown.is_err());
    daemon.shutdown().await;
}

#[test]
fn wrong_targets_are_told_when_the_configuration_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let load = |text: &str| -> Result<Notify, String> {
        fs::write(&path, text).unwrap();
        Config::load(Some(&path))
            .map(|config| config.notify)
            .map_err(|error| error.to_string())
    };
    let start = "[[notify.target]]\nname = \"x\"\n";
    for (text, expected) in [
        (
            "kind = \"webhook\"\nurl = \"http://h/\"",
            "one of secret and secret_file",
        ),
        (
            "kind = \"webhook\"\nurl = \"http://h/\"\nsecret = \"short\"",
            "at least 16 bytes",
        ),
        ("kind = \"slack\"", "with a url"),
        ("kind = \"slack\"\nurl = \"gopher://h\"", "is no address"),
        ("kind = \"command\"\ncommand = [\"rm\"]", "absolute path"),
        (
            "kind = \"command\"\ncommand = [\"/bin/true\"]\nper_minute = 0",
            "at least 1",
        ),
        ("kind = \"pigeon\"", "unknown variant `pigeon`"),
        (
            "kind = \"slack\"\nurl = \"http://h/\"\non = [\"noise\"]",
            "unknown variant `noise`",
        ),
    ] {
        let error = load(&format!("{start}{text}\n")).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let both = format!("{start}kind = \"command\"\ncommand = [\"/bin/true\"]\n").repeat(2);
    assert!(load(&both).unwrap_err().contains("names of their own"));
    let secret =
        format!("{start}kind = \"webhook\"\nurl = \"https://h/\"\nsecret = \"{SECRET}\"\n");
    assert!(!format!("{:?}", load(&secret).unwrap()).contains(SECRET));
}
