//! Lists and shows groups.

use super::blocking;
use super::parameters::{Parameters, Path};
use crate::App;
use crate::problem::Problem;
use aground_store::StoreError;
use aground_store::history::History;
use aground_store::store::Histogram;
use aground_store::types::{DumpSummary, GroupSummary, Page};
use axum::Json;
use axum::extract::State;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A day by the hour, back from now.
pub(super) fn last_day() -> Histogram {
    Histogram {
        now_ms: jiff::Timestamp::now().as_millisecond(),
        window_ms: DAY_MS,
        buckets: 24,
    }
}

/// `GET /api/v1/groups?query=&filter=k=v&limit=&cursor=`. Histograms are the last 24 hours.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<GroupSummary>>, Problem> {
    parameters.only(&["query", "filter", "saved", "limit", "cursor"])?;
    let (query, page) = (parameters.query(&app)?, parameters.page()?);
    let groups = blocking(&app, move |store| store.groups(&query, &page, last_day())).await?;
    Ok(Json(groups))
}

/// `GET /api/v1/groups/{ref}`.
pub async fn show(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<GroupSummary>, Problem> {
    Ok(Json(whole(&app, reference).await?))
}

/// `GET /api/v1/groups/{ref}/dumps?limit=&cursor=`.
pub async fn dumps(
    State(app): State<App>,
    Path(reference): Path<String>,
    parameters: Parameters,
) -> Result<Json<Page<DumpSummary>>, Problem> {
    parameters.only(&["query", "filter", "saved", "limit", "cursor"])?;
    let group = blocking(&app, move |store| store.resolve_group(&reference)).await?;
    let query = parameters
        .query(&app)?
        .with_filter(&format!("group={group}"))?;
    let page = parameters.page()?;
    let dumps = blocking(&app, move |store| store.dumps(&query, &page)).await?;
    Ok(Json(dumps))
}

/// `GET /api/v1/groups/{ref}/seen`: where and when, and what stands out.
pub async fn seen(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<History>, Problem> {
    let id = blocking(&app, move |store| store.resolve_group(&reference)).await?;
    let history = blocking::<_, StoreError, _>(&app, move |store| store.history(&id)).await?;
    Ok(Json(history))
}

async fn whole(app: &App, reference: String) -> Result<GroupSummary, Problem> {
    let id = blocking(app, move |store| store.resolve_group(&reference)).await?;
    blocking(app, move |store| store.group(&id, last_day())).await
}
