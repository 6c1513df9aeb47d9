//! `/dumps/{ref}`: one crash whole, its cause first.

use super::error::Trouble;
use super::group_life::LifeView;
use super::groups::{GroupRow, WINDOWS};
use super::{Shell, blocking, html};
use crate::App;
use crate::ui::view::context;
use crate::ui::view::crash::Row;
use crate::ui::view::facts::{self, Fact};
use crate::ui::view::modules::{ModuleRow, modules, revision, without_symbols};
use crate::ui::view::site::Site;
use crate::ui::view::stack::{self, SourcePlace, Stack};
use crate::ui::view::text::{self, Brief};
use crate::ui::view::{bytes, time};
use aground_analyzer::report::{Frame, Report, Thread};
use aground_helper::record::Access;
use aground_store::types::{Dump, DumpStatus};
use aground_store::{Store, StoreError};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

/// The most of a page's lists that is shown.
const MOST: usize = 1000;
/// How many functions of the application are named beside the cause.
const SHOWN_PATH: usize = 3;

/// Why it died, as far as analysis knows.
#[derive(Clone, Debug)]
struct Verdict {
    message: Option<Brief>,
    instruction: Option<String>,
    confidence: &'static str,
    confidence_word: &'static str,
    evidence: Vec<String>,
    path: Vec<Step>,
}

/// A function of the application on the way to the crash.
#[derive(Clone, Debug)]
struct Step {
    function: Brief,
    source: Option<SourcePlace>,
}

/// Stacks of a managed language.
#[derive(Clone, Debug)]
struct Managed {
    language: String,
    stacks: Vec<Stack>,
    left_out: usize,
}

/// The bug: how often it strikes and since when, and what people said of it.
struct Known {
    row: GroupRow,
    life: LifeView,
}

impl Known {
    fn read(store: &Store, group: &str, now_ms: i64) -> Result<Self, StoreError> {
        let [window, ..] = WINDOWS;
        let found = store.group(group, window.histogram(now_ms, false))?;
        let life = store.life(group)?;
        Ok(Self {
            row: GroupRow::new(&found, window, now_ms),
            life: LifeView::new(&life, &[], now_ms),
        })
    }
}

/// The page.
#[derive(Template)]
#[template(path = "dump.html")]
pub struct DumpPage {
    shell: Shell,
    row: Row,
    group: Option<String>,
    known: Option<Known>,
    verdict: Option<Verdict>,
    signal_code: Option<String>,
    address: Option<String>,
    sender: Option<String>,
    /// What scripts found: key, value, script.
    properties: Vec<(String, Brief, String)>,
    waiting: bool,
    failed: bool,
    /// Whether the report is what a stopped analysis had found.
    partial: bool,
    failure: Option<Brief>,
    warnings: Vec<String>,
    crashed: Option<Stack>,
    site: Option<Site>,
    deadlocks: Vec<String>,
    others: Vec<Stack>,
    other_threads: usize,
    stacks_left_out: usize,
    /// Whether a toggle between application and all frames makes sense for the others.
    mixed_threads: bool,
    managed: Vec<Managed>,
    registers: Vec<(String, String)>,
    container: Option<Vec<Fact>>,
    labels: Vec<(String, Brief)>,
    process: Vec<Fact>,
    capture: Vec<Fact>,
    limits: Vec<(String, String, String)>,
    open_files: Vec<(i32, String)>,
    environment: Vec<(String, String)>,
    cgroup: Vec<String>,
    resources: Vec<Fact>,
    confinement: Vec<Fact>,
    sockets: Vec<(i32, String)>,
    mounts: Vec<(String, String)>,
    modules: Vec<ModuleRow>,
    modules_left_out: usize,
    revision: Option<String>,
    without_symbols: Vec<(String, String)>,
    log: Option<Vec<String>>,
    has_core: bool,
    /// Why there is none, and what there is.
    no_core: String,
    root_only: bool,
    /// Whether another analysis could find what the last did.
    analyzable: bool,
    pinned: bool,
    core_size: String,
    stored_size: String,
    has_report: bool,
    arch: String,
}

impl DumpPage {
    /// The page of a dump, seen from `now_ms`.
    pub fn new(dump: &Dump, now_ms: i64) -> Self {
        let (summary, record) = (&dump.summary, &dump.record);
        let report = dump.report.as_ref();
        let threads = report
            .map(|report| report.threads.as_slice())
            .unwrap_or_default();
        let crashed = threads.iter().find(|thread| thread.crashed);
        let (others, stacks_left_out) =
            stack::fold(threads.iter().filter(|thread| !thread.crashed));
        let mut modules = modules(dump);
        let modules_left_out = modules.len().saturating_sub(MOST);
        modules.truncate(MOST);
        let waiting = matches!(summary.status, DumpStatus::Pending | DumpStatus::Analyzing);
        let failed = summary.status == DumpStatus::Failed;
        let failure = summary
            .analysis_error
            .as_deref()
            .or(failed.then_some("no reason is known"))
            .filter(|_| !waiting);
        let signal = report.map(|report| &report.process.signal);
        Self {
            shell: Shell::new("dumps"),
            row: Row::new(summary, now_ms),
            group: summary.group.clone(),
            known: None,
            verdict: report.map(|report| verdict(report, crashed)),
            signal_code: signal.and_then(|signal| signal.code_name.clone()),
            address: signal.and_then(|signal| Some(signal.address?.to_string())),
            sender: signal.and_then(|signal| Some(signal.sender_pid?.to_string())),
            properties: Vec::new(),
            waiting,
            failed,
            partial: report.is_some_and(|report| report.partial.is_some()),
            failure: failure.map(|failure| Brief::new(failure, 1000)),
            revision: report.and_then(revision),
            without_symbols: report.map(without_symbols).unwrap_or_default(),
            warnings: warnings(dump),
            crashed: crashed.map(Stack::new),
            deadlocks: report.map(stack::deadlocks).unwrap_or_default(),
            site: report
                .and_then(|report| report.site.as_ref())
                .map(Site::new),
            other_threads: threads.len().saturating_sub(usize::from(crashed.is_some())),
            mixed_threads: others.len() > 1 && others.iter().any(Stack::is_mixed),
            others,
            stacks_left_out,
            managed: report.map(managed).unwrap_or_default(),
            registers: crashed.map(stack::registers).unwrap_or_default(),
            container: record.container.as_ref().map(facts::container),
            labels: labels(dump),
            process: facts::process(record, &record.process.args),
            capture: facts::capture(record, summary),
            limits: limits(dump),
            open_files: open_files(dump),
            environment: environment(dump),
            cgroup: record.process.cgroup.iter().take(MOST).cloned().collect(),
            resources: context::resources(&record.context.resources),
            confinement: context::confinement(&record.context),
            sockets: record
                .context
                .sockets
                .iter()
                .take(MOST)
                .map(context::socket)
                .collect(),
            mounts: record
                .context
                .mounts
                .iter()
                .take(MOST)
                .map(context::mount)
                .collect(),
            modules,
            modules_left_out,
            log: dump.log_tail.as_deref().map(text::lines),
            has_core: summary.kept != "none",
            no_core: no_core(dump),
            root_only: record.capture.access == Access::Root,
            analyzable: summary.kept != "none" || summary.dropped.is_none(),
            pinned: summary.pinned,
            core_size: bytes::size(summary.core_bytes),
            stored_size: bytes::size(summary.memory_bytes),
            has_report: report.is_some(),
            arch: record.host.arch.clone(),
        }
    }
}

fn verdict(report: &Report, crashed: Option<&Thread>) -> Verdict {
    let cause = &report.cause;
    let (confidence_word, confidence) = match cause.confidence.as_str() {
        "certain" => ("certain", "Certain"),
        "likely" => ("likely", "Likely"),
        _ => ("guess", "A guess"),
    };
    let frames = crashed
        .map(|thread| thread.frames.as_slice())
        .unwrap_or_default();
    let path = frames.iter().filter(|frame| frame.in_app).take(SHOWN_PATH);
    Verdict {
        message: cause
            .message
            .as_deref()
            .filter(|text| !cause.title.contains(*text))
            .map(|text| Brief::new(text, 2000)),
        instruction: cause
            .instruction
            .as_deref()
            .map(|text| text::clip(text, 200)),
        confidence,
        confidence_word,
        evidence: cause
            .evidence
            .iter()
            .map(|text| text::clip(text, 600))
            .collect(),
        path: path.map(step).collect(),
    }
}

fn step(frame: &Frame) -> Step {
    Step {
        function: stack::function(frame),
        source: stack::source_place(frame),
    }
}

/// Why the core cannot be downloaded, and what still can.
fn no_core(dump: &Dump) -> String {
    let left = match dump.report {
        Some(_) => "The record and the report remain.",
        None => "The record remains.",
    };
    let why = match (&dump.summary.dropped, &dump.record.capture.reason) {
        (Some(why), _) => format!("The core was dropped because {}.", text::clip(why, 300)),
        (None, Some(why)) => format!("No core was kept: {}.", text::clip(why, 300)),
        (None, None) => "No core was kept.".to_owned(),
    };
    format!("{why} {left}")
}

fn warnings(dump: &Dump) -> Vec<String> {
    let mut warnings = facts::warnings(&dump.record.capture, &dump.summary);
    let report = dump.report.iter().flat_map(|report| &report.warnings);
    let all = report.chain(&dump.record.problems).take(50);
    warnings.extend(all.map(|text| text::clip(text, 600)));
    warnings
}

fn managed(report: &Report) -> Vec<Managed> {
    let one = |runtime: &aground_analyzer::report::Runtime| {
        let (stacks, left_out) = stack::fold(runtime.threads.iter());
        let version = runtime.version.as_deref().unwrap_or_default();
        let language = text::clip(format!("{} {version}", runtime.language).trim(), 60);
        Managed {
            language,
            stacks,
            left_out,
        }
    };
    report.runtimes.iter().map(one).collect()
}

fn labels(dump: &Dump) -> Vec<(String, Brief)> {
    let labels = dump
        .record
        .container
        .iter()
        .flat_map(|container| &container.labels);
    labels
        .take(MOST)
        .map(|(key, value)| (text::clip(key, 200), Brief::new(value, 300)))
        .collect()
}

fn limits(dump: &Dump) -> Vec<(String, String, String)> {
    let show = |limit: &aground_helper::record::Limit| {
        (limit.name.clone(), limit.soft.clone(), limit.hard.clone())
    };
    dump.record
        .process
        .limits
        .iter()
        .take(MOST)
        .map(show)
        .collect()
}

fn open_files(dump: &Dump) -> Vec<(i32, String)> {
    let show = |(number, target): &(i32, String)| (*number, text::clip(target, 600));
    dump.record
        .process
        .open_files
        .iter()
        .take(MOST)
        .map(show)
        .collect()
}

fn environment(dump: &Dump) -> Vec<(String, String)> {
    let show = |entry: &String| {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        (text::clip(name, 300), text::clip(value, 2000))
    };
    dump.record
        .process
        .environment
        .iter()
        .take(MOST)
        .map(show)
        .collect()
}

/// `GET /dumps/{ref}`.
pub async fn page(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Response, Trouble> {
    let now_ms = time::now_ms();
    let read = move |store: &Store| {
        let id = store.resolve_dump(&reference)?;
        let dump = store.dump(&id)?;
        let group = dump.summary.group.as_ref();
        // A group that was merged meanwhile is on the next look.
        let known = group.and_then(|group| Known::read(store, group, now_ms).ok());
        Ok::<_, Trouble>((dump, store.properties(&id)?, known))
    };
    let (mut dump, properties, known) = blocking(&app, read).await?;
    if let Some(report) = &mut dump.report {
        stack::name_threads(report, &dump.record);
    }
    let mut page = DumpPage::new(&dump, now_ms);
    page.known = known;
    page.properties = properties
        .into_iter()
        .map(|found| (found.key, Brief::new(&found.value, 200), found.script))
        .collect();
    Ok(html(&page))
}
