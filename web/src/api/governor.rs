//! Shows what the governor limits, and lets it go.

use super::paging;
use super::parameters::{Parameters, Path};
use crate::App;
use crate::problem::Problem;
use aground_daemon::Governed;
use aground_store::types::Page;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// How much was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Entries of the governor's table.
    pub forgotten: u64,
}

/// `GET /api/v1/governor?limit=&cursor=`: what the governor counts; what is limited first, then the
/// last to crash first.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<Governed>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let read = tokio::task::spawn_blocking(move || app.daemon.governed()).await?;
    let items = read.map_err(|error| Problem::internal(&error))?;
    let place = |one: &Governed| (Reverse((one.state, one.last_ms)), one.key.clone());
    Ok(Json(paging::page("governor", items, place, &page)?))
}

/// `DELETE /api/v1/governor`: forgets everything.
pub async fn reset_all(State(app): State<App>) -> Result<Json<Forgotten>, Problem> {
    reset(app, None).await
}

/// `DELETE /api/v1/governor/{key}`; the key whole.
pub async fn reset_one(
    State(app): State<App>,
    Path(key): Path<String>,
) -> Result<Json<Forgotten>, Problem> {
    let digits = |key: &str| key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits(&key) {
        let detail = "a key of the governor has 16 hexadecimal digits: see aground governor";
        return Err(Problem::bad_parameter(detail));
    }
    let answer = reset(app, Some(key.to_ascii_lowercase())).await?;
    if answer.forgotten == 0 {
        return Err(Problem::not_found(format!(
            "the governor counts nothing under {key}"
        )));
    }
    Ok(answer)
}

async fn reset(app: App, key: Option<String>) -> Result<Json<Forgotten>, Problem> {
    let done = move || app.daemon.release_governed(key.as_deref());
    let forgotten = tokio::task::spawn_blocking(done).await?;
    let forgotten = forgotten.map_err(|error| Problem::internal(&error))?;
    Ok(Json(Forgotten { forgotten }))
}
