//! Damages given cores in thousands of ways and says how long the slowest analysis took; ends at
//! the first panic. The tests do so with two small programs, this with any:
//!
//! ```text
//! cargo run --release -p aground-analyzer --example damage -- CORE...
//! ```
#![allow(clippy::print_stdout, reason = "a program for people")]

use aground_analyzer::offline::{self, OfflineRequest};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Places where a core is cut.
const CUTS: u64 = 200;
/// Bits of a core that are changed, one at a time.
const FLIPS: u64 = 2000;
/// Headers and notes, where a changed bit matters most: half of the changes are there.
const HEAD: u64 = 16 << 10;
/// Memory that an analysis may take, bytes: what a worker is given.
const MEMORY: u64 = 1 << 30;

fn main() -> io::Result<()> {
    let limit = Rlimit {
        current: Some(MEMORY),
        maximum: Some(MEMORY),
    };
    setrlimit(Resource::Data, limit)?;
    let directory = tempfile::tempdir()?;
    for core in std::env::args().skip(1).map(PathBuf::from) {
        let mut outcome = Outcome::default();
        let damaged = directory.path().join("core");
        flip(&core, &damaged, &mut outcome)?;
        cut(&damaged, &mut outcome)?;
        println!(
            "{}: {} reports of {}, the slowest after {} ms",
            core.display(),
            outcome.reports,
            CUTS + FLIPS,
            outcome.slowest.as_millis()
        );
    }
    Ok(())
}

#[derive(Default)]
struct Outcome {
    reports: u64,
    slowest: Duration,
}

impl Outcome {
    fn add(&mut self, core: &Path) {
        let start = Instant::now();
        let report = offline::analyze(&OfflineRequest {
            core: core.to_owned(),
            ..OfflineRequest::default()
        });
        self.slowest = self.slowest.max(start.elapsed());
        self.reports += u64::from(report.is_ok());
    }
}

/// Changes bits of a copy in place, and changes them back.
fn flip(core: &Path, damaged: &Path, outcome: &mut Outcome) -> io::Result<()> {
    let size = fs::copy(core, damaged)?.max(1);
    let file = File::options().read(true).write(true).open(damaged)?;
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..FLIPS {
        // Xorshift (Marsaglia).
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let range = if number % 2 == 0 {
            HEAD.min(size)
        } else {
            size
        };
        let place = chance / 8 % range;
        let mut byte = [0];
        file.read_exact_at(&mut byte, place)?;
        file.write_all_at(&[byte[0] ^ 1 << (chance % 8)], place)?;
        outcome.add(damaged);
        file.write_all_at(&byte, place)?;
    }
    Ok(())
}

/// Cuts the copy shorter and shorter.
fn cut(damaged: &Path, outcome: &mut Outcome) -> io::Result<()> {
    let file = File::options().write(true).open(damaged)?;
    let size = file.metadata()?.len();
    for part in (0..CUTS).rev() {
        file.set_len(size / CUTS * part)?;
        outcome.add(damaged);
    }
    Ok(())
}
