//! The analysis on one page: bytes of a core and files of its modules in, a report out.

use crate::cause;
use crate::dump::source::CoreBytes;
use crate::dump::{Core, NotACore};
use crate::group::{self, SignFacts};
use crate::locks;
use crate::manifest::Manifest;
use crate::modules::{self, Found, ModuleSource};
use crate::report::{
    Address, Cause, CoreFacts, Frame, Module, Partial, ProcessFacts, REPORT_SCHEMA, Report,
    Signature, Thread,
};
use crate::runtime;
use crate::scene::Scene;
use crate::signals;
use crate::space::Space;
use crate::symbols::known::{Questions, Recall};
use crate::symbols::locate::DebugFiles;
use crate::symbols::{Symbols, locate};
use crate::threads;
use crate::unwind::{Stack, Unwinder};
use crate::witness::Witness;
use serde::{Deserialize, Serialize};
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
    /// Whether the report may hold no excerpts of memory: neither bytes nor values of variables.
    pub withhold_memory: bool,
}

impl From<&Manifest> for Facts {
    fn from(manifest: &Manifest) -> Self {
        Facts {
            process: manifest.process.clone(),
            thread_names: manifest.thread_names.clone(),
            truncated: manifest.truncated,
            withhold_memory: manifest.withhold_memory,
        }
    }
}

/// What a first draft lacks.
const UNNAMED: &str = "the names of functions, source lines, and causes that only names tell";
/// What a draft lacks when the crashed thread is done.
const OTHERS_UNNAMED: &str = "the names of functions in the threads that did not crash";

/// Takes reports of an analysis that is still under way.
pub type Drafts<'d> = &'d mut dyn FnMut(&Report);

/// A report, and what its making asked of modules' symbols that nobody had answered before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conclusion {
    /// The report.
    pub report: Report,
    /// The questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
}

/// What was asked of one module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its lowest address in the process.
    pub base: u64,
    /// The questions.
    pub questions: Questions,
}

/// Analyses a core. Whatever is damaged or missing is said in the report; an error means that
/// the bytes are no core at all. Without a core the report holds what the facts say.
pub fn analyze(
    core: Option<CoreBytes>,
    source: &mut dyn ModuleSource,
    facts: &Facts,
) -> Result<Report, NotACore> {
    Ok(analyze_in_stages(core, source, facts, None)?.report)
}

/// As [`analyze`], and before each part that may take long hands over a report of what is known
/// so far, for whoever may have to stop it: stacks first, then the crashed thread's names.
pub fn analyze_in_stages(
    core: Option<CoreBytes>,
    source: &mut dyn ModuleSource,
    facts: &Facts,
    mut drafts: Option<Drafts<'_>>,
) -> Result<Conclusion, NotACore> {
    let Some(bytes) = core else {
        return Ok(Conclusion {
            report: without_memory(facts),
            asked: Vec::new(),
        });
    };
    let core = Core::open(bytes)?;
    let found = modules::discover(&core, source);
    let space = Space::new(&core, &found);
    let stacks = threads::walk(&space, &mut Unwinder::new(&space));
    let case = Case {
        process: process_facts(&core, &found, facts),
        found: &found,
        space: &space,
        stacks: &stacks,
        truncated: core.truncated || facts.truncated,
        withhold_memory: facts.withhold_memory,
    };
    let names = &facts.thread_names;
    if let Some(draft) = &mut drafts {
        let threads = threads::unnamed(&space, &stacks, names);
        draft(&case.draft(&Symbols::new(&space, &[], &[]), &[], threads, UNNAMED));
    }
    let used = threads::modules_used(&space, &stacks);
    let mut files = locate::locate(&space, &used, source);
    let mut recall: Vec<Recall> = found
        .iter()
        .map(|module| Recall::of(module, source))
        .collect();
    locate::locate_units(&space, &stacks, &mut files, &mut recall, source);
    let mut symbols = Symbols::new(&space, &files, &recall);
    let crashed = stacks.get(..1).filter(|_| stacks.len() > 1);
    if let Some((draft, crashed)) = drafts.as_mut().zip(crashed) {
        let mut threads = threads::name(&space, &mut symbols, crashed, names);
        let others = threads::unnamed(&space, &stacks, names);
        threads.extend(others.into_iter().skip(1));
        draft(&case.draft(&symbols, &files, threads, OTHERS_UNNAMED));
    }
    if !facts.withhold_memory {
        symbols.show_variables(threads::VARIABLES_MAX);
    }
    let mut threads = threads::name(&space, &mut symbols, &stacks, names);
    threads::add_source(&mut threads, source);
    let (runtimes, left_out) = runtime::managed(&space, &mut symbols, &stacks);
    let mut report = case.report(&symbols, &files, threads);
    report.runtimes = runtimes;
    report.warnings.extend(left_out);
    let asked = |(index, questions): (usize, Questions)| Asked {
        base: found.get(index).map_or(0, Found::base),
        questions,
    };
    Ok(Conclusion {
        report,
        asked: symbols.asked().into_iter().map(asked).collect(),
    })
}

/// What is known before anything is named.
struct Case<'c, 'a> {
    process: ProcessFacts,
    found: &'a [Found],
    space: &'c Space<'a>,
    stacks: &'c [Stack],
    truncated: bool,
    withhold_memory: bool,
}

impl<'a> Case<'_, 'a> {
    fn report(
        &self,
        symbols: &Symbols<'_, 'a>,
        files: &[DebugFiles],
        mut threads: Vec<Thread>,
    ) -> Report {
        locks::find(self.space, &mut threads);
        if self.withhold_memory {
            let frames = threads.iter_mut().flat_map(|thread| &mut thread.frames);
            frames.for_each(|frame| frame.variables.clear());
        }
        let deadlocks = locks::deadlocks(&threads);
        let (core, process) = (self.space.core, self.process.clone());
        let witness = Witness::new(self.space, symbols, &process, threads.first(), self.stacks);
        let cause = cause::explain(&witness);
        let cause = cause::with_locks(cause, &process, &threads, &deadlocks);
        let handled = cause::handler_frames(&witness);
        let signature = sign(witness.frames(), &cause, &process, handled);
        let site = cause::site(&witness, self.withhold_memory);
        Report {
            schema: REPORT_SCHEMA,
            core: CoreFacts {
                arch: core.arch.name.to_owned(),
                size: core.size(),
                kept: if self.truncated { "partial" } else { "full" }.to_owned(),
                truncated: self.truncated,
            },
            modules: report_modules(self.found, symbols, files),
            warnings: warnings(core, self.found, &threads),
            process,
            cause,
            site,
            threads,
            deadlocks,
            runtimes: Vec::new(),
            revision: 0,
            partial: None,
            signature,
        }
    }

    fn draft(
        &self,
        symbols: &Symbols<'_, 'a>,
        files: &[DebugFiles],
        threads: Vec<Thread>,
        missing: &str,
    ) -> Report {
        Report {
            partial: Some(Partial {
                missing: missing.to_owned(),
                reason: String::new(),
            }),
            ..self.report(symbols, files, threads)
        }
    }
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
        site: None,
        threads: Vec::new(),
        deadlocks: Vec::new(),
        modules: Vec::new(),
        runtimes: Vec::new(),
        revision: 0,
        partial: None,
        warnings: vec!["Nothing was read from memory: there are no stacks.".to_owned()],
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
    group::sign(frames, cause, &facts, group::Rules::built_in())
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
        wanted: files
            .get(index)
            .map(|files| files.wanted.clone())
            .unwrap_or_default(),
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
