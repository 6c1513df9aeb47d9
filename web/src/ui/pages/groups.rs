//! `/groups`: what crashes, most recent first, and whether crashes are caught at all.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::overview::storage_trouble;
use super::{Shell, html};
use crate::App;
use crate::ui::view::bytes;
use crate::ui::view::kind::Kind;
use crate::ui::view::svg::Bars;
use crate::ui::view::text::{self, Brief, LINE};
use crate::ui::view::time::{self, Moment};
use aground_daemon::DaemonStatus;
use aground_store::store::Histogram;
use aground_store::types::{Count, GroupSummary, Page};
use aground_store::{StoreError, Trend};
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// A window of time that pictures can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Word of the address: `24h`.
    pub word: &'static str,
    /// For people: `24 hours`.
    pub label: &'static str,
    length_ms: i64,
    /// Bars of the small pictures, and of the large ones: each of whole hours, as crashes are
    /// counted.
    buckets: [usize; 2],
}

/// All windows; the first is the default.
pub const WINDOWS: [Window; 3] = [
    Window {
        word: "24h",
        label: "24 hours",
        length_ms: 24 * HOUR_MS,
        buckets: [24, 24],
    },
    Window {
        word: "7d",
        label: "7 days",
        length_ms: 7 * 24 * HOUR_MS,
        buckets: [28, 84],
    },
    Window {
        word: "30d",
        label: "30 days",
        length_ms: 30 * 24 * HOUR_MS,
        buckets: [30, 60],
    },
];

impl Window {
    /// The window a word names, else the default.
    pub fn named(word: &str) -> Self {
        let [default, ..] = WINDOWS;
        WINDOWS
            .into_iter()
            .find(|window| window.word == word)
            .unwrap_or(default)
    }

    /// What to ask the store for small pictures or large ones.
    pub fn histogram(self, now_ms: i64, large: bool) -> Histogram {
        let [small, fine] = self.buckets;
        Histogram {
            now_ms,
            window_ms: self.length_ms,
            buckets: if large { fine } else { small },
        }
    }

    /// Counts drawn.
    pub fn bars(self, counts: &[u64]) -> Bars {
        Bars::new(counts, self.length_ms, self.label)
    }
}

/// One group as a row.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: &'static str,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Signature.
    pub title: Brief,
    /// Cause in one line.
    pub cause: Brief,
    /// Kind of the cause.
    pub kind: Kind,
    /// Signal name.
    pub signal: String,
    /// Number of crashes.
    pub count: String,
    /// First crash.
    pub first: Moment,
    /// Newest crash.
    pub last: Moment,
    /// Crashes over time.
    pub bars: Bars,
    /// Images.
    pub images: Names,
    /// Containers.
    pub containers: Names,
    /// Executables.
    pub executables: Names,
}

/// The most frequent value and how many others there are.
#[derive(Clone, Debug)]
pub struct Names {
    /// The most frequent.
    pub first: Option<Brief>,
    /// How many more.
    pub others: usize,
}

impl Names {
    fn new(counts: &[Count]) -> Self {
        Self {
            first: counts.first().map(|count| Brief::new(&count.value, 60)),
            others: counts.len().saturating_sub(1),
        }
    }
}

impl GroupRow {
    /// The row, seen from `now_ms`.
    pub fn new(group: &GroupSummary, window: Window, now_ms: i64) -> Self {
        Self {
            id: group.id.clone(),
            state: group.state.as_str(),
            tags: group.tags.clone(),
            title: Brief::new(&group.title, LINE),
            cause: Brief::named(&group.cause_title, LINE),
            kind: Kind::new(&group.cause),
            signal: group.signal.clone(),
            count: text::grouped(group.count),
            first: Moment::new(group.first_seen_ms, now_ms),
            last: Moment::new(group.last_seen_ms, now_ms),
            bars: window.bars(&group.histogram),
            images: Names::new(&group.images),
            containers: Names::new(&group.containers),
            executables: Names::new(&group.executables),
        }
    }

    /// The same with the crashes of the window alone as its number.
    #[must_use]
    pub fn of_window(mut self) -> Self {
        self.count = text::grouped(self.bars.total);
        self
    }
}

/// What the head of the page sums up.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Crashes over time.
    pub bars: Bars,
    /// Crashes in the window.
    pub crashes: String,
    /// Groups in all.
    pub groups: String,
    /// Dumps waiting for analysis.
    pub pending: u64,
    /// Dumps whose analysis failed.
    pub failed: u64,
    /// Size of everything kept.
    pub stored: String,
    /// Space left.
    pub free: String,
    /// Whether the kernel hands crashes to us.
    pub installed: bool,
    /// What it does instead.
    pub core_pattern: String,
}

impl Summary {
    /// Of the daemon's status and the counts over time.
    pub fn new(status: &DaemonStatus, window: Window, counts: &Trend) -> Self {
        let bars = window.bars(&counts.buckets);
        let more = if counts.cut { "more than " } else { "" };
        let store = &status.store;
        let stored = store
            .core_bytes
            .saturating_add(store.module_bytes)
            .saturating_add(store.database_bytes);
        Self {
            crashes: format!("{more}{}", text::grouped(bars.total)),
            bars,
            groups: text::grouped(store.groups),
            pending: store.pending,
            failed: store.failed,
            stored: bytes::size(stored),
            free: bytes::size(store.free_bytes),
            installed: status.installed,
            core_pattern: text::clip(&status.core_pattern, 200),
        }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "groups.html")]
pub struct GroupsPage {
    shell: Shell,
    summary: Summary,
    window: Window,
    windows: [Window; 3],
    rows: Vec<GroupRow>,
    searched: bool,
    search: String,
    nothing_yet: bool,
    storage_trouble: Option<Brief>,
    first: Option<String>,
    next: Option<String>,
    /// How far back was searched, when the page is not full because of that.
    stopped: Option<Moment>,
}

impl GroupsPage {
    /// The page of a list.
    pub fn new(
        request: &ListRequest,
        status: &DaemonStatus,
        counts: &Trend,
        page: &Page<GroupSummary>,
        now_ms: i64,
    ) -> Self {
        let window = Window::named(&request.window);
        let row = |group| GroupRow::new(group, window, now_ms);
        let (first, next) = request.links(page);
        Self {
            shell: Shell::searching("groups", &request.query),
            summary: Summary::new(status, window, counts),
            window,
            windows: WINDOWS,
            rows: page.items.iter().map(row).collect(),
            searched: !request.query.trim().is_empty(),
            search: text::url(&request.query),
            nothing_yet: status.store.dumps == 0,
            storage_trouble: storage_trouble(status),
            first,
            next,
            stopped: page.searched_to_ms.map(|at| Moment::new(at, now_ms)),
        }
    }
}

/// `GET /groups?query=&window=&cursor=`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    let query = request.parse()?;
    let (window, wanted) = (Window::named(&request.window), request.page());
    let now_ms = time::now_ms();
    let daemon = app.daemon.clone();
    let read = move || {
        let counts = daemon
            .store()
            .histogram(&query, window.histogram(now_ms, true))?;
        let page = daemon
            .store()
            .groups(&query, &wanted, window.histogram(now_ms, false))?;
        Ok::<_, StoreError>((daemon.status(), counts, page))
    };
    let (status, counts, page) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Trouble::internal(&error))??;
    Ok(html(&GroupsPage::new(
        &request, &status, &counts, &page, now_ms,
    )))
}
