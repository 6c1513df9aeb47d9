//! The whole way: a container crashes, somebody is told, resolves it, and hears of it again when
//! the next release crashes the same way.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::programs::{Build, NEXT_RELEASE, RELEASE};
use aground_testkit::site::Site;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A server that is told of events; their JSON comes out of the channel.
fn hook() -> (u16, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (port, receiver)
}

#[test]
fn a_resolved_crash_that_comes_back_is_told() {
    require_engine();
    let (port, told) = hook();
    let mut site = Site::new();
    site.start_with_config(&format!(
        "[[notify.target]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret = \"a secret of some length\"\n"
    ));
    let crash = |build: Build| {
        let container = Container::new("shop-api");
        container.run(&build.image("shop-api").reference, &[]);
        container
    };
    let next = || told.recv_timeout(Duration::from_mins(1)).unwrap();

    let _claim = site.collect();
    let _first = crash(RELEASE);
    site.wait_for(1, &["status=analyzed"]);
    let event = next();
    assert_eq!(event["type"], "aground.new-group", "{event}");
    let group = event["data"]["group"]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{event}"))
        .to_owned();

    site.aground(&["groups", "resolve", &group]).ok();
    let _second = crash(NEXT_RELEASE);
    site.wait_for(2, &["status=analyzed"]);
    let event = next();
    assert_eq!(event["type"], "aground.regression", "{event}");
    assert_eq!(event["data"]["group"]["id"], group.as_str(), "{event}");
    let listed = site
        .aground(&["groups", "ls", "state:regressed", "-q"])
        .ok();
    assert!(group.starts_with(listed.trim()), "{listed}");
}
