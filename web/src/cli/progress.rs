//! A line on standard error that says how far something is, when that is a terminal.

use super::human;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(200);

/// Progress through bytes.
pub struct Progress {
    shown: bool,
    doing: String,
    size: Option<u64>,
    done: u64,
    last: Instant,
}

impl Progress {
    /// Progress of `doing`, such as `Copying`, through `size` bytes; shown if `wanted`.
    pub fn new(doing: &str, wanted: bool, size: Option<u64>) -> Self {
        Self {
            shown: wanted && io::stderr().is_terminal(),
            doing: super::text::visible(doing),
            size,
            done: 0,
            last: Instant::now(),
        }
    }

    /// So many more bytes are done.
    pub fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.shown && self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            let of = self
                .size
                .map(|size| format!(" of {}", human::size(size)))
                .unwrap_or_default();
            eprint!("\r\x1b[K{} {}{of}", self.doing, human::size(self.done));
        }
    }

    /// Bytes done so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
