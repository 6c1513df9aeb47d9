//! Tells who took what.

use super::blocking;
use super::parameters::Parameters;
use crate::App;
use crate::problem::Problem;
use aground_store::access::Audited;
use aground_store::{Store, StoreError};
use axum::Json;
use axum::extract::State;

const DEFAULT_LIMIT: usize = 100;
const GREATEST_LIMIT: usize = 10_000;

/// `GET /api/v1/audit?limit=`: what was written down last, newest first.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Vec<Audited>>, Problem> {
    parameters.only(&["limit"])?;
    let limit = match parameters.number("limit")? {
        None | Some(0) => DEFAULT_LIMIT,
        Some(limit) => limit.min(GREATEST_LIMIT),
    };
    let read = move |store: &Store| store.audited(limit);
    Ok(Json(blocking::<_, StoreError, _>(&app, read).await?))
}
