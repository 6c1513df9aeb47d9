//! `/investigations`: theories about causes, of all groups.

use super::error::Trouble;
use super::group_life::TheoryView;
use super::{Shell, blocking, html};
use crate::App;
use crate::ui::view::text::{Brief, LINE};
use crate::ui::view::time;
use aground_store::investigations::Investigation;
use aground_store::lifecycle::Verdict;
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
    left_out: usize,
}

impl InvestigationsPage {
    /// The page of theories, seen from `now_ms`.
    pub fn new(request: &Request, found: &[Investigation], now_ms: i64) -> Self {
        let verdicts = [Verdict::Proposed, Verdict::Proven, Verdict::Disproven];
        let of = |verdict: Verdict| {
            found
                .iter()
                .filter(move |one| one.theory.verdict == verdict)
        };
        let asked = verdicts
            .into_iter()
            .find(|verdict| verdict.as_str() == request.verdict);
        let wanted = |one: &&Investigation| asked.is_none_or(|it| one.theory.verdict == it);
        let row = |one: &Investigation| Row {
            group: one.group.clone(),
            title: Brief::named(&one.title, LINE),
            state: one.state.as_str(),
            owner: one.owner.as_deref().map(|owner| Brief::new(owner, 60)),
            theory: TheoryView::new(&one.theory, now_ms),
        };
        let shown: Vec<_> = found.iter().filter(wanted).collect();
        Self {
            shell: Shell::new("investigations"),
            verdict: asked.map(Verdict::as_str).unwrap_or_default(),
            verdicts: verdicts
                .map(|verdict| (verdict.as_str(), of(verdict).count()))
                .to_vec(),
            all: found.len(),
            left_out: shown.len().saturating_sub(MOST),
            rows: shown.into_iter().take(MOST).map(row).collect(),
        }
    }
}

/// `GET /investigations?verdict=`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<Request>,
) -> Result<Response, Trouble> {
    let found = blocking::<_, StoreError, _>(&app, Store::investigations).await?;
    let now_ms = time::now_ms();
    Ok(html(&InvestigationsPage::new(&request, &found, now_ms)))
}
