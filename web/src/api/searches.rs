//! Searches that people named.

use super::blocking;
use super::parameters::{Parameters, Path};
use crate::App;
use crate::problem::Problem;
use aground_store::searches::SavedSearch;
use aground_store::{Store, StoreError};
use axum::Json;
use axum::extract::State;

/// `GET /api/v1/searches`.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Vec<SavedSearch>>, Problem> {
    parameters.only(&[])?;
    Ok(Json(app.daemon.store().searches()))
}

/// `PUT /api/v1/searches/{name}?query=`: saves, or replaces.
pub async fn save(
    State(app): State<App>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Json<SavedSearch>, Problem> {
    parameters.only(&["query"])?;
    let query = parameters.get("query").unwrap_or_default().to_owned();
    let save = move |store: &Store| store.save_search(&name, &query);
    Ok(Json(blocking::<_, StoreError, _>(&app, save).await?))
}

/// `DELETE /api/v1/searches/{name}`: answers what it was.
pub async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<SavedSearch>, Problem> {
    let remove = move |store: &Store| store.remove_search(&name);
    Ok(Json(blocking::<_, StoreError, _>(&app, remove).await?))
}
