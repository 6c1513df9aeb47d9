//! Tells who took what.

use super::blocking;
use super::parameters::Parameters;
use crate::App;
use crate::problem::Problem;
use aground_store::access::Audited;
use aground_store::types::Page;
use aground_store::{Store, StoreError};
use axum::Json;
use axum::extract::State;

/// `GET /api/v1/audit?limit=&cursor=`: what was written down, newest first.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<Audited>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let read = move |store: &Store| store.audited(&page);
    Ok(Json(blocking::<_, StoreError, _>(&app, read).await?))
}
