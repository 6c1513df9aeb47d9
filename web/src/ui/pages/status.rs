//! `/status`: what an operator asks first.

use super::error::Trouble;
use super::{Shell, html};
use crate::App;
use crate::ui::view::bytes;
use crate::ui::view::text::{self, Brief};
use crate::ui::view::time::{self, Moment};
use aground_daemon::doctor::{self, Check, Health};
use aground_daemon::{DaemonStatus, Governed, TargetStatus};
use aground_helper::record::Policy;
use aground_store::retention::Action;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

/// The most crash loops shown; `aground governor` shows all.
const MOST_LOOPS: usize = 50;

/// A fact, and whether it needs somebody.
#[derive(Clone, Debug)]
pub struct Fact {
    name: &'static str,
    value: String,
    note: &'static str,
    alarming: bool,
}

fn fact(name: &'static str, value: String, note: &'static str) -> Fact {
    Fact {
        name,
        value,
        note,
        alarming: false,
    }
}

impl Fact {
    fn alarming_if(mut self, alarming: bool) -> Self {
        self.alarming = alarming;
        self
    }
}

/// The page.
#[derive(Template)]
#[template(path = "status.html")]
pub struct StatusPage {
    shell: Shell,
    installed: bool,
    core_pattern: Brief,
    sections: [(&'static str, Vec<Fact>); 3],
    analyzing: Vec<String>,
    rejected: Vec<(Brief, Brief)>,
    unmet: Option<Brief>,
    waits: Option<Brief>,
    given_up: Vec<GivenUp>,
    loops: Vec<Loop>,
    targets: Vec<TargetRow>,
    troubles: Vec<Finding>,
    healthy: bool,
}

/// Something that is not well.
#[derive(Clone, Debug)]
struct Finding {
    name: String,
    failing: bool,
    what: Brief,
    advice: String,
}

impl Finding {
    /// `None` for what is well.
    fn new(check: &Check) -> Option<Self> {
        (check.health != Health::Ok).then(|| Self {
            name: check.name.clone(),
            failing: check.health == Health::Fail,
            what: Brief::new(&check.finding, 400),
            advice: check.advice.clone().unwrap_or_default(),
        })
    }
}

/// A crash loop that keeps less memory.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Workload, image and executable.
    pub what: Brief,
    /// What its next crash keeps.
    pub keeps: &'static str,
    /// Crashes in the last hour.
    pub last_hour: String,
    /// Crashes since it is counted.
    pub crashes: String,
    /// When the last one was.
    pub ago: String,
    /// When one is kept whole again.
    pub whole_again: String,
}

impl Loop {
    /// `None` for what is not limited.
    pub fn new(governed: &Governed, now_ms: i64) -> Option<Self> {
        let keeps = match governed.state {
            Policy::Full => return None,
            Policy::Lean | Policy::Trace => "lean cores",
            Policy::Record => "records only",
        };
        let names = [&governed.workload, &governed.image, &governed.executable];
        let named: Vec<&str> = names
            .into_iter()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .collect();
        let whole = governed
            .next_full_ms
            .map(|at| format!("in {}", time::span(at.saturating_sub(now_ms))));
        Some(Self {
            what: Brief::new(&named.join(" · "), 200),
            keeps,
            last_hour: text::grouped(governed.last_hour),
            crashes: text::grouped(governed.crashes),
            ago: Moment::new(governed.last_ms, now_ms).ago,
            whole_again: whole.unwrap_or_default(),
        })
    }
}

/// One that is told of what changes.
#[derive(Clone, Debug)]
struct TargetRow {
    name: String,
    kind: String,
    place: Brief,
    waiting: u64,
    delivered: String,
    failed: u64,
    last: String,
    outcome: Brief,
}

impl TargetRow {
    fn new(target: &TargetStatus, now_ms: i64) -> Self {
        let tally = &target.tally;
        let last = tally.last_at_ms.map(|at| Moment::new(at, now_ms).ago);
        Self {
            name: target.name.clone(),
            kind: target.kind.clone(),
            place: Brief::new(&target.place, 100),
            waiting: tally.waiting,
            delivered: text::grouped(tally.delivered),
            failed: tally.failed,
            last: last.unwrap_or_else(|| "never".to_owned()),
            outcome: Brief::new(tally.last_outcome.as_deref().unwrap_or_default(), 200),
        }
    }
}

/// `POST /notify/{name}/test`: sends a test message, back to the page, which says what came of it.
pub async fn test_target(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Response, Trouble> {
    app.daemon.test_target(&name).await?;
    Ok(Redirect::to("/status#notify").into_response())
}

/// Something that was given up to keep within the limits.
#[derive(Clone, Debug)]
struct GivenUp {
    ago: String,
    id: String,
    short: String,
    what: &'static str,
    freed: String,
    reason: Brief,
}

impl GivenUp {
    fn new(given_up: &aground_daemon::GivenUp, now_ms: i64) -> Self {
        let step = &given_up.step;
        Self {
            ago: Moment::new(given_up.at_ms, now_ms).ago,
            id: step.id.to_string(),
            short: step.id.short().to_owned(),
            what: match step.action {
                Action::Thin => "became lean",
                Action::DropMemory => "memory dropped",
                Action::Delete => "deleted",
            },
            freed: bytes::size(step.frees),
            reason: Brief::new(&step.reason, 200),
        }
    }
}

impl StatusPage {
    /// The page, seen from `now_ms`.
    pub fn new(
        status: &DaemonStatus,
        governed: &[Governed],
        checks: &[Check],
        now_ms: i64,
    ) -> Self {
        let brief = |(name, why): &(String, String)| (Brief::new(name, 80), Brief::new(why, 400));
        Self {
            shell: Shell::new("status"),
            installed: status.installed,
            core_pattern: Brief::new(&status.core_pattern, 200),
            sections: [
                ("Service", service(status, now_ms)),
                ("Queue", queue(status)),
                ("Storage", storage(status)),
            ],
            analyzing: status.analyzing.clone(),
            rejected: status.rejected.iter().map(brief).collect(),
            unmet: status
                .retention
                .unmet
                .as_deref()
                .map(|unmet| Brief::new(unmet, 400)),
            waits: status.waiting.as_deref().map(|why| Brief::new(why, 400)),
            given_up: status
                .retention
                .given_up
                .iter()
                .map(|given_up| GivenUp::new(given_up, now_ms))
                .collect(),
            targets: status
                .targets
                .iter()
                .map(|target| TargetRow::new(target, now_ms))
                .collect(),
            loops: governed
                .iter()
                .filter_map(|one| Loop::new(one, now_ms))
                .take(MOST_LOOPS)
                .collect(),
            troubles: checks.iter().filter_map(Finding::new).collect(),
            healthy: status.installed
                && status.retention.unmet.is_none()
                && status.waiting.is_none()
                && status.rejected.is_empty()
                && status.store.failed == 0
                && doctor::worst(checks) != Health::Fail,
        }
    }
}

fn service(status: &DaemonStatus, now_ms: i64) -> Vec<Fact> {
    let up = now_ms.saturating_sub(status.started_at_ms);
    let rescan = status.last_rescan_ms.map(|at| Moment::new(at, now_ms).ago);
    vec![
        fact("Version", status.version.clone(), ""),
        fact("Running for", time::span(up), ""),
        fact("Memory", bytes::size(status.resident_bytes), "resident"),
        fact(
            "Last full rescan",
            rescan.unwrap_or("not yet".to_owned()),
            "finds what a poke missed",
        ),
    ]
}

fn queue(status: &DaemonStatus) -> Vec<Fact> {
    let store = &status.store;
    let oldest = store
        .oldest_pending_ms
        .map(|age| time::span(i64::try_from(age).unwrap_or(i64::MAX)));
    vec![
        fact(
            "Being captured",
            text::grouped(status.spool_incoming),
            "helpers at work",
        ),
        fact(
            "Waiting to be taken in",
            text::grouped(status.spool_ready),
            "in the spool",
        ),
        fact("Waiting for analysis", text::grouped(store.pending), ""),
        fact("Oldest waiting", oldest.unwrap_or("none".to_owned()), ""),
        fact("Analyses", text::grouped(status.analyses), "since start"),
        fact(
            "Grouped anew",
            format!(
                "{} of {}",
                text::grouped(status.regroup.done),
                text::grouped(status.regroup.all)
            ),
            if status.regroup.running {
                "at work"
            } else {
                "by the rules in force"
            },
        )
        .alarming_if(status.regroup.trouble.is_some()),
        fact(
            "Worker failures",
            text::grouped(status.worker_failures),
            "killed or died",
        )
        .alarming_if(status.worker_failures > 0),
        fact(
            "Failed analyses",
            text::grouped(store.failed),
            "records are kept",
        )
        .alarming_if(store.failed > 0),
    ]
}

fn storage(status: &DaemonStatus) -> Vec<Fact> {
    let (store, retention) = (&status.store, &status.retention);
    let limits = &retention.limits;
    let quota = limits.max_bytes.map_or("none".to_owned(), |most| {
        let held = bytes::size(retention.held_bytes);
        format!("{held} of {}", bytes::size(most))
    });
    vec![
        fact("Crashes", text::grouped(store.dumps), ""),
        fact("Groups", text::grouped(store.groups), ""),
        fact("Cores", bytes::size(store.core_bytes), "compressed"),
        fact(
            "Modules",
            bytes::size(store.module_bytes),
            "shared by crashes",
        ),
        fact("Module files", text::grouped(store.modules), ""),
        fact("Database", bytes::size(store.database_bytes), ""),
        fact(
            "Free",
            bytes::size(store.free_bytes),
            "on the state directory's disk",
        )
        .alarming_if(store.free_bytes < limits.min_free),
        fact(
            "Must stay free",
            bytes::size(limits.min_free),
            "memory is given up for it",
        ),
        fact("Quota", quota, "of cores and modules").alarming_if(retention.unmet.is_some()),
        fact("Symbols", symbols_held(status), "uploaded and fetched"),
        fact("Pinned", text::grouped(store.pinned), "never given up"),
        fact(
            "Reserve",
            bytes::size(retention.reserve_bytes),
            "for records on a full disk",
        )
        .alarming_if(retention.reserve_bytes < retention.reserve_wanted),
    ]
}

fn symbols_held(status: &DaemonStatus) -> String {
    let symbols = &status.symbols;
    let (held, most) = (bytes::size(symbols.bytes), bytes::size(symbols.max_bytes));
    format!("{held} of {most}")
}

/// `GET /status`.
pub async fn page(State(app): State<App>) -> Result<Response, Trouble> {
    let daemon = app.daemon.clone();
    let read = move || (daemon.status(), daemon.governed(), daemon.examine());
    let (status, governed, checks) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Trouble::internal(&error))?;
    let governed = governed.map_err(|error| Trouble::internal(&error))?;
    Ok(html(&StatusPage::new(
        &status,
        &governed,
        &checks,
        time::now_ms(),
    )))
}
