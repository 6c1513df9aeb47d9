//! Takes crashes in as the service does: an entry of the spool, its row, its report, its group.

use crate::Size;
use crate::crash::Crash;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_store::Store;
use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Crashes between two lines of progress.
const BATCH: u64 = 10_000;
/// Dumps whose files stay. A file of a few kilobytes takes a block of the disk, and what is timed
/// reads none but those of the newest.
const FILES_KEPT: usize = 5_000;

/// How long each step took.
#[derive(Default)]
struct Times {
    admit: Vec<Duration>,
    assign: Vec<Duration>,
}

/// Brings the store to the size asked for; what is there stays.
pub fn fill(store: &Store, directory: &Path, size: Size) -> Result<(), Box<dyn Error>> {
    let present = store.status()?.dumps;
    let mut newest: VecDeque<DumpId> = VecDeque::new();
    let mut times = Times::default();
    let (mut spent, mut busy) = (Duration::ZERO, Duration::ZERO);
    for number in present..size.crashes {
        let crash = Crash::new(number, size.crashes, size.bugs, size.now_ms);
        let entry = spool(directory, &crash)?;
        let (started, working) = (Instant::now(), processor_time());
        store.admit(&crash.record, &entry)?;
        let admitted = Instant::now();
        store.save_report(&crash.record.id, &crash.report)?;
        times.admit.push(admitted - started);
        times.assign.push(admitted.elapsed());
        spent += started.elapsed();
        busy += processor_time().saturating_sub(working);
        newest.push_back(crash.record.id);
        if newest.len() > FILES_KEPT
            && let Some(old) = newest.pop_front()
        {
            fs::remove_dir_all(directory.join(layout::DUMPS).join(old.as_str()))?;
        }
        if (number + 1).is_multiple_of(BATCH) || number + 1 == size.crashes {
            report(number + 1, &mut times, [spent, busy], store)?;
            (times, spent, busy) = (Times::default(), Duration::ZERO, Duration::ZERO);
        }
    }
    Ok(())
}

/// What the helper leaves in the spool.
fn spool(directory: &Path, crash: &Crash) -> Result<PathBuf, Box<dyn Error>> {
    let entry = directory.join(layout::READY).join(crash.record.id.as_str());
    fs::create_dir_all(&entry)?;
    fs::write(
        entry.join(layout::RECORD),
        serde_json::to_vec(&crash.record)?,
    )?;
    if let Some(log) = &crash.log {
        fs::write(entry.join(layout::LOG), log)?;
    }
    Ok(entry)
}

fn report(
    number: u64,
    times: &mut Times,
    [spent, busy]: [Duration; 2],
    store: &Store,
) -> Result<(), Box<dyn Error>> {
    let bytes = store.status()?.database_bytes;
    #[allow(clippy::cast_precision_loss)]
    let rate = |time: Duration| times.admit.len() as f64 / time.as_secs_f64();
    let (all, one) = (rate(spent), rate(busy));
    println!(
        "{number} crashes: {one:.0} per second of a processor ({all:.0} with what else ran), admitted in {}, report and group in {}, {} bytes of database per crash",
        quantiles(&mut times.admit),
        quantiles(&mut times.assign),
        bytes / number,
    );
    Ok(())
}

/// Time that processors worked for this program so far, the system's part included.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let part = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), part)
}

/// Median, 99th percentile and greatest of some times.
pub fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1000.0);
    let greatest = times.last().copied().unwrap_or_default();
    format!(
        "p50 {} p99 {} max {} ms",
        ms(at(50)),
        ms(at(99)),
        ms(greatest)
    )
}
