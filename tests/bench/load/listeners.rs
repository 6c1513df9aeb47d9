//! Who follows events, some with a connection that breaks, and what they were told.

use aground_testkit::http;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Events after which a connection that breaks does.
const EVENTS: usize = 40;

/// What a listener and who asks it share.
#[derive(Default)]
struct Heard {
    ids: Mutex<Vec<i64>>,
    last: AtomicI64,
    breaks: AtomicUsize,
    over: AtomicBool,
}

/// A listener with a thread of its own.
pub struct Listener(Arc<Heard>);

impl Listener {
    /// Follows what happens after an event; `fragile` ones lose their connection now and then, and
    /// go on after the last event they were told of.
    pub fn start(port: u16, after: i64, fragile: bool) -> Self {
        let heard = Arc::new(Heard::default());
        heard.last.store(after, Ordering::Relaxed);
        let own = Arc::clone(&heard);
        thread::spawn(move || {
            while !own.over.load(Ordering::Relaxed) {
                own.follow(port, fragile);
                own.breaks.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self(heard)
    }

    /// How often its connection broke.
    pub fn breaks(&self) -> usize {
        self.0.breaks.load(Ordering::Relaxed)
    }

    /// What it was told, when it has heard of an event or time is up.
    pub fn until(self, last: i64, limit: Duration) -> Vec<i64> {
        let end = Instant::now() + limit;
        while self.0.last.load(Ordering::Relaxed) < last && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        self.0.over.store(true, Ordering::Relaxed);
        self.0
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Heard {
    fn follow(&self, port: u16, fragile: bool) {
        let last = self.last.load(Ordering::Relaxed);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        let wait = Duration::from_millis(500);
        stream.set_read_timeout(Some(wait)).expect("a time limit");
        let head = "GET /api/v1/events HTTP/1.0\r\nHost: 127.0.0.1";
        write!(stream, "{head}\r\nLast-Event-ID: {last}\r\n\r\n").expect("ask");
        let mut reader = BufReader::new(stream);
        let (mut line, mut id, mut told) = (String::new(), 0, 0);
        let most = if fragile { EVENTS } else { usize::MAX };
        while told < most && !self.over.load(Ordering::Relaxed) {
            match reader.read_line(&mut line) {
                Ok(0) => return,
                Ok(_) => {}
                // What was read of the line so far stays in it.
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("{error}"),
            }
            let whole = std::mem::take(&mut line);
            let (name, value) = whole.trim_end().split_once(": ").unwrap_or_default();
            match name {
                "id" => id = value.parse().expect("a number"),
                "event" => assert_ne!(value, "reset", "events were forgotten"),
                // Data comes last, and not in the message that says where the stream begins.
                "data" => {
                    told += 1;
                    let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
                    ids.push(id);
                    self.last.store(id, Ordering::Relaxed);
                }
                _ => {}
            }
        }
    }
}

/// The number of the newest event.
pub fn newest(port: u16) -> i64 {
    let body = http::get(port, "/api/v1/events?until=0s").text();
    numbers(&body).last().copied().expect("a first message")
}

/// The numbers of all events after one, as the database has them.
pub fn all_after(port: u16, after: i64) -> Vec<i64> {
    let body = http::get(port, &format!("/api/v1/events?after={after}&until=0s")).text();
    // The first says where the stream begins.
    numbers(&body).into_iter().skip(1).collect()
}

fn numbers(body: &str) -> Vec<i64> {
    let ids = body.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.map(|id| id.parse().expect("a number")).collect()
}
