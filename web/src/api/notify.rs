//! Shows who is told of what changes, and sends test messages.

use super::parameters::Path;
use crate::App;
use crate::problem::Problem;
use aground_daemon::{TargetStatus, TestResult};
use axum::Json;
use axum::extract::State;

/// `GET /api/v1/notify`: every target of the configuration and how it goes with it.
pub async fn list(State(app): State<App>) -> Result<Json<Vec<TargetStatus>>, Problem> {
    let daemon = app.daemon.clone();
    let targets = tokio::task::spawn_blocking(move || daemon.targets()).await??;
    Ok(Json(targets))
}

/// `POST /api/v1/notify/{name}/test`: sends a test message now, and says what came of it.
pub async fn test(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<TestResult>, Problem> {
    Ok(Json(app.daemon.test_target(&name).await?))
}
