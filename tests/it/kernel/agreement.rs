//! Real programs crash, and every thread's frames are held against gdb's: function, file and line.
//!
//! `tests/agreement` holds the programs and what runs inside gdb. The table that the test prints
//! lists every difference and its explanation; one without an explanation fails the test, and so
//! does less agreement than [`AGREEMENT_MIN_PER_MILLE`]:
//!
//! ```text
//! sudo ./tests/run -E 'test(agreement)' --no-capture
//! ```

mod cases;
mod compare;
mod explained;
mod values;

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::house::{program, root};
use aground_testkit::run::finish;
use cases::{Case, cases};
use compare::{Comparison, Thread};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Frames that are the same in ours by address, function, file and line, of 1000 that gdb names.
const AGREEMENT_MIN_PER_MILLE: usize = 995;
/// Values of variables that are the same, of 1000. gdb takes registers that a call may change for
/// unchanged and shows what they hold now; those are the rest.
const VALUES_MIN_PER_MILLE: usize = 975;

#[test]
fn every_thread_is_as_gdb_shows_it() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .expect("open the directory for PostgreSQL's user");
    let cases = cases();
    let cores = crash_all(&cases, directory.path());
    let comparisons: Vec<Comparison> = cases
        .iter()
        .zip(&cores)
        .map(|(case, core)| Comparison::of(case.name, &gdb(case, core), &ours(case, core)))
        .collect();
    let table = compare::table(&comparisons);
    println!("{table}");
    let (same, all) = compare::totals(&comparisons);
    let wrong: Vec<_> = comparisons
        .iter()
        .flat_map(|one| one.values.wrong.clone())
        .collect();
    let (values_same, values) = compare::value_totals(&comparisons);
    let unexplained: Vec<_> = comparisons
        .iter()
        .flat_map(Comparison::unexplained)
        .collect();
    assert!(cases.len() >= 30, "only {} crashes", cases.len());
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(values > 5000, "only {values} values");
    assert!(
        values_same * 1000 >= values * VALUES_MIN_PER_MILLE,
        "{values_same} of {values} values"
    );
    assert!(
        same * 1000 >= all * AGREEMENT_MIN_PER_MILLE,
        "{same} of {all} frames"
    );
}

/// The core of each case, written by the kernel.
fn crash_all(cases: &[Case], directory: &Path) -> Vec<PathBuf> {
    cases.iter().for_each(Case::build);
    let claim = CorePattern::claim();
    claim.set(&directory.join("core.%P").to_string_lossy());
    let crash = |case: &Case| {
        case.crash(directory);
        let core = core_in(directory).unwrap_or_else(|| panic!("{} left no core", case.name));
        let kept = directory.join(format!("{}.kept", case.name));
        fs::rename(core, &kept).expect("keep the core");
        kept
    };
    cases.iter().map(crash).collect()
}

fn core_in(directory: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(directory)
        .expect("read the directory")
        .flatten();
    let core = entries.find(|entry| entry.file_name().to_string_lossy().starts_with("core."))?;
    Some(core.path())
}

fn gdb(case: &Case, core: &Path) -> Vec<Thread> {
    let script = root().join("tests/agreement/frames.py");
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-iex", "set auto-load off"]);
    gdb.args(["-iex", "set debuginfod enabled off"]);
    gdb.args(["-iex", "set backtrace past-main on"]);
    gdb.arg(case.executable()).arg(core).arg("-x").arg(script);
    gdb.env_remove("DEBUGINFOD_URLS").env("LC_ALL", "C.UTF-8");
    let text = finish(&mut gdb).ok();
    let threads = text.lines().filter_map(|line| line.strip_prefix("THREAD "));
    let threads: Vec<Thread> = threads
        .map(|line| Thread::of_gdb(&serde_json::from_str(line).expect("JSON of the script")))
        .collect();
    assert!(
        !threads.is_empty(),
        "gdb shows no thread of {}:\n{text}",
        case.name
    );
    threads
}

fn ours(case: &Case, core: &Path) -> Vec<Thread> {
    let mut analyze = Command::new(program("aground"));
    analyze.args(["analyze", "--format", "json"]).arg(core);
    let report: Value = serde_json::from_str(&finish(&mut analyze).ok()).expect("a report");
    let threads = report["threads"].as_array().expect("threads");
    if case.name == "java" {
        // gdb does not get through HotSpot's interpreter; we must, without guesses.
        let text = report["threads"].to_string();
        assert!(text.contains(r#""trust":"frame-pointer""#), "{text}");
        assert!(!text.contains(r#""trust":"scan""#), "{text}");
    }
    threads.iter().map(Thread::of_report).collect()
}
