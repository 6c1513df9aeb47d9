//! The whole helper, in the order it must happen.
//!
//! Before the record is on disk nothing may take long or fail the whole; before the release every
//! instruction is time the dead container cannot restart in; after it, we are in no hurry.

use crate::access;
use crate::arrival::{Arrival, CONNECTION};
use crate::bounded::first_line;
use crate::capture::auxv;
use crate::capture::debug_files;
use crate::capture::elf::{CoreHead, read_core_head};
use crate::capture::memory::{self, CoreStream, DyingProcess};
use crate::capture::modules::{self, OpenFile};
use crate::capture::stream;
use crate::context;
use crate::disk::Disk;
use crate::disk::host::HostRoot;
use crate::forward::Forwarding;
use crate::governor;
use crate::id::DumpId;
use crate::identity::{self, Texts};
use crate::kernel_args::{KernelArgs, signal_named};
use crate::layout::{LOG, fallback_dir};
use crate::log_tail::Log;
use crate::policy::{self, Ceiling, Choice, Decision};
use crate::process::{self, Pinned};
use crate::record::{
    Capture, CaptureState, Forward, Host, Kept, Policy, Process, RECORD_SCHEMA, Record,
};
use crate::reserve;
use crate::settings::Settings;
use crate::spool::{self, Entry, Spool, SpoolError};
use crate::supervisor;
use crate::surroundings;
use crate::text::escape_bytes;
use crate::turn;
use crate::watchdog::Watchdog;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a connection begins with.
const CALL: &str = "taking the kernel's call";

/// Runs the helper with `args` (without the program's name); `started` is its first instruction.
///
/// Must be called before there is a second thread. Whatever goes wrong ends in one line of the
/// kernel's log, because nobody sees the helper's output.
pub fn at_death(args: &[OsString], started: Instant) -> ExitCode {
    surroundings::clean_up();
    // A defect of ours must not take the crash with it: the record written so far stays, and the
    // daemon finds it as soon as our lock is gone.
    let collected = std::panic::catch_unwind(|| collect(args, started));
    let trouble = match collected {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        // Anybody may connect; that is no crash, and no line for each in the kernel's log.
        Ok(Err(error)) if is_impostor(&error, args) => return ExitCode::FAILURE,
        Ok(Err(error)) => chain(&error),
        Err(_) => "a defect of the helper ended it early, the dump is incomplete".to_owned(),
    };
    surroundings::tell_kernel_log(&trouble, args);
    ExitCode::FAILURE
}

/// Whether who connected is no process that dumps its core.
fn is_impostor(error: &SpoolError, words: &[OsString]) -> bool {
    words.first().is_some_and(|verb| *verb == CONNECTION)
        && error.action == CALL
        && error.source.kind() == io::ErrorKind::PermissionDenied
}

fn collect(words: &[OsString], started: Instant) -> Result<(), SpoolError> {
    let mut arrival = arrived(words)?;
    // Hold on to the process, then read what /proc and the disk know about it.
    let pidfd = arrival.pidfd.take();
    let has_pidfd = pidfd.is_some();
    let args = &arrival.args;
    let mut problems = args.problems.clone();
    let pinned = Pinned::new(args.facts.pid, pidfd)
        .map_err(|error| problems.push(chain(&error)))
        .ok();
    let mut record = new_record(args, has_pidfd, problems);
    let watchdog = watch(&args.state_dir, &record, words);
    let log = pinned
        .as_ref()
        .and_then(|pinned| identify(pinned, &mut record));
    let settings = Settings::load(&args.state_dir, &mut record.problems);
    let mut problems = Vec::new();
    let choice = policy::choose(&settings, &record, &mut problems);
    record.problems.extend(problems);
    choice.redact.apply(&mut record.process);
    if let Some(pinned) = &pinned {
        record.context = context::snapshot(pinned, &record);
    }

    settle_access(&mut record, None);

    (record.capture.policy, record.capture.policy_from) = (choice.policy, choice.from.clone());

    // From here the crash cannot be lost.
    let Place {
        mut entry,
        writable,
    } = first_record(&args.state_dir, &mut record)?;
    let hold_max = choice.limits.hold_max;
    if let Some(watchdog) = &watchdog {
        watchdog.record_written(record.clone(), entry.witness(), hold_max);
    }

    let state_dir = Some(&*args.state_dir).filter(|_| writable);
    let ceiling = governed(state_dir, &settings, &choice, &mut record);
    let kept = choice.policy.max(ceiling.policy) != Policy::Record;
    let wanted = kept || choice.forward != Forward::No;
    let comes = arrival.answer(wanted).unwrap_or_else(|error| {
        let problem = format!("the kernel wrote no core: {error}");
        record.problems.push(problem);
        false
    });

    // Its memory, and descriptors of the files it had mapped.
    let mut core = CoreStream::new(started, hold_max);
    stream::enlarge_pipe(rustix::stdio::stdin());
    let mut head = CoreHead::default();
    if comes {
        head = read_core_head(&mut core);
    }
    let vector = auxv::of_core(&mut head, &mut core);
    if record.signal.number == 0 {
        record.signal = signal_named(auxv::signal_of_core(&head).unwrap_or(0));
    }
    // Who had the crashes before us may get this one, too.
    let forward = if comes { choice.forward } else { Forward::No };
    let forwarding = Forwarding::begin(forward, &args.state_dir, pinned.as_ref(), &mut record);
    let ceiling = ceiling_beside(forwarding.as_ref()).unwrap_or(ceiling);
    core.pass_on_to(forwarding, &head.bytes);
    settle_access(&mut record, vector.as_deref());
    entry.restrict_to(record.capture.access);
    let files = pinned
        .as_ref()
        .map(|pinned| open_files(pinned, &mut record))
        .unwrap_or_default();
    let root = debug_root(&settings, pinned.as_ref());
    let decision = policy::decide(&choice, &ceiling, head.size, entry.free_bytes());
    let patience = started.checked_add(hold_max / 2).unwrap_or(started);
    let (decision, _turn) = turn::wait(decision, head.size, &args.state_dir, patience);
    let mut held = Held {
        started,
        watchdog,
        pinned,
    };
    // Another handler wants the process as it lies there.
    if !core.is_passed_on() && is_small_and_whole(&decision, &head, &mut core) {
        held.let_go(&core, &mut record);
    }
    let mut process = DyingProcess {
        head: &mut head,
        stream: &mut core,
        pinned: held.pinned.as_ref(),
        deadline: started.checked_add(hold_max).unwrap_or(started),
        lean_max: choice.limits.lean_max,
    };
    let core_file = memory::capture_memory(decision, &mut process, &entry, &mut record);
    record.capture.forwarded = core.pass_on_rest();
    held.let_go(&core, &mut record);

    // What is left needs only the descriptors still held.
    surroundings::step_back();
    if let Some(core_file) = core_file {
        memory::keep_core(&core_file, &entry, &mut record.capture);
    }
    if writable {
        keep_modules(&files, root.as_ref(), &settings, &entry, &mut record);
        keep_log(log, &entry, &mut record);
    }
    record.capture.state = CaptureState::Complete;
    last_record(state_dir, &entry, &mut record)?;
    entry.finish()
}

/// What holds the process.
struct Held {
    started: Instant,
    watchdog: Option<Watchdog>,
    pinned: Option<Pinned>,
}

impl Held {
    /// Lets the process go: the container may restart now. A second time nothing happens.
    fn let_go(&mut self, core: &CoreStream, record: &mut Record) {
        if record.capture.hold_us.is_some() {
            return;
        }
        surroundings::release();
        if let Some(pinned) = self.pinned.as_ref().filter(|_| core.timed_out()) {
            pinned.end_dump();
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.call_off();
        }
        record.capture.hold_us = u64::try_from(self.started.elapsed().as_micros()).ok();
        self.pinned = None;
    }
}

/// Whether the core is small, to be kept whole, and all of it is in memory now.
fn is_small_and_whole(decision: &Decision, head: &CoreHead, core: &mut CoreStream) -> bool {
    let begun = u64::try_from(head.bytes.len()).unwrap_or(u64::MAX);
    let left = head.size.and_then(|size| size.checked_sub(begun));
    let small = left.filter(|left| *left <= turn::SMALL);
    small.is_some_and(|left| matches!(decision, Decision::Full { .. }) && core.read_ahead(left))
}

/// The crash by whichever way it comes.
fn arrived(words: &[OsString]) -> Result<Arrival, SpoolError> {
    match words {
        [verb, state_dir, ..] if *verb == CONNECTION => Arrival::by_socket(state_dir.into())
            .map_err(|source| SpoolError {
                action: CALL,
                source,
            }),
        words => Ok(Arrival::by_pipe(words)),
    }
}

/// Should nothing go on, leaves a record of what the kernel's arguments say.
fn watch(state_dir: &Path, record: &Record, words: &[OsString]) -> Option<Watchdog> {
    let state_dir = state_dir.to_owned();
    let leave = Box::new(move |record: &mut Record| {
        // Nobody is left to be told.
        let _ = first_record(&state_dir, record).and_then(|place| place.entry.finish());
    });
    Watchdog::start(record.clone(), words, leave)
}

/// Nothing is left for us to keep when another handler has the memory for itself.
fn ceiling_beside(forwarding: Option<&Forwarding>) -> Option<Ceiling> {
    let other = forwarding?.instead()?;
    Some(Ceiling {
        policy: Policy::Record,
        reason: format!("the memory went to {other}"),
    })
}

/// What the governor leaves of what was asked for, where there is a place for it.
fn governed(
    state_dir: Option<&Path>,
    settings: &Settings,
    choice: &Choice,
    record: &mut Record,
) -> Ceiling {
    let Some(state_dir) = state_dir else {
        return Ceiling {
            policy: Policy::Record,
            reason: "only the record could be written".to_owned(),
        };
    };
    let asked = choice.policy;
    let consulted = governor::consult(state_dir, record, asked, &settings.governor, now_ms());
    consulted.unwrap_or_else(|error| {
        record
            .problems
            .push(format!("the governor could not be asked: {error}"));
        Ceiling {
            policy: Policy::Lean,
            reason: "without the governor's word no core is kept whole".to_owned(),
        }
    })
}

fn settle_access(record: &mut Record, auxv: Option<&[u8]>) {
    access::settle(
        &mut record.capture,
        &record.kernel,
        &mut record.process,
        auxv,
    );
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
        host: host(),
        capture: Capture {
            reason: Some("the helper was stopped before the memory was kept".to_owned()),
            ..Capture::default()
        },
        problems,
        ..Record::default()
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
    let texts = Texts {
        cgroup: pinned.cgroup().unwrap_or_default(),
        mountinfo: pinned.mountinfo().unwrap_or_default(),
        uid: record.process.uids.map(|[real, ..]| real),
        supervisor: supervisor::of(record.process.pid),
    };
    if !pinned.is_still_there() {
        record
            .problems
            .push("the process ended while it was read: some facts may be missing".to_owned());
    }
    let disk = HostRoot::at(Path::new("/"));
    let disk = disk.map(|root| Disk::new(root, texts.supervisor.as_ref()));
    let identity = identity::identify(&texts, disk.as_ref().ok());
    record.container = identity.container;
    record.unit = identity.unit;
    record.problems.extend(identity.problems);
    identity.log
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
    let fallback = fallback_dir(state_dir);
    spool::make_like(&fallback, state_dir);
    begin(&fallback, record)
        .map(|entry| Place {
            entry,
            writable: false,
        })
        .map_err(|_| error)
}

/// Writes the first record; on a full disk the reserve makes room for it.
fn begin(directory: &Path, record: &Record) -> Result<Entry, SpoolError> {
    loop {
        match try_to_begin(directory, record) {
            Err(error) if error.is_full_disk() && reserve::give(directory) => {}
            done => return done,
        }
    }
}

fn try_to_begin(directory: &Path, record: &Record) -> Result<Entry, SpoolError> {
    let entry = Spool::open(directory)?.new_entry(&record.id)?;
    match entry.begin_record(record) {
        Ok(()) => Ok(entry),
        Err(error) => {
            entry.abandon();
            Err(error)
        }
    }
}

fn open_files(pinned: &Pinned, record: &mut Record) -> Vec<OpenFile> {
    match pinned.maps() {
        Ok(maps) => modules::hold_mapped(pinned.proc(), &maps, &mut record.problems),
        Err(error) => {
            record
                .problems
                .push(format!("the mapped files are not known: {error}"));
            Vec::new()
        }
    }
}

/// The process's root, where debug files are wanted of it.
fn debug_root(settings: &Settings, pinned: Option<&Pinned>) -> Option<OwnedFd> {
    let pinned = pinned.filter(|_| settings.debug_max.0 > 0)?;
    debug_files::hold_root(pinned.proc()).ok()
}

fn keep_modules(
    files: &[OpenFile],
    root: Option<&OwnedFd>,
    settings: &Settings,
    entry: &Entry,
    record: &mut Record,
) {
    let (wanted, reserve) = (record.capture.kept != Kept::None, policy::RESERVE / 2);
    record.modules = modules::keep(files, entry, reserve, wanted);
    if let Some(root) = root.filter(|_| wanted) {
        let budget = settings.debug_max.0;
        record.debug_files = debug_files::keep(root, &record.modules, entry, reserve, budget);
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
        match log.last_lines() {
            Ok(text) if !text.is_empty() => return Ok(text),
            _ => std::thread::sleep(Duration::from_millis(25)),
        }
    }
    log.last_lines()
}

/// Writes the final record, giving up modules, then memory, and at last the reserve if the disk
/// has no room for it.
fn last_record(
    reserve_of: Option<&Path>,
    entry: &Entry,
    record: &mut Record,
) -> Result<(), SpoolError> {
    let Err(first) = entry.write_record(record) else {
        return Ok(());
    };
    entry.discard_modules();
    for module in record.modules.iter_mut().chain(&mut record.debug_files) {
        module.sha256 = None;
        module
            .missing
            .get_or_insert_with(|| "it gave way to the record on a full disk".to_owned());
    }
    if entry.write_record(record).is_ok() {
        return Ok(());
    }
    memory::give_core_up(
        entry,
        &mut record.capture,
        format!("the core gave way to the record: {}", chain(&first)),
    );
    // The first record is still there should this fail as well.
    loop {
        match entry.write_record(record) {
            Err(error) if error.is_full_disk() && reserve_of.is_some_and(reserve::give) => {}
            done => return done,
        }
    }
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
