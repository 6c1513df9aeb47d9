//! `/audit`: who took which core, module or log, who removed what, and who was given access.

use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::ui::view::text::Brief;
use crate::ui::view::time::{self, Moment};
use aground_store::Store;
use aground_store::access::Audited;
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;

/// Entries of one page.
const ROWS: usize = 100;
/// Older ones are in the file alone.
const MOST: usize = 10_000;

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

/// How many newer entries are passed over.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    skip: usize,
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

/// `GET /audit?skip=`.
pub async fn page(
    State(app): State<App>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Trouble> {
    let skip = asked.skip.min(MOST);
    let until = skip.saturating_add(ROWS);
    let read = move |store: &Store| store.audited(until.saturating_add(1));
    let entries = blocking(&app, read).await?;
    let now_ms = time::now_ms();
    let more = entries.len() > until && until <= MOST;
    let shown = entries.iter().skip(skip).take(ROWS);
    Ok(html(&AuditPage {
        shell: Shell::new("settings"),
        rows: shown.map(|entry| Row::new(entry, now_ms)).collect(),
        first: (skip > 0).then(|| "/audit".to_owned()),
        next: more.then(|| format!("?skip={until}")),
    }))
}
