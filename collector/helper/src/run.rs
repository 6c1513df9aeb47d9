//! The whole helper, in the order it must happen.
//!
//! Before the record is on disk nothing may take long or fail the whole; before the release every
//! instruction is time the dead container cannot restart in; after it, we are in no hurry.

use crate::bounded::first_line;
use crate::capture::elf::{CoreHead, read_core_head};
use crate::capture::modules::{self, OpenFile};
use crate::capture::stream::{self, CoreOutcome};
use crate::container::{self, Candidate};
use crate::docker::{DockerFiles, Found, Log};
use crate::id::DumpId;
use crate::kernel_args::KernelArgs;
use crate::layout::{FALLBACK_DIR, LOG};
use crate::log_tail;
use crate::policy::{self, Decision};
use crate::process::{self, Pinned};
use crate::record::{
    Capture, CaptureState, ClaimedContainer, Container, Host, IdentitySource, Kept, Process,
    RECORD_SCHEMA, Record,
};
use crate::spool::{self, Entry, Spool, SpoolError};
use crate::sys;
use crate::text::escape_bytes;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Runs the helper with `args` (without the program's name); `started` is its first instruction.
///
/// Must be called before there is a second thread. Whatever goes wrong ends in one line of the
/// kernel's log, because nobody sees the helper's output.
pub fn at_death(args: &[OsString], started: Instant) -> ExitCode {
    clean_up();
    // A defect of ours must not take the crash with it: the record written so far stays, and the
    // daemon finds it as soon as our lock is gone.
    let collected = std::panic::catch_unwind(|| collect(args, started));
    let trouble = match collected {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => chain(&error),
        Err(_) => "a defect of the helper ended it early, the dump is incomplete".to_owned(),
    };
    tell_kernel_log(&trouble, args);
    ExitCode::FAILURE
}

fn collect(args: &[OsString], started: Instant) -> Result<(), SpoolError> {
    let args = KernelArgs::parse(args);

    // Hold on to the process, then read what /proc and the disk know about it.
    let inherited = args.pidfd.and_then(sys::inherited_pidfd);
    let inherited = inherited.filter(|fd| process::pid_of(fd).is_some());
    let has_pidfd = inherited.is_some();
    let mut problems = args.problems.clone();
    let pinned = Pinned::new(args.facts.pid, inherited)
        .map_err(|error| problems.push(chain(&error)))
        .ok();
    let mut record = new_record(&args, has_pidfd, problems);
    let log = pinned
        .as_ref()
        .and_then(|pinned| identify(pinned, &mut record));

    // From here the crash cannot be lost.
    let Place { entry, writable } = first_record(&args.state_dir, &mut record)?;

    // Its memory, and descriptors of the files it had mapped.
    let mut core = rustix::stdio::stdin();
    stream::enlarge_pipe(core);
    let head = read_core_head(&mut PipeReader(&mut core));
    let files = pinned
        .as_ref()
        .map(|pinned| open_files(pinned, &mut record))
        .unwrap_or_default();
    let core_file = if writable {
        capture_memory(&head, &mut PipeReader(&mut core), &entry, &mut record)
    } else {
        record.capture.reason = Some("only the record could be written".to_owned());
        record.capture.core_size = head.size;
        None
    };

    // The container may restart now.
    release();
    record.capture.hold_us = u64::try_from(started.elapsed().as_micros()).ok();
    drop(pinned);

    // What is left needs only the descriptors still held.
    step_back();
    if let Some(core_file) = core_file {
        keep_core(&core_file, &entry, &mut record.capture);
    }
    if writable {
        record.modules = modules::keep(files, &entry, policy::RESERVE / 2);
        keep_log(log, &entry, &mut record);
    }
    record.capture.state = CaptureState::Complete;
    last_record(&entry, &mut record)?;
    entry.finish()
}

/// Leaves nothing of our caller's surroundings: descriptors, environment, limits.
fn clean_up() {
    sys::clear_environment();
    // The kernel closes 1 and 2 (fs/coredump.c, `umh_coredump_setup`): the next file opened would
    // become our standard output. (std does the same before main; this does not rely on it.)
    if let Ok(null) = null() {
        let closed = |fd| rustix::io::fcntl_getfd(fd).is_err();
        let _ = closed(rustix::stdio::stdin()).then(|| rustix::stdio::dup2_stdin(&null));
        let _ = closed(rustix::stdio::stdout()).then(|| rustix::stdio::dup2_stdout(&null));
        let _ = closed(rustix::stdio::stderr()).then(|| rustix::stdio::dup2_stderr(&null));
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // None of these is worth losing a crash for.
    let _ = rustix::process::chdir("/");
    // A limit of exactly 1 is the kernel's mark of a helper, which it does not dump to a helper
    // again; 0 would not stop it, because a pipe has no limit.
    let _ = rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(1),
            maximum: Some(1),
        },
    );
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let descriptors = u64::try_from(modules::MAX_FILES)
        .unwrap_or(4096)
        .saturating_mul(2);
    let limit = Rlimit {
        current: Some(descriptors),
        maximum: Some(descriptors),
    };
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

/// Lets everybody else go first, now that nobody waits for us.
fn step_back() {
    let _ = rustix::process::setpriority_process(None, 10);
    sys::lower_io_priority();
}

fn null() -> rustix::io::Result<rustix::fd::OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

fn new_record(args: &KernelArgs, has_pidfd: bool, problems: Vec<String>) -> Record {
    let mut facts = args.facts.clone();
    facts.pidfd = has_pidfd;
    Record {
        schema: RECORD_SCHEMA,
        id: new_id(),
        captured_at_ms: now_ms(),
        signal: args.signal.clone(),
        process: Process {
            pid: facts.pid,
            ..Process::default()
        },
        kernel: facts,
        container: None,
        unit: None,
        host: host(),
        capture: Capture {
            state: CaptureState::Interrupted,
            kept: Kept::None,
            reason: Some("the helper was stopped before the memory was kept".to_owned()),
            hold_us: None,
            core_size: None,
            bytes_seen: 0,
            bytes_kept: 0,
            bytes_stored: 0,
            truncated: false,
        },
        modules: Vec::new(),
        problems,
    }
}

fn new_id() -> DumpId {
    let mut bytes = [0; 16];
    // Only before the pool is ready, early at boot, does this fail; time and pid are then the
    // best there is, and a clash only fails the making of the entry.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) != Ok(16) {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos());
        bytes = (time ^ (u128::from(std::process::id()) << 96)).to_be_bytes();
    }
    DumpId::from_bytes(bytes)
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn host() -> Host {
    let name = rustix::system::uname();
    Host {
        hostname: escape_bytes(name.nodename().to_bytes(), 256),
        machine_id: first_line("/etc/machine-id"),
        boot_id: first_line("/proc/sys/kernel/random/boot_id"),
        kernel: escape_bytes(name.release().to_bytes(), 256),
        arch: escape_bytes(name.machine().to_bytes(), 64),
        aground: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Fills in process and container; returns the container's log.
fn identify(pinned: &Pinned, record: &mut Record) -> Option<Log> {
    record.process = process::snapshot(pinned, &mut record.problems);
    let cgroup = pinned.cgroup().unwrap_or_default();
    if !pinned.is_still_there() {
        record
            .problems
            .push("the process ended while it was read: some facts may be missing".to_owned());
    }
    let placement = container::placement(&cgroup);
    record.unit = placement.unit;
    let docker = DockerFiles::of_host(Path::new("/"));
    let (container, found) = trusted(&placement.candidates, |id| docker.find(id))?;
    record.container = Some(container);
    let found = found?;
    record.problems.extend(found.problems);
    found.log
}

/// The outermost container that the disk confirms, or else the outermost named. Those further in
/// could be made up by the one that holds them, so they are only listed.
fn trusted(
    candidates: &[Candidate],
    find: impl Fn(&str) -> Option<Found>,
) -> Option<(Container, Option<Found>)> {
    let confirmed = candidates
        .iter()
        .enumerate()
        .find_map(|(at, candidate)| Some((at, find(&candidate.id)?)));
    let (at, found) = confirmed.map_or((0, None), |(at, found)| (at, Some(found)));
    let candidate = candidates.get(at)?;
    let inner = candidates.iter().skip(at.saturating_add(1));
    let claimed = |inner: &Candidate| ClaimedContainer {
        runtime: inner.runtime.to_owned(),
        id: inner.id.clone(),
    };
    let identity = found
        .as_ref()
        .map(|found| found.container.clone())
        .unwrap_or_default();
    let (runtime, source) = match &found {
        Some(_) => ("docker", IdentitySource::CgroupAndDisk),
        None => (candidate.runtime, IdentitySource::Cgroup),
    };
    let container = Container {
        runtime: runtime.to_owned(),
        id: candidate.id.clone(),
        pod_uid: candidate.pod_uid.clone(),
        source,
        chain: inner.map(claimed).collect(),
        ..identity
    };
    Some((container, found))
}

/// Where the record went, and whether there is room for more than that.
struct Place {
    entry: Entry,
    writable: bool,
}

/// Writes the first record into the state directory, or where else it can be written.
fn first_record(state_dir: &Path, record: &mut Record) -> Result<Place, SpoolError> {
    let error = match begin(state_dir, record) {
        Ok(entry) => {
            return Ok(Place {
                entry,
                writable: true,
            });
        }
        Err(error) => error,
    };
    record.problems.push(format!(
        "the state directory could not be used: {}",
        chain(&error)
    ));
    let fallback = Path::new(FALLBACK_DIR);
    spool::make_like(fallback, state_dir);
    begin(fallback, record)
        .map(|entry| Place {
            entry,
            writable: false,
        })
        .map_err(|_| error)
}

fn begin(directory: &Path, record: &Record) -> Result<Entry, SpoolError> {
    let entry = Spool::open(directory)?.new_entry(&record.id)?;
    match entry.write_record(record) {
        Ok(()) => Ok(entry),
        Err(error) => {
            entry.abandon();
            Err(error)
        }
    }
}

fn open_files(pinned: &Pinned, record: &mut Record) -> Vec<OpenFile> {
    match pinned.maps() {
        Ok(maps) => modules::open_mapped(pinned.proc(), &maps, &mut record.problems),
        Err(error) => {
            record
                .problems
                .push(format!("the mapped files are not known: {error}"));
            Vec::new()
        }
    }
}

/// Reads from standard input without a buffer of its own.
struct PipeReader<'a>(&'a mut rustix::fd::BorrowedFd<'static>);

impl Read for PipeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(*self.0, buffer)?)
    }
}

/// Stores the memory by policy; returns the file when it holds some.
fn capture_memory(
    head: &CoreHead,
    stream: &mut impl Read,
    entry: &Entry,
    record: &mut Record,
) -> Option<File> {
    record.problems.extend(head.problem.clone());
    let capture = &mut record.capture;
    capture.core_size = head.size;
    capture.bytes_seen = length(&head.bytes);
    let budget = match policy::decide(head.size, entry.free_bytes()) {
        Decision::Full { budget } if !head.bytes.is_empty() => budget,
        Decision::Full { .. } => {
            capture.reason = Some("the core stream was empty".to_owned());
            return None;
        }
        Decision::None { reason } => {
            capture.reason = Some(reason);
            return None;
        }
    };
    let mut file = match entry.new_core() {
        Ok(file) => file,
        Err(error) => {
            capture.reason = Some(format!("the core's file could not be made: {error}"));
            return None;
        }
    };
    let outcome = stream::store(head, stream, &mut file, budget, stream::workers());
    capture.reason = describe(&outcome, capture);
    Some(file)
}

/// Makes the core last under its name, unless nothing of it was kept. Syncing gigabytes takes
/// seconds, so that this is for after the release.
fn keep_core(file: &File, entry: &Entry, capture: &mut Capture) {
    if capture.kept == Kept::None {
        entry.discard_core();
    } else if let Err(error) = entry.keep_core(file) {
        give_core_up(entry, capture, format!("writing the core failed: {error}"));
    }
}

fn give_core_up(entry: &Entry, capture: &mut Capture, reason: String) {
    entry.discard_core();
    (capture.kept, capture.bytes_kept, capture.bytes_stored) = (Kept::None, 0, 0);
    capture.reason = Some(reason);
}

/// Writes down what was kept; returns why it is not everything.
fn describe(outcome: &CoreOutcome, capture: &mut Capture) -> Option<String> {
    capture.bytes_seen = outcome.seen;
    capture.bytes_kept = outcome.stored.raw;
    capture.bytes_stored = outcome.stored.file;
    capture.truncated = capture.core_size.is_some_and(|size| outcome.seen < size);
    let whole =
        outcome.stopped.is_none() && outcome.stored.raw == outcome.seen && !capture.truncated;
    capture.kept = match outcome.stored.raw {
        0 => Kept::None,
        _ if whole => Kept::Full,
        _ => Kept::Partial,
    };
    let of = capture
        .core_size
        .map(|size| format!(" of {size}"))
        .unwrap_or_default();
    let cut = || format!("the core ended early: {}{of} bytes arrived", outcome.seen);
    let stopped = outcome
        .stopped
        .as_ref()
        .map(|why| format!("{why}; {}{of} bytes were kept", outcome.stored.raw));
    stopped.or_else(|| capture.truncated.then(cut))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Closes the pipe. The kernel, which waits for its last reader, lets go of the process.
fn release() {
    if let Ok(null) = null() {
        let _ = rustix::stdio::dup2_stdin(null);
    }
}

fn keep_log(log: Option<Log>, entry: &Entry, record: &mut Record) {
    let Some(mut log) = log else { return };
    let kept = tail(&mut log).and_then(|text| match text.as_bytes() {
        [] => Ok(()),
        bytes => entry.write_file(LOG, bytes),
    });
    if let Err(error) = kept {
        record
            .problems
            .push(format!("the container's log could not be kept: {error}"));
    }
}

/// The log's last lines. The engine copies a container's output into its log from a pipe: a
/// process that dies right after its first words is waited for a little.
fn tail(log: &mut Log) -> io::Result<String> {
    const TRIES: u32 = 8;
    for _ in 1..TRIES {
        match log.file().and_then(log_tail::last_lines) {
            Ok(text) if !text.is_empty() => return Ok(text),
            _ => std::thread::sleep(Duration::from_millis(25)),
        }
    }
    match log.file().and_then(log_tail::last_lines) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text,
    }
}

/// Writes the final record, giving up modules and then memory if the disk has no room for it.
fn last_record(entry: &Entry, record: &mut Record) -> Result<(), SpoolError> {
    let Err(first) = entry.write_record(record) else {
        return Ok(());
    };
    entry.discard_modules();
    for module in &mut record.modules {
        module.sha256 = None;
        module
            .missing
            .get_or_insert_with(|| "it gave way to the record on a full disk".to_owned());
    }
    if entry.write_record(record).is_ok() {
        return Ok(());
    }
    give_core_up(
        entry,
        &mut record.capture,
        format!("the core gave way to the record: {}", chain(&first)),
    );
    // The first record is still there should this fail as well.
    entry.write_record(record)
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// One bounded line to the kernel's log, without anything that could pass for another line.
fn tell_kernel_log(trouble: &str, args: &[OsString]) {
    let line = kernel_log_line(trouble, args);
    let flags =
        OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK;
    let log = rustix::fs::open("/dev/kmsg", flags, Mode::empty());
    let _ = log.map(|log| File::from(log).write_all(line.as_bytes()));
    // For whoever runs the helper by hand. Below the kernel this is /dev/null.
    let _ = writeln!(io::stderr(), "{}", line.trim_start_matches("<3>"));
}

fn kernel_log_line(trouble: &str, args: &[OsString]) -> String {
    let args: Vec<String> = args
        .iter()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let text = format!("{trouble} (arguments: {})", args.join(" "));
    let plain: String = text
        .chars()
        .map(|c| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            }
        })
        .take(400)
        .collect();
    format!("<3>aground-collect: {plain}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn candidate(id: char) -> Candidate {
        Candidate {
            runtime: "containerd",
            id: id.to_string().repeat(64),
            pod_uid: None,
        }
    }

    fn on_disk(known: &'static str) -> impl Fn(&str) -> Option<Found> {
        move |id| {
            let container = Container {
                id: id.to_owned(),
                name: Some("web".to_owned()),
                ..Container::default()
            };
            id.starts_with(known).then_some(Found {
                container,
                log: None,
                problems: vec![],
            })
        }
    }

    #[test]
    fn the_outermost_confirmed_container_is_trusted() {
        let both = [candidate('a'), candidate('b')];
        let (container, _) = trusted(&both, on_disk("a")).unwrap();
        assert_eq!(
            (container.id.chars().next(), container.runtime.as_str()),
            (Some('a'), "docker")
        );
        assert_eq!(container.source, IdentitySource::CgroupAndDisk);
        assert_eq!(container.chain.len(), 1);
        // A level above that is only shaped like a container does not hide the real one.
        let (container, _) = trusted(&both, on_disk("b")).unwrap();
        assert_eq!(
            (container.id.chars().next(), container.chain.len()),
            (Some('b'), 0)
        );
        let (container, _) = trusted(&both, on_disk("x")).unwrap();
        assert_eq!(
            (container.id.chars().next(), container.source),
            (Some('a'), IdentitySource::Cgroup)
        );
        assert!(trusted(&[], on_disk("a")).is_none());
    }

    #[test]
    fn the_kernel_log_gets_one_bounded_line() {
        let args: Vec<OsString> = [
            "/s".to_owned(),
            "1\n<0>panic\u{1b}[2J".to_owned(),
            "x".repeat(9999),
        ]
        .map(OsString::from)
        .into();
        let line = kernel_log_line("no space", &args);
        assert!(
            line.starts_with("<3>aground-collect: no space (arguments: 1?<0>panic?[2J x"),
            "{line}"
        );
        assert!(line.len() < 450);
    }

    #[test]
    fn what_is_missing_is_described() {
        let capture = Capture {
            state: CaptureState::Interrupted,
            kept: Kept::None,
            reason: None,
            hold_us: None,
            core_size: Some(100),
            bytes_seen: 0,
            bytes_kept: 0,
            bytes_stored: 0,
            truncated: false,
        };
        let check = |seen, raw, stopped: Option<&str>, kept, truncated, reason: Option<&str>| {
            let mut capture = capture.clone();
            let stored = crate::capture::seekable::Stored { raw, file: 9 };
            let said = describe(
                &CoreOutcome {
                    seen,
                    stored,
                    stopped: stopped.map(str::to_owned),
                },
                &mut capture,
            );
            assert_eq!(
                (capture.kept, capture.truncated, said.as_deref()),
                (kept, truncated, reason)
            );
        };
        check(100, 100, None, Kept::Full, false, None);
        check(
            40,
            40,
            None,
            Kept::Partial,
            true,
            Some("the core ended early: 40 of 100 bytes arrived"),
        );
        check(
            90,
            60,
            Some("no space"),
            Kept::Partial,
            true,
            Some("no space; 60 of 100 bytes were kept"),
        );
        check(
            90,
            0,
            Some("no space"),
            Kept::None,
            true,
            Some("no space; 0 of 100 bytes were kept"),
        );
    }
}
