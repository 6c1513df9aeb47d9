//! Gives operators the state of daemon and store.

use crate::App;
use crate::problem::Problem;
use aground_daemon::DaemonStatus;
use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// `GET /api/v1/status`.
pub async fn status(State(app): State<App>) -> Result<Json<DaemonStatus>, Problem> {
    let daemon = app.daemon.clone();
    Ok(Json(
        tokio::task::spawn_blocking(move || daemon.status()).await?,
    ))
}

/// `GET /metrics`, in Prometheus' text format.
pub async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let daemon = app.daemon.clone();
    let text = tokio::task::spawn_blocking(move || daemon.metrics()).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
