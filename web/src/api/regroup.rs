//! Has all crashes signed anew, and lists groups that may be one.

use super::blocking;
use super::parameters::Parameters;
use crate::App;
use crate::problem::Problem;
use aground_daemon::{RegroupError, RegroupStatus};
use aground_store::proposals::Proposal;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// Pairs listed unless asked otherwise.
const LISTED: usize = 100;
/// The most pairs listed.
const MOST_LISTED: usize = 1000;

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

/// `GET /api/v1/groups/proposals?limit=`: pairs of groups that may be one, most alike first. To
/// accept one is to merge its groups, to dismiss it is to say that they are `distinct`
/// (`POST /api/v1/groups/{ref}/changes`).
pub async fn proposals(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Vec<Proposal>>, Problem> {
    parameters.only(&["limit"])?;
    let limit = parameters.number("limit")?.unwrap_or(LISTED);
    let limit = limit.clamp(1, MOST_LISTED);
    let found = blocking(&app, move |store| store.proposals(limit)).await?;
    Ok(Json(found))
}
