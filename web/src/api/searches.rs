//! Searches that people named.

use super::parameters::{Parameters, Path};
use super::{blocking, paging};
use crate::App;
use crate::problem::Problem;
use aground_store::searches::SavedSearch;
use aground_store::types::Page;
use aground_store::{Store, StoreError};
use axum::Json;
use axum::extract::State;

/// `GET /api/v1/searches?limit=&cursor=`: by name.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<SavedSearch>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let (all, page) = (app.daemon.store().searches(), parameters.page()?);
    let place = |search: &SavedSearch| search.name.clone();
    Ok(Json(paging::page("searches", all, place, &page)?))
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
