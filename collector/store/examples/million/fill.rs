//! Takes crashes in as the service does: an entry of the spool, its row, its report, its group.

use crate::Size;
use crate::crash::Crash;
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_store::{Arrival, Store};
use std::collections::VecDeque;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Crashes between two lines of progress.
const TOLD_EVERY: u64 = 50_000;
/// Crashes taken in together, as the service does with those that wait.
const BATCH: u64 = 128;
/// Crashes of each kind that come alone.
const ALONE: u64 = 500;
/// Dumps whose files stay. A file of a few kilobytes takes a block of the disk, and what is timed
/// reads none but those of the newest.
const FILES_KEPT: usize = 5_000;

/// How long each step took, for a batch, since the last line.
#[derive(Default)]
struct Times {
    admit: Vec<Duration>,
    assign: Vec<Duration>,
    spent: Duration,
    busy: Duration,
    crashes: u64,
}

/// Brings the store to the size asked for; what is there stays.
pub fn fill(store: &Store, directory: &Path, size: Size) -> Result<(), Box<dyn Error>> {
    let mut newest: VecDeque<DumpId> = VecDeque::new();
    let mut times = Times::default();
    let mut number = store.status()?.dumps;
    while number < size.crashes {
        let end = (number + BATCH).min(size.crashes);
        let crash = |number| Crash::new(number, size.crashes, size.bugs, size.now_ms);
        let crashes: Vec<Crash> = (number..end).map(crash).collect();
        take_in(store, directory, crashes, &mut times, &mut newest)?;
        if number / TOLD_EVERY < end / TOLD_EVERY || end == size.crashes {
            report(end, &mut times, store)?;
            times = Times::default();
        }
        number = end;
    }
    Ok(())
}

fn take_in(
    store: &Store,
    directory: &Path,
    crashes: Vec<Crash>,
    times: &mut Times,
    newest: &mut VecDeque<DumpId>,
) -> Result<(), Box<dyn Error>> {
    let entries = crashes.iter().map(|crash| spool(directory, crash));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    // The helper syncs what it writes before it is renamed into the spool.
    rustix::fs::syncfs(File::open(directory)?)?;
    let (started, working) = (Instant::now(), processor_time());
    let arrivals: Vec<Arrival<'_>> = crashes
        .iter()
        .zip(&entries)
        .map(|(crash, entry)| Arrival {
            record: &crash.record,
            entry,
        })
        .collect();
    store
        .admit_all(&arrivals)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let (admitted, worked) = (started.elapsed(), processor_time());
    let reports: Vec<(DumpId, Report)> = crashes
        .into_iter()
        .map(|crash| (crash.record.id, crash.report))
        .collect();
    let (again, rest) = (Instant::now(), processor_time());
    store
        .assign_all(&reports)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let assigned = again.elapsed();
    times.busy += worked.saturating_sub(working) + processor_time().saturating_sub(rest);
    times.spent += admitted + assigned;
    times.admit.push(admitted);
    times.assign.push(assigned);
    times.crashes += u64::try_from(reports.len())?;
    newest.extend(reports.into_iter().map(|(id, _)| id));
    while newest.len() > FILES_KEPT
        && let Some(old) = newest.pop_front()
    {
        fs::remove_dir_all(directory.join(layout::DUMPS).join(old.as_str()))?;
    }
    Ok(())
}

/// Takes crashes in that come alone: of bugs that are known, and of new ones, whose stacks are
/// compared with those of other groups.
pub fn one_by_one(store: &Store, directory: &Path, size: Size) -> Result<(), Box<dyn Error>> {
    for (what, bugs) in [("known", size.bugs), ("new", 100 * size.bugs)] {
        let (mut admitted, mut assigned) = (vec![], vec![]);
        let begin = size.crashes + bugs;
        for number in begin..begin + ALONE {
            let crash = Crash::new(number, begin + ALONE, bugs, size.now_ms);
            let entry = spool(directory, &crash)?;
            let started = Instant::now();
            store.admit(&crash.record, &entry)?;
            admitted.push(started.elapsed());
            let started = Instant::now();
            store.assign(&crash.record.id, &crash.report, None)?;
            assigned.push(started.elapsed());
            store.remove_dump(&crash.record.id)?;
        }
        println!(
            "alone, of {what} bugs: admitted in {}, report and group in {}",
            quantiles(&mut admitted),
            quantiles(&mut assigned)
        );
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

fn report(number: u64, times: &mut Times, store: &Store) -> Result<(), Box<dyn Error>> {
    let bytes = store.status()?.database_bytes;
    #[allow(clippy::cast_precision_loss)]
    let rate = |time: Duration| times.crashes as f64 / time.as_secs_f64();
    println!(
        "{number} crashes: {:.0} per second of a processor, {:.0} per second; {BATCH} admitted in {}, report and group in {}; {} bytes of database per crash; {} resident",
        rate(times.busy),
        rate(times.spent),
        quantiles(&mut times.admit),
        quantiles(&mut times.assign),
        bytes / number,
        resident()?,
    );
    Ok(())
}

/// Memory of this program, as the kernel writes it.
fn resident() -> Result<String, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.unwrap_or_default().trim().to_owned())
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
