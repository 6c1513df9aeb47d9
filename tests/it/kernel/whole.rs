//! A whole core that is read from the process's memory is the one the kernel writes, byte for byte.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::house::root;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
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

/// Bytes of a file that a traced program read, from strace's lines with paths (`-y`).
fn bytes_read(trace: &str, file: &str) -> u64 {
    let of_file = trace.lines().filter(|line| line.contains(file));
    of_file
        .filter_map(|line| line.rsplit_once("= ")?.1.trim().parse::<u64>().ok())
        .sum()
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
        assert_eq!(
            dump["report"]["cause"]["kind"], "near-null-access",
            "{dump:#}"
        );
    }
    let id = site.ids(&["comm=storm"]).remove(0);
    let core = site.state().join("dumps").join(&id).join("core.zst");
    let trace = site.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-y",
        "-e",
        "trace=read,pread64,preadv,readv,mmap",
        "-o",
    ]);
    strace
        .arg(&trace)
        .arg(site.program("aground"))
        .arg("analyze")
        .arg(&core);
    let shown = finish(&mut strace).ok();
    assert!(shown.contains("die"), "{shown}");
    let trace = fs::read_to_string(&trace).unwrap();
    assert!(
        !trace
            .lines()
            .any(|line| line.contains("mmap") && line.contains("core.zst"))
    );
    let (read, size) = (
        bytes_read(&trace, "core.zst"),
        fs::metadata(&core).unwrap().len(),
    );
    assert!(read > 0 && read * 20 < size, "{read} of {size} bytes");
}
