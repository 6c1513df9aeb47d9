//! The analysis on one page: bytes of a core and files of its modules in, a report out.

use crate::cause;
use crate::dump::source::CoreBytes;
use crate::dump::{Core, NotACore};
use crate::group::{self, SignFacts};
use crate::manifest::Manifest;
use crate::modules::{self, Found, ModuleSource};
use crate::report::{
    Address, Cause, CoreFacts, Frame, Module, ProcessFacts, REPORT_SCHEMA, Report, Signature,
    Thread,
};
use crate::scene::Scene;
use crate::signals;
use crate::space::Space;
use crate::symbols::locate::DebugFiles;
use crate::symbols::{Symbols, locate};
use crate::threads;
use crate::unwind::Unwinder;
use crate::witness::Witness;
use std::collections::BTreeMap;

/// What is known of the crash apart from the core.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The process. Facts in the core win where both speak.
    pub process: ProcessFacts,
    /// Thread names by thread id, as the core numbers threads.
    pub thread_names: BTreeMap<i32, String>,
    /// Whether the core is known to be cut.
    pub truncated: bool,
}

impl From<&Manifest> for Facts {
    fn from(manifest: &Manifest) -> Self {
        Facts {
            process: manifest.process.clone(),
            thread_names: manifest.thread_names.clone(),
            truncated: manifest.truncated,
        }
    }
}

/// Analyses a core. Whatever is damaged or missing is said in the report; an error means that
/// the bytes are no core at all. Without a core the report holds what the facts say.
pub fn analyze(
    core: Option<CoreBytes>,
    source: &mut dyn ModuleSource,
    facts: &Facts,
) -> Result<Report, NotACore> {
    let Some(bytes) = core else {
        return Ok(without_memory(facts));
    };
    let core = Core::open(bytes)?;
    let found = modules::discover(&core, source);
    let space = Space::new(&core, &found);
    let stacks = threads::walk(&space, &mut Unwinder::new(&space));
    let used = threads::modules_used(&space, &stacks);
    let files = locate::locate(&space, &used, source);
    let mut symbols = Symbols::new(&space, &files);
    let mut threads = threads::name(&space, &mut symbols, &stacks, &facts.thread_names);
    threads::add_source(&mut threads, source);
    let process = process_facts(&core, &found, facts);
    let witness = Witness::new(&space, &symbols, &process, threads.first(), &stacks);
    let cause = cause::explain(&witness);
    let handled = cause::handler_frames(&witness);
    let signature = sign(witness.frames(), &cause, &process, handled);
    let truncated = core.truncated || facts.truncated;
    Ok(Report {
        schema: REPORT_SCHEMA,
        core: CoreFacts {
            arch: core.arch.name.to_owned(),
            size: core.size(),
            kept: if truncated { "partial" } else { "full" }.to_owned(),
            truncated,
        },
        modules: report_modules(&found, &symbols, &files),
        warnings: warnings(&core, &found, &threads),
        process,
        cause,
        threads,
        runtimes: Vec::new(),
        revision: 0,
        signature,
    })
}

/// The report of a crash whose memory was not kept, or is not readable.
pub fn without_memory(facts: &Facts) -> Report {
    let signal = signals::of_record(&facts.process.signal);
    let process = ProcessFacts {
        signal,
        ..facts.process.clone()
    };
    let cause = cause::of_signal(&process.signal, process.executable.as_deref());
    Report {
        schema: REPORT_SCHEMA,
        core: CoreFacts {
            kept: "none".to_owned(),
            ..CoreFacts::default()
        },
        signature: sign(&[], &cause, &process, 0),
        process,
        cause,
        threads: Vec::new(),
        modules: Vec::new(),
        runtimes: Vec::new(),
        revision: 0,
        warnings: vec!["No memory was kept of this crash: there are no stacks.".to_owned()],
    }
}

fn sign(
    frames: &[Frame],
    cause: &Cause,
    process: &ProcessFacts,
    handler_frames: usize,
) -> Signature {
    let facts = SignFacts {
        executable: process.executable.as_deref(),
        signal: &process.signal.name,
        handler_frames,
    };
    group::sign(frames, cause, &facts)
}

fn process_facts(core: &Core, found: &[Found], facts: &Facts) -> ProcessFacts {
    let known = &facts.process;
    let executable = found.iter().find(|module| module.is_executable);
    let psinfo = core.notes.psinfo.as_ref();
    let arguments = || {
        let text = psinfo.map_or("", |psinfo| psinfo.arguments.as_str());
        text.split_whitespace().map(str::to_owned).collect()
    };
    ProcessFacts {
        pid: psinfo.map_or(known.pid, |psinfo| psinfo.pid),
        executable: executable
            .map(|module| module.path.clone())
            .or_else(|| known.executable.clone()),
        // The core keeps only the first 79 bytes of the arguments.
        args: if known.args.is_empty() {
            arguments()
        } else {
            known.args.clone()
        },
        signal: signals::of_core(core, &known.signal),
    }
}

fn report_modules(found: &[Found], symbols: &Symbols<'_, '_>, files: &[DebugFiles]) -> Vec<Module> {
    let module = |(index, found): (usize, &Found)| Module {
        path: found.path.clone(),
        build_id: found.build_id.clone(),
        base: Address(found.base()),
        end: Address(found.end()),
        image: found.origin.to_owned(),
        debug: symbols.kind(index).to_owned(),
        debug_from: files
            .get(index)
            .and_then(|files| files.origin)
            .map(str::to_owned),
        problem: found.problem.clone(),
    };
    found.iter().enumerate().map(module).collect()
}

fn warnings(core: &Core, found: &[Found], threads: &[Thread]) -> Vec<String> {
    let mut warnings = core.warnings.clone();
    let in_frames = |path: &str| {
        threads
            .iter()
            .flat_map(|thread| &thread.frames)
            .any(|frame| frame.module.as_deref() == Some(path))
    };
    for module in found
        .iter()
        .filter(|module| module.image.is_none() && in_frames(&module.path))
    {
        let reason = module
            .problem
            .as_deref()
            .map(|problem| format!(": {problem}"))
            .unwrap_or_default();
        warnings.push(format!(
            "The file {} is missing{reason}; its frames have no names.",
            module.path
        ));
    }
    warnings
}
