//! Symbols from servers that do what they like.

use crate::given::*;
use aground_daemon::{Daemon, Server};
use aground_store::types::DumpStatus;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The build ID that frames lie in.
const ASKED: &str = "00112233445566778899aabbccddeeff00112233";

/// A server: what it does with a connection after the request, by how many came before.
struct Served {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Served {
    fn start(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(vec![]));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap_or(0);
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().unwrap().push(path);
                answer(number, &mut stream);
            }
        });
        Self { port, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn url(&self) -> Server {
        format!("http://127.0.0.1:{}/sub/", self.port)
            .parse()
            .unwrap()
    }
}

/// An analyzer whose reports lack the symbols until it is handed a file, and that believes of a
/// file what is written in it.
fn given(servers: &[&Served]) -> Given {
    let mut given = Given::analyzer(&format!(
        r#"if [ "$1" = describe ]; then printf '{{"build_id":"%s","debug":"dwarf","shared":null}}' "$manifest"; exit; fi
        case $manifest in
        *'"debug_files":[]'*) say lacking | sed 's/"modules":\[\]/"modules":[{{"path":"\/app","base":"0x0","end":"0x1","image":"captured","debug":"none","wanted":["{ASKED}"]}}]/';;
        *'"source":"debuginfod"'*) say fetched;;
        *) say uploaded;;
        esac"#
    ));
    given.config.symbols.debuginfod = servers.iter().map(|it| it.url()).collect();
    given.config.symbols.fetch_seconds = 2;
    given
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const MISSING: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

fn title(daemon: &Daemon, number: u8) -> Option<String> {
    let dump = daemon.store().dump(&id(number)).ok()?;
    (dump.summary.status == DumpStatus::Analyzed).then_some(dump.summary.title?)
}

/// What the list of missing symbols says of the build ID.
fn outcome(daemon: &Daemon) -> Option<String> {
    let missing = daemon.store().missing_symbols(10).unwrap();
    let missing = missing.into_iter().find(|it| it.build_id == ASKED)?;
    assert_eq!(missing.module, "/app");
    missing.outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_has_is_fetched_once_and_used_by_another_analysis() {
    let (without, with) = (
        Served::start(|_, stream| stream.write_all(MISSING).unwrap()),
        Served::start(|_, stream| stream.write_all(&ok(ASKED)).unwrap()),
    );
    let given = given(&[&without, &with]);
    let ids = [given.crash(1), given.crash(2), given.crash(3)];
    let daemon = given.start().await;
    for number in 1..=3 {
        eventually("the second analysis", || {
            (title(&daemon, number)? == "fetched").then_some(())
        });
    }
    let path = format!("/sub/buildid/{ASKED}/debuginfo");
    assert_eq!(
        (without.requests(), with.requests()),
        (vec![path.clone()], vec![path])
    );
    assert_eq!(
        daemon
            .store()
            .dump(&ids[0])
            .unwrap()
            .report
            .unwrap()
            .revision,
        2
    );
    let status = daemon.status().symbols;
    assert_eq!((status.files, status.bytes), (1, 40));
    assert_eq!(
        (status.debuginfod[0].fetched, status.debuginfod[1].fetched),
        (0, 1)
    );
    assert!(
        status
            .debuginfod
            .iter()
            .all(|server| server.trouble.is_none())
    );
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_has_is_not_asked_for_again_also_after_a_restart() {
    let served = Served::start(|_, stream| stream.write_all(MISSING).unwrap());
    let given = given(&[&served]);
    given.crash(1);
    let daemon = given.start().await;
    eventually("an answer", || {
        outcome(&daemon).filter(|it| it == "no server has it")
    });
    daemon.shutdown().await;
    drop(daemon);
    let daemon = given.start().await;
    given.crash(2);
    eventually("an analysis", || title(&daemon, 2));
    // Told at once: there is nothing to wait for.
    assert_eq!(daemon.store().symbols_to_request(10).unwrap(), [""; 0]);
    assert_eq!(served.requests().len(), 1);
    // Unless somebody wants it.
    assert_eq!(daemon.fetch_symbols().unwrap(), Some(1));
    eventually("another request", || {
        (served.requests().len() == 2).then_some(())
    });
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_misbehaves_is_named_and_holds_nothing_up() {
    type Answer = fn(usize, &mut TcpStream);
    let other = "ff".repeat(20);
    assert_eq!(other.len(), 40);
    let cases: [(&str, Answer); 8] = [
        ("it answered 500", |_, stream| {
            stream
                .write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        }),
        ("it answered 302", |_, stream| {
            stream
                .write_all(
                    b"HTTP/1.1 302 Found\r\nLocation: http://[::1]/\r\nContent-Length: 0\r\n\r\n",
                )
                .unwrap();
        }),
        ("it sent a file of build ID ffff", |_, stream| {
            stream.write_all(&ok(&"ff".repeat(20))).unwrap();
        }),
        ("it took longer than 2 seconds", |_, _| {
            std::thread::sleep(Duration::from_secs(4));
        }),
        ("it took longer than 2 seconds", |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1");
            std::thread::sleep(Duration::from_secs(4));
        }),
        ("the bytes stopped coming", |_, stream| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1")
                .unwrap();
        }),
        ("it is larger than 1000 bytes", |_, stream| {
            stream.write_all(&ok(&"x".repeat(2000))).unwrap();
        }),
        ("invalid HTTP", |_, stream| {
            stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").unwrap();
        }),
    ];
    for (trouble, answer) in cases {
        let served = Served::start(answer);
        let mut given = given(&[&served]);
        given.config.symbols.fetch_max = aground_helper::units::Bytes(1000);
        given.crash(1);
        let daemon = given.start().await;
        let said = eventually(trouble, || outcome(&daemon));
        assert!(said.contains(trouble), "{said}");
        assert!(
            said.contains(&given.config.symbols.debuginfod[0].to_string()),
            "{said}"
        );
        assert_eq!(title(&daemon, 1).as_deref(), Some("lacking"));
        let status = daemon.status().symbols;
        assert_eq!(status.files, 0, "{trouble}");
        assert!(status.debuginfod[0].trouble.is_some(), "{trouble}");
        let check = daemon
            .examine()
            .into_iter()
            .find(|it| it.name == "debuginfod");
        assert!(check.unwrap().finding.contains(trouble));
        assert_eq!(names(&given.state("importing")), [""; 0]);
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_servers_nobody_is_asked_and_what_is_missing_is_listed() {
    let given = given(&[]);
    given.crash(1);
    given.crash(2);
    let daemon = given.start().await;
    for number in 1..=2 {
        eventually("an analysis", || title(&daemon, number));
    }
    let missing = daemon.store().missing_symbols(10).unwrap();
    assert_eq!((missing.len(), missing[0].crashes), (1, 2));
    assert_eq!(missing[0].outcome, None);
    assert_eq!(daemon.fetch_symbols().unwrap(), None);
    daemon.shutdown().await;
}
