//! Runs the real helper on real processes: what the kernel would give it comes from here.
//!
//! The cores are written by hand, without the helper's parser. Needs root, as the helper does.
#![allow(clippy::unwrap_used)]

use aground_helper::capture::elf::CoreHead;
use aground_helper::capture::stream;
use aground_helper::layout::{CORE, INCOMING, READY, fallback_dir};
use aground_helper::record::{CaptureState, Kept, Record};
use aground_helper::spool;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A process to be called dead; killed when dropped.
struct Victim(Child);

impl Victim {
    fn new(program: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .arg("1000")
            .env_clear()
            .env("COLOUR", "green")
            .env("API_TOKEN", "hush");
        let victim = Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        );
        // Until it has mapped its libraries.
        while !fs::read_to_string(format!("/proc/{}/wchan", victim.0.id()))
            .unwrap()
            .contains("nanosleep")
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        victim
    }

    fn sleep() -> Self {
        Self::new(Path::new("/bin/sleep"))
    }

    /// Arguments as the kernel gives them.
    fn args(&self, state: &Path, pidfd: &str) -> Vec<String> {
        let pid = self.0.id();
        let line = format!(
            "{} {pid} {pid} 1 0 0 11 1700000000 0 1 {pidfd}",
            state.display()
        );
        line.split(' ').map(str::to_owned).collect()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A 64-bit core with one note segment and one of memory, `length` bytes in all.
fn core(length: usize) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
    for word in [0u64, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    for (kind, offset, size) in [(4u32, 176u64, 24u64), (1, 4096, length as u64 - 4096)] {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(6u32.to_le_bytes());
        for word in [offset, 0x1000, 0, size, size, 4096] {
            bytes.extend(word.to_le_bytes());
        }
    }
    let mut state = 7u64;
    while bytes.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend(&(state >> 32).to_le_bytes()[..4]);
    }
    bytes.truncate(length);
    bytes
}

fn helper() -> Command {
    Command::new(env!("CARGO_BIN_EXE_aground-collect"))
}

/// Runs the helper with `stdin` as the core.
fn run(args: &[String], stdin: &[u8]) -> Output {
    let mut command = helper();
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let core = stdin.to_vec();
    // The helper may close the pipe early.
    let feeder = std::thread::spawn(move || drop(pipe.write_all(&core)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

fn state() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The only ready entry: its record and its directory.
#[track_caller]
fn the_dump(state: &Path) -> (Record, PathBuf) {
    let mut entries = spool::ready_entries(state).unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(fs::read_dir(state.join(INCOMING)).unwrap().count(), 0);
    let entry = entries.remove(0);
    (entry.read_record().unwrap(), entry.path)
}

#[track_caller]
fn collected(args: &[String], stdin: &[u8], state: &Path) -> (Record, PathBuf) {
    let output = run(args, stdin);
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    the_dump(state)
}

fn unpacked(entry: &Path) -> Vec<u8> {
    zstd::decode_all(File::open(entry.join(CORE)).unwrap()).unwrap()
}

#[test]
fn a_crash_is_collected_whole() {
    let (state, victim, core) = (state(), Victim::sleep(), core(5_000_001));
    let (record, entry) = collected(&victim.args(state.path(), ""), &core, state.path());
    assert_eq!(record.problems, Vec::<String>::new());
    assert_eq!(record.signal.name, "SIGSEGV");
    assert_eq!(record.process.name, "sleep");
    assert_eq!(record.process.args, ["/bin/sleep", "1000"]);
    assert_eq!(
        record.process.environment,
        ["API_TOKEN=[redacted]", "COLOUR=green"]
    );
    let capture = record.capture;
    assert_eq!(
        (capture.state, capture.kept, capture.reason),
        (CaptureState::Complete, Kept::Full, None)
    );
    assert_eq!(
        (capture.core_size, capture.bytes_seen),
        (Some(5_000_001), 5_000_001)
    );
    assert_eq!(
        capture.bytes_stored,
        fs::metadata(entry.join(CORE)).unwrap().len()
    );
    assert!(capture.hold_us.unwrap() > 0);
    assert!(unpacked(&entry) == core);
    let tested = Command::new("zstd")
        .arg("-tq")
        .arg(entry.join(CORE))
        .status()
        .unwrap();
    assert!(tested.success());
    let mut decoder = zeekstd::Decoder::new(File::open(entry.join(CORE)).unwrap()).unwrap();
    decoder.set_offset(4_000_000).unwrap();
    let mut bytes = [0; 16];
    decoder.decompress(&mut bytes).unwrap();
    assert_eq!(bytes, core[4_000_000..4_000_016]);
}

fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

#[test]
fn mapped_files_are_taken_even_when_deleted() {
    let (state, bin) = (state(), tempfile::tempdir().unwrap());
    let program = bin.path().join("my sleep");
    fs::copy("/bin/sleep", &program).unwrap();
    let hash = sha256sum(&program);
    let victim = Victim::new(&program);
    fs::remove_file(&program).unwrap();
    let (record, entry) = collected(&victim.args(state.path(), ""), &core(9000), state.path());
    let module = record
        .modules
        .iter()
        .find(|module| module.path == program.to_str().unwrap())
        .unwrap();
    assert_eq!(
        (module.sha256.as_deref(), &module.missing),
        (Some(hash.as_str()), &None)
    );
    assert_eq!(sha256sum(&entry.join("modules").join(&hash)), hash);
    let notes = Command::new("readelf")
        .arg("-n")
        .arg("/bin/sleep")
        .output()
        .unwrap();
    let notes = String::from_utf8(notes.stdout).unwrap();
    assert!(
        notes.contains(module.build_id.as_deref().unwrap()),
        "{notes}"
    );
    let maps = fs::read_to_string(format!("/proc/{}/maps", victim.0.id())).unwrap();
    assert!(maps.starts_with(&format!("{:x}-", module.base)), "{maps}");
    assert!(
        record
            .modules
            .iter()
            .any(|module| module.path.contains("libc.so"))
    );
    // What the store has is not copied again.
    let known = state.path().join("modules").join(&hash[..2]);
    fs::create_dir_all(&known).unwrap();
    fs::rename(entry.join("modules").join(&hash), known.join(&hash)).unwrap();
    fs::remove_dir_all(&entry).unwrap();
    let (record, entry) = collected(&victim.args(state.path(), ""), &core(9000), state.path());
    assert!(
        record
            .modules
            .iter()
            .any(|module| module.sha256.as_deref() == Some(&hash))
    );
    assert!(!entry.join("modules").join(&hash).exists());
}

#[test]
fn the_kernels_descriptors_are_coped_with() {
    let (state, victim) = (state(), Victim::sleep());
    let pid = rustix::process::Pid::from_raw(i32::try_from(victim.0.id()).unwrap()).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    rustix::io::fcntl_setfd(&pidfd, rustix::io::FdFlags::empty()).unwrap();
    let args = victim.args(state.path(), &pidfd.as_raw_fd().to_string());
    // Standard output and error are closed, as the kernel leaves them.
    let mut command = Command::new("/bin/sh");
    command
        .args([
            "-c",
            "exec \"$@\" 1>&- 2>&-",
            "sh",
            env!("CARGO_BIN_EXE_aground-collect"),
        ])
        .args(args);
    let core_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(core_file.path(), core(20_000)).unwrap();
    assert!(
        command
            .stdin(File::open(core_file.path()).unwrap())
            .status()
            .unwrap()
            .success()
    );
    let (record, entry) = the_dump(state.path());
    assert!(record.kernel.pidfd);
    assert_eq!(record.problems, Vec::<String>::new());
    assert!(unpacked(&entry) == core(20_000));
}

#[test]
fn a_pidfd_of_another_process_is_not_mixed_up() {
    let (state, victim, other) = (state(), Victim::sleep(), Victim::sleep());
    let pid = rustix::process::Pid::from_raw(i32::try_from(other.0.id()).unwrap()).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    rustix::io::fcntl_setfd(&pidfd, rustix::io::FdFlags::empty()).unwrap();
    let args = victim.args(state.path(), &pidfd.as_raw_fd().to_string());
    let (record, _) = collected(&args, &core(9000), state.path());
    assert_eq!(
        (record.process.name.as_str(), record.process.args.len()),
        ("", 0)
    );
    assert!(
        record
            .problems
            .iter()
            .any(|problem| problem.contains("has ended")),
        "{:?}",
        record.problems
    );
}

#[test]
fn a_vanished_process_leaves_what_the_arguments_say() {
    let state = state();
    let args = {
        let victim = Victim::sleep();
        victim.args(state.path(), "")
    };
    let (record, entry) = collected(&args, &core(9000), state.path());
    assert_eq!(record.kernel.pid.to_string(), args[1]);
    assert_eq!((record.kernel.uid, record.kernel.gid), (Some(0), Some(0)));
    assert_eq!(record.problems.len(), 1, "{:?}", record.problems);
    assert_eq!(record.capture.kept, Kept::Full);
    assert!(unpacked(&entry) == core(9000));
}

#[test]
fn missing_and_absurd_arguments_leave_a_record() {
    let lines = [
        "",
        "x",
        "-1 -1 -1",
        "4194305 0 0 0 0 0 0 0 0 0",
        "1\n2 \u{202e} %s %t",
        "99999999999999999999 1 1 1",
    ];
    for line in lines {
        let state = state();
        let mut args = vec![state.path().to_str().unwrap().to_owned()];
        args.extend(
            line.split(' ')
                .filter(|word| !word.is_empty())
                .map(str::to_owned),
        );
        let (record, _) = collected(&args, &core(9000), state.path());
        assert_eq!(
            (record.kernel.pid, record.capture.kept),
            (0, Kept::Full),
            "{line}"
        );
        assert!(record.problems.len() >= 2, "{line}: {:?}", record.problems);
    }
}

#[test]
fn a_person_is_told_in_one_line() {
    let output = helper().stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("core_pattern"));
}

#[test]
fn damaged_cores_are_recorded_as_what_they_are() {
    let whole = core(3_000_000);
    let victim = Victim::sleep();
    let cases: [(&[u8], Kept, bool, &str); 7] = [
        (b"", Kept::None, false, "empty"),
        (b"\x7f", Kept::Partial, false, "not an ELF core"),
        (
            b"not a core at all, but long enough for a header of an ELF file, one would think",
            Kept::Partial,
            false,
            "not an ELF",
        ),
        (&whole[..100], Kept::Partial, false, "within its headers"),
        (
            &whole[..176],
            Kept::Partial,
            true,
            "176 of 3000000 bytes arrived",
        ),
        (
            &whole[..2_999_999],
            Kept::Partial,
            true,
            "2999999 of 3000000 bytes arrived",
        ),
        (&[&whole[..], b"more"].concat(), Kept::Full, false, ""),
    ];
    for (stream, kept, truncated, says) in cases {
        let state = state();
        let (record, entry) = collected(&victim.args(state.path(), ""), stream, state.path());
        let capture = &record.capture;
        assert_eq!(
            (capture.kept, capture.truncated),
            (kept, truncated),
            "{says}: {capture:?}"
        );
        let said = format!("{:?} {:?}", capture.reason, record.problems);
        assert!(said.contains(says), "{says}: {said}");
        assert_eq!(capture.bytes_seen, stream.len() as u64);
        if kept == Kept::None {
            assert!(!entry.join(CORE).exists());
        } else {
            assert!(unpacked(&entry) == stream);
        }
    }
}

#[test]
fn everything_belongs_to_the_owner_of_the_state_directory() {
    let (state, victim) = (state(), Victim::sleep());
    std::os::unix::fs::chown(state.path(), Some(12345), Some(54321)).unwrap();
    let (_, entry) = collected(&victim.args(state.path(), ""), &core(9000), state.path());
    let mut pending = vec![state.path().join("spool"), entry];
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        let stat = fs::symlink_metadata(&path).unwrap();
        let mode = if stat.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(
            (stat.uid(), stat.gid(), stat.mode() & 0o7777),
            (12345, 54321, mode),
            "{}",
            path.display()
        );
        seen += 1;
        if stat.is_dir() {
            pending.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    assert!(seen > 8, "{seen}");
}

/// Where the record went when the state directory could not take it; removes it.
#[track_caller]
fn the_fallback(state: &Path) -> Record {
    let fallback = fallback_dir(state);
    let (record, _) = the_dump(&fallback);
    fs::remove_dir_all(fallback).unwrap();
    record
}

type Break = fn(&Path);

#[test]
fn an_unusable_state_directory_does_not_lose_the_record() {
    let (outside, victim) = (tempfile::tempdir().unwrap(), Victim::sleep());
    let cases: [(&str, Break); 5] = [
        ("a disk that is read-only", |state| {
            fs::create_dir_all(state).unwrap();
            let options = ["-t", "tmpfs", "-o", "ro", "none"];
            let mounted = Command::new("mount").args(options).arg(state).status();
            assert!(mounted.unwrap().success());
        }),
        ("a file in its place", |state| fs::write(state, "").unwrap()),
        ("its parent missing", |_| ()),
        ("a link in place of the spool", |state| {
            fs::create_dir_all(state).unwrap();
            symlink("/etc", state.join("spool")).unwrap();
        }),
        ("a disk without room", |state| {
            fs::create_dir_all(state).unwrap();
            let options = ["-t", "tmpfs", "-o", "size=4k", "none"];
            assert!(
                Command::new("mount")
                    .args(options)
                    .arg(state)
                    .status()
                    .unwrap()
                    .success()
            );
            let _ = fs::write(state.join("full"), [1; 8192]);
        }),
    ];
    for (what, break_it) in cases {
        let name = if what.contains("parent") {
            "no/such"
        } else {
            "state"
        };
        let state = outside.path().join(what.replace(' ', "-")).join(name);
        if name == "state" {
            fs::create_dir(state.parent().unwrap()).unwrap();
        }
        break_it(&state);
        let output = run(&victim.args(&state, ""), &core(9000));
        let _ = Command::new("umount")
            .arg(&state)
            .stderr(Stdio::null())
            .status();
        assert!(output.status.success(), "{what}: {output:?}");
        let record = the_fallback(&state);
        assert_eq!(
            (record.process.name.as_str(), record.capture.kept),
            ("sleep", Kept::None),
            "{what}"
        );
        assert_eq!(record.capture.state, CaptureState::Complete);
        assert!(
            record
                .problems
                .iter()
                .any(|problem| problem.contains("state directory")),
            "{what}"
        );
    }
    assert!(!Path::new("/etc/incoming").exists());
}

#[test]
fn a_relative_state_directory_is_not_believed() {
    let victim = Victim::sleep();
    let output = run(&victim.args(Path::new("relative"), ""), &core(9000));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(the_fallback(Path::new("relative")).process.name, "sleep");
    assert!(!Path::new("/relative").exists());
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Some(found) => return found,
            None if start.elapsed() > Duration::from_secs(20) => {
                panic!("waited in vain for {what}")
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_killed_helper_leaves_a_record_for_the_daemon() {
    let (state, victim) = (state(), Victim::sleep());
    let mut child = helper()
        .args(victim.args(state.path(), ""))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let sent = core(9_000_000);
    pipe.write_all(&sent[..5_000_000]).unwrap();
    let written =
        || Some(spool::incoming_entries(state.path()).ok()?.len()).filter(|count| *count > 0);
    assert_eq!(wait_for("the first record", written), 1);
    assert_eq!(
        spool::abandoned_entries(state.path()).unwrap().len(),
        0,
        "the helper is at work"
    );
    let entry = spool::incoming_entries(state.path())
        .unwrap()
        .remove(0)
        .path;
    wait_for("two frames", || {
        let core = fs::metadata(entry.join("core.zst.partial")).ok()?;
        (core.len() > 3 << 20).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(spool::abandoned_entries(state.path()).unwrap().len(), 1);
    let rescued = spool::rescue_abandoned(state.path()).unwrap();
    let (record, entry) = the_dump(state.path());
    assert_eq!(rescued, [record.id]);
    assert_eq!(record.process.name, "sleep");
    let capture = record.capture;
    assert_eq!(
        (capture.state, capture.kept),
        (CaptureState::Interrupted, Kept::Partial)
    );
    assert!(capture.truncated);
    assert!(capture.reason.unwrap().contains("stopped midway"));
    let kept = unpacked(&entry);
    assert_eq!(kept.len() as u64, capture.bytes_kept);
    assert!(
        kept.len() >= 2 << 20 && sent.starts_with(&kept),
        "{}",
        kept.len()
    );
    zeekstd::Decoder::new(File::open(entry.join(CORE)).unwrap()).unwrap();
}

#[test]
fn a_stream_that_stops_is_not_waited_for() {
    let (state, victim) = (state(), Victim::sleep());
    fs::write(state.path().join("capture.json"), r#"{"hold_max":"1s"}"#).unwrap();
    for sent in [0, 100, 3_000_000] {
        let mut child = helper()
            .args(victim.args(state.path(), ""))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(&core(9_000_000)[..sent]).unwrap();
        // The pipe stays open, and nothing more comes.
        assert!(child.wait().unwrap().success());
        drop(pipe);
        let (record, entry) = the_dump(state.path());
        let capture = record.capture;
        let said = format!("{:?} {:?}", capture.reason, record.problems);
        assert!(said.contains("may be held for 1 seconds"), "{said}");
        assert_eq!(capture.bytes_seen, sent as u64);
        if sent > 100 {
            assert_eq!((capture.kept, capture.truncated), (Kept::Partial, true));
            assert!(unpacked(&entry) == core(9_000_000)[..sent]);
        } else {
            assert_ne!(capture.kept, Kept::Full);
        }
        fs::remove_dir_all(entry).unwrap();
    }
}

#[test]
fn memory_does_not_grow_with_the_core() {
    let (state, victim) = (state(), Victim::sleep());
    let mut child = helper()
        .args(victim.args(state.path(), ""))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&core(200 << 20)).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    drop(pipe);
    assert!(child.wait().unwrap().success());
    assert!(peak < 48 * 1024, "{peak} KiB");
}

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(directory.path())
            .status();
        assert!(mount.unwrap().success());
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_fills_up_midway_leaves_a_valid_core() {
    for workers in [0, 2] {
        let disk = SmallDisk::new("7m");
        let path = disk.0.path().join("core.zst");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        let bytes = core(20 << 20);
        let outcome = stream::store(
            &CoreHead::default(),
            bytes.as_slice(),
            &mut file,
            u64::MAX,
            workers,
        );
        drop(file);
        assert!(outcome.stopped.unwrap().contains("No space left"));
        let kept = zstd::decode_all(File::open(&path).unwrap()).unwrap();
        assert_eq!(kept.len() as u64, outcome.stored.raw);
        assert!(
            kept.len() >= 4 << 20 && bytes.starts_with(&kept),
            "{}",
            kept.len()
        );
        assert_eq!(fs::metadata(&path).unwrap().len(), outcome.stored.file);
    }
}

#[test]
fn a_nearly_full_disk_gets_the_record_alone() {
    let (disk, victim) = (SmallDisk::new("8m"), Victim::sleep());
    let (record, entry) = collected(
        &victim.args(disk.0.path(), ""),
        &core(30_000),
        disk.0.path(),
    );
    assert_eq!(record.capture.kept, Kept::None);
    assert_eq!(record.capture.core_size, Some(30_000));
    assert!(record.capture.reason.unwrap().contains("reserve"));
    assert!(!entry.join(CORE).exists());
    assert!(
        !record.modules.is_empty() && record.modules.iter().all(|module| module.missing.is_some())
    );
}

#[test]
fn records_of_others_are_read_with_care() {
    let state = state();
    let id = "ab".repeat(16);
    let entry = state.path().join(READY).join(&id);
    fs::create_dir_all(&entry).unwrap();
    fs::create_dir_all(state.path().join(READY).join("not-an-id")).unwrap();
    symlink("/etc", state.path().join(READY).join("cd".repeat(16))).unwrap();
    let only = || {
        let mut entries = spool::ready_entries(state.path()).unwrap();
        assert_eq!(entries.len(), 1);
        entries.remove(0).read_record()
    };
    assert!(only().is_err(), "there is no record");
    symlink("/etc/passwd", entry.join("record.json")).unwrap();
    assert!(matches!(only(), Err(spool::RecordError::Unreadable(_))));
    fs::remove_file(entry.join("record.json")).unwrap();
    fs::write(entry.join("record.json"), "{").unwrap();
    assert!(matches!(only(), Err(spool::RecordError::Malformed(_))));
    let file = File::create(entry.join("record.json")).unwrap();
    file.set_len(spool::MAX_RECORD as u64 + 1).unwrap();
    assert!(matches!(only(), Err(spool::RecordError::Unreadable(_))));
}

/// The state directory's user is not root; once taken over it may plant anything there.
#[test]
fn nothing_planted_in_the_state_directory_is_followed_or_waited_for() {
    type Plant = fn(&Path);
    fn fifo(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let cases: [(&str, Plant); 8] = [
        ("capture.json", fifo),
        ("capture.json", |path| fs::create_dir(path).unwrap()),
        ("capture.json", |path| symlink("/dev/zero", path).unwrap()),
        ("modules", fifo),
        ("modules", |path| symlink("/etc", path).unwrap()),
        ("spool", fifo),
        ("spool/incoming", |path| symlink("/etc", path).unwrap()),
        ("spool/ready", fifo),
    ];
    for (name, plant) in cases {
        let (state, victim) = (tempfile::tempdir_in(&elsewhere).unwrap(), Victim::sleep());
        std::os::unix::fs::chown(state.path(), Some(12345), Some(54321)).unwrap();
        let path = state.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        plant(&path);
        let output = run(&victim.args(state.path(), ""), &core(9000));
        assert!(output.status.success(), "{name}: {output:?}");
        let fallback = fallback_dir(state.path());
        let (record, _) = if fallback.exists() {
            the_dump(&fallback)
        } else {
            the_dump(state.path())
        };
        assert_eq!(record.process.name, "sleep", "{name}");
        assert_eq!(record.capture.state, CaptureState::Complete);
        let _ = fs::remove_dir_all(fallback);
    }
    let etc = fs::metadata("/etc").unwrap();
    assert_eq!((etc.uid(), etc.gid()), (0, 0));
}

/// Names that fooled other parsers of /proc (CVE-2021-25682).
#[test]
fn a_name_made_to_look_like_facts_is_only_a_name() {
    let bin = tempfile::tempdir().unwrap();
    for name in [") R 1", "a) S 1 (b", "Uid:\t0\t0", "x\nPPid:\t1"] {
        let (state, program) = (state(), bin.path().join(name));
        fs::copy("/bin/sleep", &program).unwrap();
        let victim = Victim::new(&program);
        let (record, _) = collected(&victim.args(state.path(), ""), &core(9000), state.path());
        let process = record.process;
        assert_eq!(process.parent_pid, i32::try_from(std::process::id()).ok());
        assert_eq!((process.uids, process.threads), (Some([0; 4]), Some(1)));
        assert!(process.started_at_ms.unwrap() > 1_600_000_000_000);
        assert!(process.name.starts_with(&name[..1]), "{}", process.name);
    }
}
