//! Runs one analysis in a process of its own: open files in, report out, bounded in time,
//! memory and output.
//!
//! Before it does what may take long, the worker hands over drafts of its report: of one that is
//! stopped the latest is what is left.
//!
//! The worker cannot be trusted after it has read a core: its output is bounded and parsed like
//! any other hostile input. It has no environment, no path to open, and its own limits besides
//! ours, so that it also ends when the daemon was killed and nobody waits for it.

mod conversation;
mod known;

use crate::daemon::{Inner, blocking};
use crate::metrics::End;
use crate::symbols;
use aground_analyzer::analyze::{self, Conclusion, Facts};
use aground_analyzer::manifest::{DebugFile, DebugSource, Manifest, ModuleFile};
use aground_analyzer::report::{ProcessFacts, Report, Signal};
use aground_analyzer::script::Answer;
use aground_helper::id::DumpId;
use aground_helper::record::{Access, Kept, Module, Policy, Process, Record};
use aground_store::symbols::Source;
use aground_store::{Store, StoreError};
use command_fds::{CommandFdExt, FdMapping};
use conversation::Limits;
use known::Identified;
pub(crate) use known::remember;
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use tokio::process::{Child, Command};

/// The first descriptor after the standard ones.
const FIRST_FD: i32 = 3;
/// More modules than any real program maps, fewer than the usual limit of open files.
const MOST_FILES: usize = 900;
/// The largest report that is read, bytes.
pub(crate) const REPORT_LIMIT: usize = 64 << 20;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// The daemon is asked to stop.
    #[error("the daemon stops")]
    Stopped,
    #[error("the daemon ended {0} times during this analysis")]
    DaemonDied(u32),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing to do with the dump.
    #[error("cannot start the analyzer")]
    Start(#[source] io::Error),
    #[error("cannot talk to the analyzer")]
    Pipe(#[source] io::Error),
    #[error("the analyzer was killed: it took longer than {0} seconds")]
    TimedOut(u64),
    #[error("the analyzer was ended: it needed more than {0} bytes of memory")]
    NoMemory(u64),
    #[error("the analyzer failed ({status})")]
    Exit { status: ExitStatus, stderr: String },
    /// What it does to this core it may have done to itself: analysing could go on for ever.
    #[error("it is a crash of the analyzer itself, for aground analyze or a debugger to explain")]
    Own,
    #[error("the analyzer wrote more than {REPORT_LIMIT} bytes")]
    TooLarge,
    #[error("the analyzer wrote something that is no report")]
    Garbage {
        source: serde_json::Error,
        stderr: String,
    },
}

impl WorkerError {
    /// What the worker said on its way out.
    pub(crate) fn stderr(&self) -> Option<&str> {
        match self {
            WorkerError::Exit { stderr, .. } | WorkerError::Garbage { stderr, .. } => Some(stderr),
            _ => None,
        }
    }

    /// How it counts among the analyses; `None` when it says nothing about one.
    pub(crate) fn end(&self) -> Option<End> {
        match self {
            WorkerError::Stopped | WorkerError::Store(_) | WorkerError::Start(_) => None,
            WorkerError::TimedOut(_) | WorkerError::NoMemory(_) => Some(End::Stopped),
            _ => Some(End::Failed),
        }
    }

    /// Whether another attempt would only crash again, and be recorded again.
    pub(crate) fn is_crash(&self) -> bool {
        matches!(self, WorkerError::Own)
            || matches!(self, WorkerError::Exit { status, .. } if status.core_dumped())
    }
}

/// An analysis that did not come to its end.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: WorkerError,
    /// The latest draft of its report.
    pub(crate) draft: Option<Box<Report>>,
}

impl<E: Into<WorkerError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            draft: None,
        }
    }
}

/// A worker's task: the manifest and the files it speaks of, in the order of their numbers.
struct Task {
    manifest: Vec<u8>,
    files: Vec<OwnedFd>,
}

impl Task {
    fn new(manifest: &Manifest, files: Vec<OwnedFd>) -> Result<Self, WorkerError> {
        let manifest = serde_json::to_vec(manifest);
        let manifest = manifest.map_err(|error| WorkerError::Start(error.into()))?;
        Ok(Task { manifest, files })
    }
}

/// Analyses a dump.
pub(crate) async fn analyze(daemon: &Arc<Inner>, id: &DumpId) -> Result<Conclusion, Failed> {
    let (store, dump) = (daemon.store.clone(), id.clone());
    let program = program(daemon).map_err(WorkerError::Start)?;
    let analyzer = program.clone();
    let task = blocking("prepare an analysis", move || {
        prepare(&store, &dump, &analyzer)
    });
    let task = task.await.unwrap_or(Err(WorkerError::Stopped))?;
    let child = start(daemon, &program, "worker", task.files).map_err(WorkerError::Start)?;
    conversation::hold(child, &task.manifest, Limits::of(daemon)).await
}

/// Runs scripts on a dump: `task` is a `script::Task`.
pub(crate) async fn run_scripts(
    daemon: &Arc<Inner>,
    task: &[u8],
) -> Result<Vec<Answer>, WorkerError> {
    let rules = &daemon.config.rules;
    let limits = Limits {
        seconds: rules.seconds,
        memory: rules.memory,
    };
    let program = program(daemon).map_err(WorkerError::Start)?;
    let mut command = command(daemon, &program, "script");
    // Of two limits the last counts.
    command
        .args(["--memory", &rules.memory.to_string()])
        .args(["--seconds", &rules.seconds.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().map_err(WorkerError::Start)?;
    let held = conversation::hold(child, task, limits).await;
    held.map_err(|failed| failed.error)
}

/// What the record alone says of a crash, without an analyzer.
pub(crate) async fn without_memory(
    daemon: &Arc<Inner>,
    id: &DumpId,
) -> Result<Report, WorkerError> {
    let (store, dump) = (daemon.store.clone(), id.clone());
    let report = blocking("report what the record says", move || {
        Ok(of_record(&store.record(&dump)?))
    });
    report.await.unwrap_or(Err(WorkerError::Stopped))
}

/// The same of a record at hand.
pub(crate) fn of_record(record: &Record) -> Report {
    analyze::without_memory(&Facts::from(&manifest(record, None, vec![])))
}

/// Whether it was our own analyzer that crashed.
pub(crate) fn is_own(daemon: &Inner, record: &Record) -> bool {
    program(daemon).is_ok_and(|analyzer| is_of(record, &analyzer))
}

fn prepare(store: &Store, id: &DumpId, analyzer: &Path) -> Result<Task, WorkerError> {
    let record = store.record(id)?;
    if is_of(&record, analyzer) {
        return Err(WorkerError::Own);
    }
    let with_memory = record.capture.access == Access::Readers;
    let mut files: Vec<OwnedFd> = vec![];
    let core = if with_memory { store.core(id)? } else { None };
    let core_fd = core.map(|file| hand_over(&mut files, file.into()));
    let mut manifest = manifest(&record, core_fd, vec![]);
    if with_memory {
        manifest.modules = module_files(store, &record, &mut files)?;
        let wanted = store.wanted_symbols(id)?;
        let (debug_files, identified) = debug_files(store, &record, wanted, &mut files)?;
        manifest.debug_files = debug_files;
        let modules = manifest.modules.iter_mut().zip(&record.modules);
        for (file, module) in modules.filter(|(file, _)| file.fd.is_some()) {
            if let Some(key) = known::key(module, &record.modules, &identified) {
                file.is_remembered = true;
                let known = store.names(&key)?.filter(|_| files.len() < MOST_FILES);
                file.known_fd = known.map(|known| hand_over(&mut files, known.into()));
            }
        }
    }
    Task::new(&manifest, files)
}

/// Whether it was the analyzer that crashed, going by its file's name on the host.
fn is_of(record: &Record, analyzer: &Path) -> bool {
    let executable = record.process.executable.as_deref().map(Path::new);
    let name = executable.and_then(Path::file_name);
    record.container.is_none() && name.is_some() && name == analyzer.file_name()
}

/// Adds a file and returns the number it has in the worker.
fn hand_over(files: &mut Vec<OwnedFd>, file: OwnedFd) -> i32 {
    let number = FIRST_FD.saturating_add(i32::try_from(files.len()).unwrap_or(i32::MAX));
    files.push(file);
    number
}

fn module_files(
    store: &Store,
    record: &Record,
    files: &mut Vec<OwnedFd>,
) -> Result<Vec<ModuleFile>, WorkerError> {
    let mut numbers: HashMap<&str, Option<i32>> = HashMap::new();
    let mut modules = vec![];
    for module in &record.modules {
        let mut fd = None;
        if let Some(sha256) = module.sha256.as_deref() {
            fd = match numbers.entry(sha256) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(open_module(store, sha256, files)?),
            };
        }
        modules.push(module_file(module, fd));
    }
    Ok(modules)
}

fn open_module(
    store: &Store,
    sha256: &str,
    files: &mut Vec<OwnedFd>,
) -> Result<Option<i32>, WorkerError> {
    if files.len() >= MOST_FILES {
        return Ok(None);
    }
    match store.module(sha256) {
        Ok(file) => Ok(Some(hand_over(files, file.into()))),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Kept symbols of the modules, what the last report lacked, and what those share with others;
/// then the container's own.
fn debug_files(
    store: &Store,
    record: &Record,
    lacking: Vec<String>,
    files: &mut Vec<OwnedFd>,
) -> Result<(Vec<DebugFile>, Vec<Identified>), WorkerError> {
    let mut wanted: VecDeque<String> = symbols::of_modules(record).collect();
    wanted.extend(lacking);
    let mut asked = HashSet::new();
    let mut numbers: HashMap<String, i32> = HashMap::new();
    let (mut found, mut identified) = (vec![], vec![]);
    while let Some(build_id) = wanted.pop_front().filter(|_| files.len() < MOST_FILES) {
        if !asked.insert(build_id.clone()) {
            continue;
        }
        if let Some((file, facts)) = store.use_symbols(&build_id)? {
            identified.push(Identified {
                build_id: build_id.clone(),
                identity: format!(
                    "{} {} {} {}",
                    facts.build_id,
                    facts.source.as_str(),
                    facts.size,
                    facts.uploaded_at_ms
                ),
            });
            // A package has many units.
            let fd = *numbers
                .entry(facts.build_id)
                .or_insert_with(|| hand_over(files, file.into()));
            found.push(DebugFile {
                build_id,
                fd,
                source: match facts.source {
                    Source::Uploaded => DebugSource::Uploaded,
                    Source::Debuginfod => DebugSource::Debuginfod,
                },
            });
            wanted.extend(facts.shared);
        }
    }
    let known: HashSet<String> = found.iter().map(|file| file.build_id.clone()).collect();
    for file in &record.debug_files {
        let build_id = file.build_id.clone().filter(|id| !known.contains(id));
        if let Some((build_id, sha256)) = build_id.zip(file.sha256.as_deref())
            && let Some(fd) = open_module(store, sha256, files)?
        {
            identified.push(Identified {
                build_id: build_id.clone(),
                identity: sha256.to_owned(),
            });
            found.push(DebugFile {
                build_id,
                fd,
                source: DebugSource::Captured,
            });
        }
    }
    Ok((found, identified))
}

fn module_file(module: &Module, fd: Option<i32>) -> ModuleFile {
    ModuleFile {
        path: module.path.clone(),
        base: module.base,
        end: module.end,
        build_id: module.build_id.clone(),
        fd,
        ..ModuleFile::default()
    }
}

/// Names by thread id as the core has it: that of the process's own namespace.
fn thread_names(process: &Process) -> BTreeMap<i32, String> {
    let inside = &process.namespace_tids;
    if inside.is_empty() {
        return process.thread_names.clone();
    }
    let name = |(tid, name): (&i32, &String)| Some((*inside.get(tid)?, name.clone()));
    process.thread_names.iter().filter_map(name).collect()
}

fn manifest(record: &Record, core_fd: Option<i32>, modules: Vec<ModuleFile>) -> Manifest {
    let process = &record.process;
    Manifest {
        core_fd,
        process: ProcessFacts {
            pid: if process.pid == 0 {
                record.kernel.pid
            } else {
                process.pid
            },
            executable: process.executable.clone(),
            args: process.args.clone(),
            signal: Signal {
                number: record.signal.number,
                name: record.signal.name.clone(),
                ..Signal::default()
            },
        },
        crashed_tid: record.kernel.tid,
        thread_names: thread_names(process),
        modules,
        debug_files: vec![],
        truncated: record.capture.truncated || record.capture.kept == Kept::Partial,
        // What is let go of once it is analyzed must not stay in the report.
        withhold_memory: record.capture.policy == Policy::Trace,
    }
}

fn start(daemon: &Inner, program: &Path, verb: &str, files: Vec<OwnedFd>) -> io::Result<Child> {
    let mappings = (FIRST_FD..)
        .zip(files)
        .map(|(child_fd, parent_fd)| FdMapping {
            parent_fd,
            child_fd,
        })
        .collect();
    let mut command = command(daemon, program, verb);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .fd_mappings(mappings)
        .map_err(io::Error::other)?;
    command.spawn()
}

/// The analyzer with a verb, its limits and no environment.
pub(crate) fn command(daemon: &Inner, program: &Path, verb: &str) -> Command {
    let mut command = Command::new(program);
    command
        .arg(verb)
        .args(["--memory", &daemon.config.analysis_memory.to_string()])
        .args(["--seconds", &daemon.config.analysis_seconds.to_string()])
        .args(["--parent", &std::process::id().to_string()])
        .env_clear()
        .current_dir("/")
        .kill_on_drop(true);
    command
}

/// The analyzer: the configured one, or the one beside this program.
pub(crate) fn program(daemon: &Inner) -> io::Result<PathBuf> {
    match &daemon.config.analyzer {
        Some(program) => Ok(program.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("aground-analyzer")),
    }
}
