//! `/dumps`: all crashes, newest first.

use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::ui::view::crash::{Row, rows};
use crate::ui::view::text;
use crate::ui::view::time::{self, Moment};
use aground_store::Query;
use aground_store::types::{DumpSummary, Page, PageRequest};
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;

/// Rows of one page.
const ROWS: usize = 50;

/// What a list may be asked.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ListRequest {
    /// The search.
    #[serde(default)]
    pub query: String,
    /// Where the page begins.
    #[serde(default)]
    pub cursor: String,
    /// Window of the pictures: `24h`, `7d`, `30d`.
    #[serde(default)]
    pub window: String,
}

impl ListRequest {
    /// The search, parsed.
    pub fn parse(&self) -> Result<Query, Trouble> {
        Query::parse(&self.query).map_err(|error| Trouble::bad_query(&self.query, &error))
    }

    /// The page asked for.
    pub fn page(&self) -> PageRequest {
        PageRequest {
            limit: ROWS,
            cursor: Some(self.cursor.clone()).filter(|cursor| !cursor.is_empty()),
        }
    }

    /// Links to the beginning of the list and to the page after this one, where these are others.
    pub fn links<T>(&self, page: &Page<T>) -> (Option<String>, Option<String>) {
        let first = Some(self.link("")).filter(|_| !self.cursor.is_empty());
        let next = page.next_cursor.as_deref();
        (first, next.map(|cursor| self.link(cursor)))
    }

    /// The query string that shows the page at a cursor.
    pub fn link(&self, cursor: &str) -> String {
        let parts = [
            ("query", self.query.as_str()),
            ("window", &self.window),
            ("cursor", cursor),
        ];
        let given = parts.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<_> = given
            .map(|(name, value)| format!("{name}={}", text::url(value)))
            .collect();
        format!("?{}", pairs.join("&"))
    }
}

/// The page.
#[derive(Template)]
#[template(path = "dumps.html")]
pub struct DumpsPage {
    shell: Shell,
    rows: Vec<Row>,
    total: String,
    searched: bool,
    first: Option<String>,
    next: Option<String>,
    /// How far back was searched, when the page is not full because of that.
    stopped: Option<Moment>,
}

impl DumpsPage {
    /// The page of a list.
    pub fn new(
        request: &ListRequest,
        page: &Page<DumpSummary>,
        total: Option<u64>,
        now_ms: i64,
    ) -> Self {
        let searched = !request.query.trim().is_empty();
        let (first, next) = request.links(page);
        Self {
            shell: Shell::searching("dumps", &request.query),
            rows: rows(&page.items, now_ms),
            total: total.map_or_else(
                || "more crashes than are counted here".to_owned(),
                |total| text::count(total, "crash", "crashes"),
            ),
            searched,
            first,
            next,
            stopped: page.searched_to_ms.map(|at| Moment::new(at, now_ms)),
        }
    }
}

/// `GET /dumps?query=&cursor=`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    let query = request.parse()?;
    let wanted = request.page();
    let (page, total) = blocking(&app, move |store| {
        let total = store.count_dumps(&query)?;
        store.dumps(&query, &wanted).map(|page| (page, total))
    })
    .await?;
    Ok(html(&DumpsPage::new(
        &request,
        &page,
        total,
        time::now_ms(),
    )))
}
