//! Answers probes, and requests for what does not exist.

use super::blocking;
use crate::App;
use crate::problem::Problem;
use axum::extract::State;
use axum::http::{StatusCode, Uri};

/// The process runs.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// The store answers.
pub async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    match blocking(&app, aground_store::Store::status).await {
        Ok(_) => Ok("ready\n"),
        Err(problem) => Err(problem.with_status(StatusCode::SERVICE_UNAVAILABLE)),
    }
}

/// No route has this path.
pub async fn no_such_page(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

/// The route does not do that.
pub async fn no_such_method() -> Problem {
    let detail = "this address does not take that method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}
