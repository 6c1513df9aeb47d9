//! `/audit`: who took which core, module or log, who removed what, and who was given access.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::ui::view::text::Brief;
use crate::ui::view::time::{self, Moment};
use aground_store::Store;
use aground_store::access::Audited;
use aground_store::types::PageRequest;
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;

/// Entries of one page.
const ROWS: usize = 100;

/// An entry as a row.
#[derive(Clone, Debug)]
struct Row {
    at: Moment,
    who: Brief,
    from: Brief,
    what: String,
    /// The crash's id, and what of it is shown.
    dump: Option<(String, Brief)>,
    request: Brief,
}

impl Row {
    fn new(entry: &Audited, now_ms: i64) -> Self {
        let dump = entry.dump.as_ref();
        Self {
            at: Moment::new(entry.at_ms, now_ms),
            who: Brief::new(&entry.who, 80),
            from: Brief::new(&entry.from, 60),
            what: entry.what.clone(),
            dump: dump.map(|id| (id.clone(), Brief::new(id, 12))),
            request: Brief::new(&entry.request, 160),
        }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

/// `GET /audit?cursor=`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    let wanted = PageRequest {
        limit: ROWS,
        ..request.page()
    };
    let read = move |store: &Store| store.audited(&wanted);
    let page = blocking(&app, read).await?;
    let now_ms = time::now_ms();
    let (first, next) = request.links(&page);
    Ok(html(&AuditPage {
        shell: Shell::new("settings"),
        rows: page.items.iter().map(|it| Row::new(it, now_ms)).collect(),
        first,
        next,
    }))
}
