//! Gives operators the state of daemon and store.

use crate::App;
use crate::problem::Problem;
use aground_daemon::DaemonStatus;
use axum::Json;
use axum::extract::State;

/// `GET /api/v1/status`.
pub async fn status(State(app): State<App>) -> Result<Json<DaemonStatus>, Problem> {
    let daemon = app.daemon.clone();
    Ok(Json(
        tokio::task::spawn_blocking(move || daemon.status()).await?,
    ))
}
