//! Says what is not well, as far as the daemon can see it.

use crate::App;
use crate::problem::Problem;
use aground_daemon::doctor::Check;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// What was looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Examination {
    /// In the order of the path of a crash.
    pub checks: Vec<Check>,
}

/// `GET /api/v1/doctor`. What only root can see is missing; `sudo aground doctor` on the host sees it.
pub async fn examine(State(app): State<App>) -> Result<Json<Examination>, Problem> {
    let checks = tokio::task::spawn_blocking(move || app.daemon.examine()).await?;
    Ok(Json(Examination { checks }))
}
