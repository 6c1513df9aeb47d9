//! Damages given cores in thousands of ways and says how long the slowest analysis took; ends at
//! the first panic. The tests do so with two small programs, this with any:
//!
//! ```text
//! cargo run --release -p aground-analyzer --example damage -- CORE...
//! ```
#![allow(clippy::print_stdout, reason = "a program for people")]

use aground_analyzer::offline::{self, OfflineRequest};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Places where a core is cut.
const CUTS: usize = 200;
/// Bits of a core that are changed, one at a time.
const FLIPS: usize = 2000;
/// Headers and notes, where a changed bit matters most: half of the changes are there.
const HEAD: usize = 16 << 10;
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
        damage(&core, directory.path())?;
    }
    Ok(())
}

fn damage(core: &Path, directory: &Path) -> io::Result<()> {
    let damaged = directory.join("core");
    let whole = std::fs::read(core)?;
    let (mut slowest, mut reports) = (Duration::ZERO, 0);
    let mut analyze = |bytes: &[u8]| {
        // A new file each time: the last one may still be mapped.
        let _ = std::fs::remove_file(&damaged);
        std::fs::write(&damaged, bytes)?;
        let start = Instant::now();
        let report = offline::analyze(&OfflineRequest {
            core: damaged.clone(),
            ..OfflineRequest::default()
        });
        slowest = slowest.max(start.elapsed());
        reports += usize::from(report.is_ok());
        io::Result::Ok(())
    };
    for cut in 0..CUTS {
        analyze(&whole[..whole.len() * cut / CUTS])?;
    }
    let (mut bytes, mut chance) = (whole, 0x9e37_79b9_7f4a_7c15_u64);
    for flip in 0..FLIPS {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let range = if flip % 2 == 0 { HEAD.min(bytes.len()) } else { bytes.len() };
        let bit = usize::try_from(chance).unwrap_or(0) % (range * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        analyze(&bytes)?;
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    println!(
        "{}: {reports} reports of {}, the slowest after {} ms",
        core.display(),
        CUTS + FLIPS,
        slowest.as_millis()
    );
    Ok(())
}
