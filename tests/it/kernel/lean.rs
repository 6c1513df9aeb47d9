//! A lean core says the same as the whole core of the same process, to gdb and to us.
//!
//! The kernel pipes to a script that saves the whole core and then, while the process is still
//! held, runs the helper on it with the policy `lean`: one death, both cores.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::docker::require_engine;
use aground_testkit::house::root;
use aground_testkit::programs::RELEASE;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Whole and lean core of one process, and the helper's record.
struct Both {
    full: PathBuf,
    lean: PathBuf,
    record: Value,
}

/// Runs a program that crashes, and takes both cores of it.
#[track_caller]
fn both_cores(site: &Site, program: &mut Command) -> Both {
    let directory = site.path();
    let full = directory.join("full.core");
    let collect = site.program("aground-collect");
    let script = directory.join("both");
    let text_of_script = format!(
        // The kernel holds the process as long as somebody may read from its pipe.
        "#!/bin/bash\nexec 9<&0\n/bin/cat >{full}\n{collect} {state} \"$@\" <{full} 9<&-\nexit\n",
        full = text(&full),
        collect = text(&collect),
        state = text(&site.state()),
    );
    fs::write(&script, text_of_script).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = r#"{"policy":"lean","lean_max":"64MiB"}"#;
    fs::write(site.state().join("capture.json"), settings).unwrap();

    let claim = CorePattern::claim();
    fs::write("/proc/sys/kernel/core_pipe_limit", "16").unwrap();
    claim.set(&format!("|{} %P %I %i %u %g %s %t %c %d %F", text(&script)));
    let outcome = finish(program);
    let ready = site.state().join("spool/ready");
    let entry = eventually(Duration::from_mins(1), || {
        let mut entries = fs::read_dir(&ready).map_err(|error| error.to_string())?;
        let entry = entries
            .next()
            .ok_or_else(|| format!("no entry; {outcome:?}"))?;
        Ok(entry.unwrap().path())
    });
    drop(claim);
    let record = fs::read(entry.join("record.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["capture"]["kept"], "lean", "{record:#}");
    let lean = directory.join("lean.core");
    finish(
        Command::new("zstd")
            .args(["-dqf", "-o"])
            .arg(&lean)
            .arg(entry.join("core.zst")),
    )
    .ok();
    Both { full, lean, record }
}

pub(super) fn gdb(program: &Path, core: &Path) -> String {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-iex", "set auto-load off"]);
    gdb.args(["-iex", "set debuginfod enabled off", "-ex", "set width 0"]);
    gdb.args(["-ex", "thread apply all bt", "-ex", "info sharedlibrary"]);
    gdb.arg(program).arg(core).env("LC_ALL", "C.UTF-8");
    finish(&mut gdb).ok()
}

pub(super) fn report(site: &Site, core: &Path) -> Value {
    let analyzed = site
        .aground(&["analyze", text(core), "--format", "json"])
        .ok();
    let mut report: Value = serde_json::from_str(&analyzed).unwrap();
    // Sizes of the cores differ, nothing else may.
    report["core"]["size"] = Value::Null;
    report
}

/// A program of many threads and a large heap, that dies of a null pointer.
pub(super) fn many_threads(site: &Site) -> PathBuf {
    let program = site.path().join("many-threads");
    let source = root().join("tests/programs/many-threads/many-threads.c");
    let mut gcc = Command::new("gcc");
    // A thread that is still in the dynamic linker has variables that lead to all its tables.
    gcc.args(["-g", "-O1", "-pthread", "-Wl,-z,now", "-o"])
        .arg(&program)
        .arg(source);
    finish(&mut gcc).ok();
    program
}

#[test]
fn gdb_shows_two_hundred_threads_alike() {
    let site = Site::new();
    let program = many_threads(&site);
    let both = both_cores(&site, Command::new(&program).args(["200", "256"]));
    let capture = &both.record["capture"];
    assert_eq!(capture["reason"], Value::Null, "{capture:#}");

    let (full, lean) = (gdb(&program, &both.full), gdb(&program, &both.lean));
    assert_eq!(
        full.matches("in descend (").count(),
        lean.matches("in descend (").count()
    );
    assert!(full.matches("in work (").count() == 200, "{full}");
    assert!(full == lean, "--- full\n{full}\n--- lean\n{lean}");

    let size = |core: &Path| fs::metadata(core).unwrap().len();
    assert!(size(&both.lean) * 20 < size(&both.full));
    assert_eq!(report(&site, &both.full), report(&site, &both.lean));
}

#[test]
fn analysis_concludes_the_same_for_every_language() {
    require_engine();
    for (name, arguments) in [
        ("shop-api", &[][..]),
        ("payments", &[]),
        ("search", &[]),
        ("ledger", &[]),
        ("gateway", &[]),
        ("inventory", &["write"]),
    ] {
        let image = RELEASE.image(name);
        let site = Site::new();
        let program = image.root.join(image.executable.trim_start_matches('/'));
        let mut command = Command::new(program);
        command.args(arguments).env("GOTRACEBACK", "crash");
        let both = both_cores(&site, &mut command);
        let (full, lean) = (report(&site, &both.full), report(&site, &both.lean));
        assert_ne!(full["cause"]["kind"], "unknown", "{name}");
        assert_eq!(full["cause"], lean["cause"], "{name}");
        assert_eq!(full["threads"], lean["threads"], "{name}");
        assert_eq!(full["signature"], lean["signature"], "{name}");
    }
}
