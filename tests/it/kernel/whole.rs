//! A whole core that is read from the process's memory is the one the kernel writes, byte for byte.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::house::root;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[test]
fn memory_gives_the_same_core_as_the_pipe() {
    let site = Site::new();
    let program = site.path().join("many-threads");
    let source = root().join("tests/programs/many-threads/many-threads.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-O1", "-pthread", "-o"]).arg(&program);
    finish(gcc.arg(source)).ok();

    // Saves what the kernel writes, but for the last byte: that keeps it waiting, with the process's
    // memory, while the helper takes the core of the same process.
    let full = site.path().join("full.core");
    let script = site.path().join("both");
    let collect = site.program("aground-collect");
    let lines = format!(
        "#!/bin/bash\nexec 9<&0\nexec 2>>{log}\n/bin/cat >{full}\n{collect} {state} \"$@\" <{full} 9<&-\nexit\n",
        log = text(&site.path().join("log")),
        full = text(&full),
        collect = text(&collect),
        state = text(&site.state()),
    );
    fs::write(&script, lines).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();

    let claim = CorePattern::claim();
    fs::write("/proc/sys/kernel/core_pipe_limit", "16").unwrap();
    claim.set(&format!("|{} %P %I %i %u %g %s %t %c %d %F", text(&script)));
    let outcome = finish(Command::new(&program).args(["20", "100"]));
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
    let capture = &record["capture"];
    assert_eq!(capture["kept"], "full", "{record:#}");
    // The stream's beginning was read, and nothing of its rest.
    assert_eq!(capture["way"], "memory", "{record:#}");
    let ours = site.path().join("ours.core");
    let core = entry.join("core.zst");
    finish(
        Command::new("zstd")
            .args(["-dqf", "-o"])
            .arg(&ours)
            .arg(core),
    )
    .ok();
    finish(Command::new("cmp").arg(&full).arg(&ours)).ok();
}

/// Bytes of a file that are in the page cache.
fn cached(file: &Path) -> u64 {
    let mut fincore = Command::new("fincore");
    fincore.args(["--bytes", "--noheadings", "--output", "RES"]);
    let shown = finish(fincore.arg(file)).ok();
    shown.trim().parse().expect("a number of bytes")
}

/// Takes a file out of the page cache.
fn forget(file: &Path) {
    let file = File::open(file).expect("open the core");
    file.sync_all().expect("sync the core");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("forget the core");
}

#[test]
fn analysis_reads_what_it_needs_of_a_large_core() {
    let site = Site::started();
    let program = site.path().join("storm");
    let source = root().join("tests/programs/storm/storm.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-O1", "-o"]).arg(&program);
    finish(gcc.arg(source)).ok();
    {
        let _claim = site.collect();
        finish(Command::new(&program).args(["1", "512"])).ok();
        let dump = site.wait_for(1, &["comm=storm"]).remove(0);
        assert_eq!(dump["record"]["capture"]["kept"], "full", "{dump:#}");
        let cause = &dump["report"]["cause"];
        assert_eq!(cause["kind"], "null-dereference", "{cause:#}");
    }
    let id = site.ids(&["comm=storm"]).remove(0);
    let core = site.state().join("dumps").join(&id).join("core.zst");
    forget(&core);
    let before = cached(&core);
    let mut analyze = Command::new(site.program("aground"));
    let shown = finish(analyze.arg("analyze").arg(&core)).ok();
    assert!(shown.contains("die"), "{shown}");
    let (read, size) = (cached(&core), fs::metadata(&core).unwrap().len());
    assert!(
        before == 0 && read > 0 && read * 20 < size,
        "{before}, then {read} of {size} bytes"
    );
}
