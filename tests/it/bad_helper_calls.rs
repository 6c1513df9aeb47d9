//! The helper called as the kernel never should: an error in one line, or a recorded crash that
//! says what is missing.

use aground_testkit::helper::{collect, keep_all, kernel_arguments, record, vanished_pid};
use aground_testkit::run::eventually;
use aground_testkit::site::Site;
use aground_testkit::synthetic::Core;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_vanished_process_is_recorded_with_its_core() {
    let site = Site::started();
    let outcome = record(&site, &vanished_pid(), &Core::default().bytes());
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    let dumps = site.wait_for(1, &[]);
    assert_eq!(dumps[0]["summary"]["signal"], "SIGSEGV");
    assert_eq!(dumps[0]["summary"]["kept"], "full");
    assert!(
        !dumps[0]["record"]["problems"]
            .as_array()
            .unwrap()
            .is_empty(),
        "{:#}",
        dumps[0]["record"]
    );
    assert_eq!(
        dumps[0]["report"]["threads"][0]["registers"]["rip"],
        "0x401136"
    );
}

#[test]
fn a_core_that_is_no_core_is_still_a_crash() {
    let site = Site::started();
    for core in [
        &b""[..],
        b"not ELF at all",
        &Core::default().bytes()[..100],
        &Core::default().bytes()[..2000],
    ] {
        record(&site, &vanished_pid(), core);
    }
    let dumps = site.wait_for(4, &[]);
    assert_eq!(dumps.len(), 4);
    for dump in dumps {
        let whole = dump["summary"]["kept"] == "full" && dump["summary"]["truncated"] == false;
        assert!(
            !whole,
            "nothing of this was whole: {:#}",
            dump["record"]["capture"]
        );
        assert_eq!(dump["summary"]["signal"], "SIGSEGV");
    }
}

#[test]
fn missing_and_absurd_arguments_are_an_error_or_a_record() {
    let site = Site::started();
    let pid = vanished_pid();
    let good = kernel_arguments(&pid);
    let mut calls: Vec<Vec<String>> = (0..good.len())
        .map(|count| good[..count].to_vec())
        .collect();
    for position in 0..good.len() {
        for absurd in [
            "",
            "-1",
            "x",
            "99999999999999999999999",
            "../../etc",
            "%P",
            "0",
        ] {
            let mut arguments = good.clone();
            absurd.clone_into(&mut arguments[position]);
            calls.push(arguments);
        }
    }
    let mut recorded = 0;
    for call in &calls {
        let outcome = collect(
            &site,
            &call.iter().map(String::as_str).collect::<Vec<_>>(),
            &Core::default().bytes(),
        );
        if outcome.code == Some(0) {
            recorded += 1;
        } else {
            outcome.one_line_error();
        }
    }
    let dumps = site.wait_for(recorded, &[]);
    assert_eq!(
        dumps.len(),
        recorded,
        "every call that succeeded is a crash"
    );
    // The process id is the one thing nothing can be recorded without.
    assert!(
        recorded >= calls.len() / 2,
        "only {recorded} of {} calls were recorded",
        calls.len()
    );
}

#[test]
fn called_by_a_person_it_says_what_it_is() {
    let error =
        aground_testkit::run::run::<&str>(aground_testkit::house::program("aground-collect"), &[])
            .one_line_error();
    assert!(
        error.contains("core_pattern") || error.contains("kernel") || error.contains("argument"),
        "{error}"
    );
}

/// Killed in the middle of the stream: what was written first makes it a crash all the same.
#[test]
fn a_helper_killed_while_it_writes_leaves_a_crash() {
    let mut site = Site::started();
    let pid = vanished_pid();
    let mut helper = Command::new(site.program("aground-collect"))
        .arg(site.state())
        .args(kernel_arguments(&pid))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stream = helper.stdin.take().unwrap();
    stream.write_all(&Core::default().bytes()[..3000]).unwrap();
    eventually(Duration::from_secs(10), || {
        let incoming = aground_testkit::house::files(&site.state().join("spool/incoming"));
        let record = incoming.iter().find(|path| {
            path.ends_with("record.json") && path.metadata().is_ok_and(|meta| meta.len() > 0)
        });
        record
            .map(drop)
            .ok_or_else(|| format!("no record yet: {incoming:?}"))
    });
    helper.kill().unwrap();
    helper.wait().unwrap();
    site.stop();
    // An entry younger than three seconds may be one whose helper has yet to lock it.
    std::thread::sleep(Duration::from_millis(3500));
    site.start();
    let dumps = site.wait_for(1, &[]);
    assert_eq!(dumps[0]["record"]["capture"]["state"], "interrupted");
    assert_eq!(dumps[0]["summary"]["signal"], "SIGSEGV");
    assert_ne!(dumps[0]["summary"]["kept"], "full");
}

/// Entries that nobody finished or that are nonsense are counted and named, and stop nothing.
#[test]
fn nonsense_in_the_spool_stops_nothing() {
    let mut site = Site::started();
    site.stop();
    let ready = site.state().join("spool/ready");
    let nonsense = [
        ("0".repeat(32), "{\"schema\": 1"),
        ("1".repeat(32), ""),
        ("not-an-id".to_owned(), "{}"),
        ("2".repeat(32), "[[[["),
    ];
    for (name, record) in &nonsense {
        std::fs::create_dir_all(ready.join(name)).unwrap();
        std::fs::write(ready.join(name).join("record.json"), record).unwrap();
    }
    std::fs::create_dir(ready.join("3".repeat(32))).unwrap();
    std::fs::write(ready.join("a file"), "").unwrap();
    record(&site, &vanished_pid(), &Core::default().bytes());
    site.start();
    let dumps = site.wait_for(1, &[]);
    assert_eq!(dumps.len(), 1);
    let rejected = site.get("/api/v1/status").json()["rejected"].clone();
    assert!(
        rejected
            .as_array()
            .is_some_and(|list| list.len() >= nonsense.len()),
        "{rejected:#}"
    );
}

/// Runs `aground-collect thin` as the daemon does.
fn thin(site: &Site, arguments: &[&str], core: &std::path::Path) -> (Option<i32>, String, Vec<u8>) {
    let lean = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(site.program("aground-collect"))
        .arg("thin")
        .args(arguments)
        .env_clear()
        .stdin(std::fs::File::open(core).unwrap())
        .stdout(lean.reopen().unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr, std::fs::read(lean).unwrap())
}

#[test]
fn damaged_cores_are_made_lean_or_refused_in_one_line() {
    let parent = std::process::id().to_string();
    let limits = ["1000000", "536870912", "10", parent.as_str()];
    let site = Site::new();
    let whole = Core::default().bytes();
    record(&site, &vanished_pid(), &whole);
    let mut noise = 1_u64;
    let mut below = |limit: usize| {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(noise >> 33).unwrap() % limit
    };
    keep_all(&site);
    for _ in 0..60 {
        // Headers and notes are what is believed.
        let mut damaged = whole.clone();
        for _ in 0..=below(3) {
            let at = below(1024.min(whole.len()));
            damaged[at] = u8::try_from(below(256)).unwrap();
        }
        record(&site, &vanished_pid(), &damaged);
    }
    let (mut made, mut refused) = (0, 0);
    for entry in std::fs::read_dir(site.state().join("spool/ready")).unwrap() {
        let core = entry.unwrap().path().join("core.zst");
        if !core.exists() {
            continue;
        }
        let (code, stderr, lean) = thin(&site, &limits, &core);
        assert!(
            !stderr.contains("panicked") && stderr.lines().count() == 1,
            "{stderr}"
        );
        match code {
            Some(0) => {
                assert!(
                    stderr.starts_with("{\"core_bytes\":") && !lean.is_empty(),
                    "{stderr}"
                );
                made += 1;
            }
            Some(1) => refused += 1,
            other => panic!("{other:?}: {stderr}"),
        }
    }
    assert!(made > 5 && refused > 5, "{made} made, {refused} refused");

    let garbage = site.path().join("garbage");
    for bytes in [&b""[..], b"not zstd", &[0xff; 5000]] {
        std::fs::write(&garbage, bytes).unwrap();
        let (code, stderr, lean) = thin(&site, &limits, &garbage);
        assert_eq!(
            (code, stderr.lines().count(), lean.len()),
            (Some(1), 1, 0),
            "{stderr}"
        );
    }
    for arguments in [
        &[][..],
        &["1"],
        &["1", "2", "3", "x"],
        &["1", "2", "3", "4", "5"],
    ] {
        let (code, stderr, _) = thin(&site, arguments, &garbage);
        assert!(code == Some(1) && stderr.starts_with("usage: "), "{stderr}");
    }
}
