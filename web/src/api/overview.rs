//! What somebody who was just woken wants to know, and what the other pages are made of.

use super::blocking;
use super::parameters::Parameters;
use crate::App;
use crate::problem::Problem;
use crate::ui::pages::groups::{WINDOWS, Window};
use aground_daemon::Setting;
use aground_store::StoreError;
use aground_store::image_builds::ImageBuilds;
use aground_store::investigations::Investigation;
use aground_store::overview::Overview;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// Everything of a short list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct All<T> {
    /// The items.
    pub items: Vec<T>,
}

/// `GET /api/v1/overview?window=24h|7d|30d`.
pub async fn overview(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Overview>, Problem> {
    parameters.only(&["window"])?;
    let window = window(&parameters)?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let read = move |store: &aground_store::Store| {
        let fine = window.histogram(now_ms, true).buckets;
        store.overview(window.histogram(now_ms, false), fine)
    };
    Ok(Json(blocking::<_, StoreError, _>(&app, read).await?))
}

fn window(parameters: &Parameters) -> Result<Window, Problem> {
    let name = parameters.get("window").unwrap_or_default();
    let known = WINDOWS
        .into_iter()
        .find(|window| window.word == name || name.is_empty());
    known.ok_or_else(|| {
        Problem::bad_parameter(format!("window=\"{name}\": one of 24h, 7d, 30d expected"))
    })
}

/// `GET /api/v1/images?query=&filter=k=v&saved=`: builds of images that crashed, with trends of the
/// last 30 days.
pub async fn images(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<ImageBuilds>, Problem> {
    parameters.only(&["query", "filter", "saved"])?;
    let query = parameters.query(&app)?;
    let over = super::report::days();
    let read = move |store: &aground_store::Store| store.image_builds(query, over);
    Ok(Json(blocking::<_, StoreError, _>(&app, read).await?))
}

/// `GET /api/v1/investigations`: theories of all groups, newest first.
pub async fn investigations(State(app): State<App>) -> Result<Json<All<Investigation>>, Problem> {
    let read = |store: &aground_store::Store| store.investigations();
    let items = blocking::<_, StoreError, _>(&app, read).await?;
    Ok(Json(All { items }))
}

/// `GET /api/v1/settings`: the configuration in force, without secrets.
pub async fn settings(State(app): State<App>) -> Result<Json<All<Setting>>, Problem> {
    let items = app
        .daemon
        .settings()
        .map_err(|error| Problem::internal(&error))?;
    Ok(Json(All { items }))
}
