//! `/investigations`: theories about causes, of all groups.

use super::error::Trouble;
use super::group_life::TheoryView;
use super::{Shell, blocking, html};
use crate::App;
use crate::api::overview::page_of;
use crate::ui::view::text::{self, Brief, LINE};
use crate::ui::view::time;
use aground_store::investigations::Investigation;
use aground_store::lifecycle::Verdict;
use aground_store::types::PageRequest;
use aground_store::{Store, StoreError};
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;

/// The most theories on the page; the API has all.
const MOST: usize = 200;

/// Which theories.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Request {
    /// `proposed`, `proven` or `disproven`; anything else: all.
    #[serde(default)]
    verdict: String,
    /// Where the page begins.
    #[serde(default)]
    cursor: String,
}

impl Request {
    fn page(&self) -> PageRequest {
        PageRequest {
            limit: MOST,
            cursor: Some(self.cursor.clone()).filter(|cursor| !cursor.is_empty()),
        }
    }

    fn link(&self, cursor: &str) -> String {
        let (verdict, cursor) = (text::url(&self.verdict), text::url(cursor));
        format!("?verdict={verdict}&cursor={cursor}")
    }
}

#[derive(Clone, Debug)]
struct Row {
    group: String,
    title: Brief,
    state: &'static str,
    owner: Option<Brief>,
    theory: TheoryView,
}

/// The page.
#[derive(Template)]
#[template(path = "investigations.html")]
pub struct InvestigationsPage {
    shell: Shell,
    verdict: &'static str,
    /// Word, and how many there are.
    verdicts: Vec<(&'static str, usize)>,
    all: usize,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

impl InvestigationsPage {
    /// The page of theories, seen from `now_ms`.
    pub fn new(
        request: &Request,
        found: Vec<Investigation>,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let verdicts = [Verdict::Proposed, Verdict::Proven, Verdict::Disproven];
        let of = |verdict: Verdict| {
            found
                .iter()
                .filter(move |one| one.theory.verdict == verdict)
        };
        let asked = verdicts
            .into_iter()
            .find(|verdict| verdict.as_str() == request.verdict);
        let row = |one: &Investigation| Row {
            group: one.group.clone(),
            title: Brief::named(&one.title, LINE),
            state: one.state.as_str(),
            owner: one.owner.as_deref().map(|owner| Brief::new(owner, 60)),
            theory: TheoryView::new(&one.theory, now_ms),
        };
        let counts = verdicts.map(|verdict| (verdict.as_str(), of(verdict).count()));
        let all = found.len();
        let mut shown = found;
        shown.retain(|one| asked.is_none_or(|it| one.theory.verdict == it));
        let page = page_of(shown, &request.page())?;
        Ok(Self {
            shell: Shell::new("investigations"),
            verdict: asked.map(Verdict::as_str).unwrap_or_default(),
            verdicts: counts.to_vec(),
            all,
            first: Some(request.link("")).filter(|_| !request.cursor.is_empty()),
            next: page
                .next_cursor
                .as_deref()
                .map(|cursor| request.link(cursor)),
            rows: page.items.iter().map(row).collect(),
        })
    }
}

/// `GET /investigations?verdict=`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<Request>,
) -> Result<Response, Trouble> {
    let found = blocking::<_, StoreError, _>(&app, Store::investigations).await?;
    let now_ms = time::now_ms();
    Ok(html(&InvestigationsPage::new(&request, found, now_ms)?))
}
