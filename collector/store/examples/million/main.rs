//! Fills a store with crashes through the code that takes them in, and times what people ask of
//! it: `million STATE_DIR [CRASHES [GROUPS]]`. `tests/bench/store` runs it.

mod crash;
mod fill;
mod questions;

use aground_store::Store;
use std::path::PathBuf;

/// How much is made.
#[derive(Clone, Copy)]
pub struct Size {
    /// Crashes in all.
    pub crashes: u64,
    /// Bugs among them.
    pub bugs: u64,
    /// The time of the last crash, milliseconds.
    pub now_ms: i64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let mut number = |default: u64| {
        arguments
            .next()
            .map_or(Ok(default), |text| text.parse::<u64>())
    };
    let size = Size {
        crashes: number(1_000_000)?,
        bugs: number(20_000)?,
        now_ms: jiff::Timestamp::now().as_millisecond(),
    };
    let store = Store::open(&directory)?;
    fill::fill(&store, &directory, size)?;
    fill::one_by_one(&store, &directory, size)?;
    questions::ask(&store, size)
}
