//! What somebody who was just woken wants to know, and what the other pages are made of.

use super::parameters::Parameters;
use super::{blocking, paging};
use crate::App;
use crate::problem::Problem;
use crate::ui::pages::groups::{WINDOWS, Window};
use aground_daemon::Setting;
use aground_store::StoreError;
use aground_store::image_builds::ImageBuild;
use aground_store::investigations::Investigation;
use aground_store::overview::Overview;
use aground_store::types::{Page, PageRequest};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

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
    let [usual, ..] = WINDOWS;
    let Some(name) = parameters.get("window") else {
        return Ok(usual);
    };
    let known = WINDOWS.into_iter().find(|window| window.word == name);
    known.ok_or_else(|| {
        Problem::bad_parameter(format!("window=\"{name}\": one of 24h, 7d, 30d expected"))
    })
}

/// A page of builds of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImagePage {
    /// Most crashes first.
    #[serde(flatten)]
    pub page: Page<ImageBuild>,
    /// Builds beyond those that all pages have.
    pub more: u64,
    /// Crashes that were looked at, also those outside of containers.
    pub crashes: u64,
    /// Milliseconds of a bucket of the trends.
    pub bucket_ms: i64,
    /// Why not everything was counted, a sentence; `None` when it was.
    pub cut: Option<String>,
}

/// `GET /api/v1/images?query=&filter=k=v&saved=&limit=&cursor=`: builds of images that crashed, with trends of the
/// last 30 days.
pub async fn images(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<ImagePage>, Problem> {
    parameters.only(&["query", "filter", "saved", "limit", "cursor"])?;
    let (query, page) = (parameters.query(&app)?, parameters.page()?);
    let over = super::report::days();
    let read = move |store: &aground_store::Store| store.image_builds(query, over);
    let builds = blocking::<_, StoreError, _>(&app, read).await?;
    let place = |build: &ImageBuild| {
        let names = [&build.image, &build.digest, &build.image_id];
        (Reverse(build.crashes), names.map(Clone::clone))
    };
    Ok(Json(ImagePage {
        page: paging::page("images", builds.images, place, &page)?,
        more: builds.more,
        crashes: builds.crashes,
        bucket_ms: builds.bucket_ms,
        cut: builds.cut,
    }))
}

/// `GET /api/v1/investigations?limit=&cursor=`: theories of all groups, newest first.
pub async fn investigations(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<Investigation>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let read = |store: &aground_store::Store| store.investigations();
    let all = blocking::<_, StoreError, _>(&app, read).await?;
    Ok(Json(page_of(all, &page)?))
}

/// A page of theories, newest first.
pub fn page_of(
    all: Vec<Investigation>,
    page: &PageRequest,
) -> Result<Page<Investigation>, StoreError> {
    let place = |one: &Investigation| Reverse(one.theory.id);
    paging::page("investigations", all, place, page)
}

/// `GET /api/v1/settings`: the configuration in force, without secrets.
pub async fn settings(State(app): State<App>) -> Result<Json<All<Setting>>, Problem> {
    let items = app
        .daemon
        .settings()
        .map_err(|error| Problem::internal(&error))?;
    Ok(Json(All { items }))
}
