//! Has all crashes signed anew, and lists groups that may be one.

use super::parameters::Parameters;
use super::{blocking, paging};
use crate::App;
use crate::problem::Problem;
use aground_daemon::{RegroupError, RegroupStatus};
use aground_store::StoreError;
use aground_store::proposals::Proposal;
use aground_store::types::{Page, PageRequest};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use std::cmp::Reverse;

/// `POST /api/v1/regroup`: reads the file of rules again and signs crashes by it in the background.
/// How that goes is in `/api/v1/status`.
pub async fn start(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<(StatusCode, Json<RegroupStatus>), Problem> {
    parameters.only(&[])?;
    let daemon = app.daemon.clone();
    let started = tokio::task::spawn_blocking(move || daemon.regroup()).await?;
    let status = started.map_err(|error| match error {
        RegroupError::Store(error) => Problem::from(error),
        RegroupError::Rules(error) => {
            tracing::warn!(
                error = crate::problem::chain(&error),
                "the rules of grouping cannot be used"
            );
            Problem::new(StatusCode::CONFLICT, "bad-rules", error.to_string())
        }
    })?;
    Ok((StatusCode::ACCEPTED, Json(status)))
}

/// `GET /api/v1/groups/proposals?limit=&cursor=`: pairs of groups that may be one, most alike first. To
/// accept one is to merge its groups, to dismiss it is to say that they are `distinct`
/// (`POST /api/v1/groups/{ref}/changes`).
pub async fn proposals(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<Proposal>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let found = blocking(&app, move |store| store.proposals(usize::MAX)).await?;
    Ok(Json(page_of(found, &page)?))
}

/// A page of proposals, most alike first.
pub fn page_of(all: Vec<Proposal>, page: &PageRequest) -> Result<Page<Proposal>, StoreError> {
    let place = |pair: &Proposal| {
        // Bits of numbers that are not negative are in their order.
        let likeness = Reverse(pair.likeness.to_bits());
        (likeness, pair.one.group.clone(), pair.other.group.clone())
    };
    paging::page("proposals", all, place, page)
}
