//! `/`: whether crashes are caught, how many there are, what is new or came back, and the disk.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::groups::{GroupRow, WINDOWS, Window};
use super::status::Loop;
use super::{Shell, html};
use crate::App;
use crate::access::Access;
use crate::ui::view::bytes;
use crate::ui::view::svg::{Bars, Parts};
use crate::ui::view::text::{self, Brief};
use crate::ui::view::time;
use aground_daemon::{DaemonStatus, Governed};
use aground_store::StoreError;
use aground_store::overview::Overview;
use aground_store::types::GroupSummary;
use askama::Template;
use axum::Extension;
use axum::extract::{Query as Parameters, State};
use axum::response::{IntoResponse, Redirect, Response};

/// Crash loops shown; the status page has more.
const MOST_LOOPS: usize = 5;

/// A list of groups.
#[derive(Clone, Debug)]
struct List {
    id: &'static str,
    title: &'static str,
    /// What is told when there is none.
    none: &'static str,
    /// How many there are in all, where that is known.
    sub: String,
    /// The search that finds all of them.
    query: String,
    rows: Vec<GroupRow>,
}

/// The page.
#[derive(Template)]
#[template(path = "overview.html")]
pub struct OverviewPage {
    shell: Shell,
    window: Window,
    windows: [Window; 3],
    installed: bool,
    core_pattern: Brief,
    nothing_yet: bool,
    crashes: String,
    trend: String,
    rising: bool,
    bars: Bars,
    active: String,
    new: u64,
    regressed: u64,
    pending: u64,
    failed: u64,
    lists: Vec<List>,
    loops: Vec<Loop>,
    loops_in_all: usize,
    disk: Parts,
    storage_trouble: Option<Brief>,
}

/// What the page is made of.
pub struct Contents {
    /// What happened.
    pub overview: Overview,
    /// How the service is.
    pub status: DaemonStatus,
    /// What crashes in loops.
    pub governed: Vec<Governed>,
}

impl OverviewPage {
    /// The page, seen from `now_ms`.
    pub fn new(window: Window, contents: &Contents, now_ms: i64) -> Self {
        let Contents {
            overview,
            status,
            governed,
        } = contents;
        let loops: Vec<Loop> = governed
            .iter()
            .filter_map(|one| Loop::new(one, now_ms))
            .collect();
        Self {
            shell: Shell::new("overview"),
            window,
            windows: WINDOWS,
            installed: status.installed,
            core_pattern: Brief::new(&status.core_pattern, 200),
            nothing_yet: status.store.dumps == 0,
            crashes: text::grouped(overview.crashes),
            trend: trend(overview.crashes, overview.before, window),
            rising: overview.crashes > overview.before,
            bars: window.bars(&overview.histogram),
            active: text::grouped(overview.active),
            new: overview.new,
            regressed: overview.regressed,
            pending: status.store.pending,
            failed: status.store.failed,
            lists: lists(overview, window, now_ms),
            loops_in_all: loops.len(),
            loops: loops.into_iter().take(MOST_LOOPS).collect(),
            disk: disk(status),
            storage_trouble: storage_trouble(status),
        }
    }
}

/// How that compares with the time before.
fn trend(now: u64, before: u64, window: Window) -> String {
    let label = window.label;
    if before == 0 {
        return format!("none in the {label} before");
    }
    let percent = now.abs_diff(before).saturating_mul(100) / before;
    match now.cmp(&before) {
        std::cmp::Ordering::Equal => format!("as many as in the {label} before"),
        std::cmp::Ordering::Less => format!("{percent} % fewer than in the {label} before"),
        std::cmp::Ordering::Greater if percent >= 1000 => {
            format!("{} times the {label} before", now / before)
        }
        std::cmp::Ordering::Greater => format!("{percent} % more than in the {label} before"),
    }
}

fn lists(overview: &Overview, window: Window, now_ms: i64) -> Vec<List> {
    let rows = |groups: &[GroupSummary]| {
        let row = |group| GroupRow::new(group, window, now_ms).of_window();
        groups.iter().map(row).collect()
    };
    let word = window.word;
    vec![
        List {
            id: "regressed",
            title: "Came back",
            none: "No resolved group has come back.",
            sub: text::grouped(overview.regressed),
            query: text::url("state:regressed"),
            rows: rows(&overview.regressed_groups),
        },
        List {
            id: "new",
            title: "New",
            none: "No new group.",
            sub: text::grouped(overview.new),
            query: text::url(&format!("first_seen:{word} -state:ignored")),
            rows: rows(&overview.new_groups),
        },
        List {
            id: "busiest",
            title: "Crash most",
            none: "Nothing crashed.",
            sub: format!("of {}", text::count(overview.active, "group", "groups")),
            query: text::url(&format!("last_seen:{word} -state:ignored")),
            rows: rows(&overview.busiest),
        },
    ]
}

/// What an operator must do about the disk soon.
pub fn storage_trouble(status: &DaemonStatus) -> Option<Brief> {
    let unmet = status.retention.unmet.as_deref();
    let trouble = unmet.or(status.waiting.as_deref());
    trouble.map(|why| Brief::new(why, 300))
}

fn disk(status: &DaemonStatus) -> Parts {
    let store = &status.store;
    let parts = [
        ("cores", "Cores", store.core_bytes),
        ("modules", "Modules", store.module_bytes),
        ("symbols", "Symbols", status.symbols.bytes),
        ("database", "Database", store.database_bytes),
        ("free", "Free", store.free_bytes),
    ];
    Parts::new("Ours on the disk, and what is free", &parts, bytes::size)
}

/// `GET /?window=`. Searches that were here once are at `/groups`; who may see some crashes only
/// finds them there.
pub async fn page(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    if !request.query.trim().is_empty() || !request.cursor.is_empty() {
        let groups = format!("/groups{}", request.link(&request.cursor));
        return Ok(Redirect::permanent(&groups).into_response());
    }
    if !access.sight.scope.is_everything() {
        return Ok(Redirect::to("/groups").into_response());
    }
    let (window, now_ms) = (Window::named(&request.window), time::now_ms());
    let daemon = app.daemon.clone();
    let read = move || {
        let fine = window.histogram(now_ms, true).buckets;
        let overview = daemon
            .store()
            .overview(window.histogram(now_ms, false), fine)?;
        Ok::<_, StoreError>(Contents {
            overview,
            status: daemon.status(),
            // A table that cannot be read is told by the status page.
            governed: daemon.governed().unwrap_or_default(),
        })
    };
    let contents = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Trouble::internal(&error))??;
    Ok(html(&OverviewPage::new(window, &contents, now_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_with_the_time_before() {
        let [day, ..] = WINDOWS;
        for (now, before, expected) in [
            (5, 0, "none in the 24 hours before"),
            (5, 5, "as many as in the 24 hours before"),
            (6, 4, "50 % more than in the 24 hours before"),
            (1, 4, "75 % fewer than in the 24 hours before"),
            (800, 4, "200 times the 24 hours before"),
            (
                u64::MAX,
                1,
                "18446744073709551615 times the 24 hours before",
            ),
        ] {
            assert_eq!(trend(now, before, day), expected);
        }
    }
}
