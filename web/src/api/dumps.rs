//! Lists, shows and removes dumps.

use super::parameters::{Parameters, Path};
use super::{blocking, resolve_dump};
use crate::App;
use crate::problem::Problem;
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::record::Record;
use aground_store::StoreError;
use aground_store::types::{Dump, DumpStatus, DumpSummary, Page};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

/// What an action on a dump answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpReference {
    /// The whole id.
    pub id: DumpId,
}

/// `GET /api/v1/dumps?query=&filter=k=v&limit=&cursor=`.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<DumpSummary>>, Problem> {
    parameters.only(&["query", "filter", "saved", "limit", "cursor"])?;
    let (query, page) = (parameters.query(&app)?, parameters.page()?);
    let dumps = blocking(&app, move |store| store.dumps(&query, &page)).await?;
    Ok(Json(dumps))
}

/// `GET /api/v1/dumps/{ref}`.
pub async fn show(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Dump>, Problem> {
    Ok(Json(whole(&app, reference).await?))
}

/// `DELETE /api/v1/dumps/{ref}`.
pub async fn remove(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<DumpReference>, Problem> {
    let id = resolve_dump(&app, reference).await?;
    let (daemon, doomed) = (app.daemon.clone(), id.clone());
    tokio::task::spawn_blocking(move || daemon.remove_dump(&doomed)).await??;
    Ok(Json(DumpReference { id }))
}

/// `GET /api/v1/dumps/{ref}/record`.
pub async fn record(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Record>, Problem> {
    Ok(Json(whole(&app, reference).await?.record))
}

/// `GET /api/v1/dumps/{ref}/report`.
pub async fn report(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Report>, Problem> {
    let dump = whole(&app, reference).await?;
    match dump.report {
        Some(report) => Ok(Json(report)),
        None => Err(no_report(&dump.summary)),
    }
}

fn no_report(summary: &DumpSummary) -> Problem {
    let reason = match (summary.status, &summary.analysis_error) {
        (DumpStatus::Failed, Some(error)) => format!("analysis failed: {error}"),
        (DumpStatus::Failed, None) => "analysis failed".to_owned(),
        _ => "the analysis has not ended yet".to_owned(),
    };
    Problem::not_found(format!("there is no report: {reason}"))
}

/// `GET /api/v1/dumps/{ref}/log`: the tail of the container's log as plain text.
pub async fn log(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let log = whole(&app, reference).await?.log_tail;
    let log = log.ok_or_else(|| Problem::not_found("no log was kept with this dump"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], log))
}

/// `GET /api/v1/dumps/{ref}/text`: cause, stacks, registers and modules as plain text, as `aground
/// bt -afrm` prints them.
pub async fn text(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let dump = whole(&app, reference).await?;
    let text = crate::cli::bt::plain(&dump, jiff::Timestamp::now().as_millisecond());
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}

/// `PUT /api/v1/dumps/{ref}/pin`: nothing of the dump is given up unasked from now on.
pub async fn pin(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<DumpReference>, Problem> {
    set_pin(&app, reference, true).await
}

/// `DELETE /api/v1/dumps/{ref}/pin`.
pub async fn unpin(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<DumpReference>, Problem> {
    set_pin(&app, reference, false).await
}

async fn set_pin(
    app: &App,
    reference: String,
    pinned: bool,
) -> Result<Json<DumpReference>, Problem> {
    let id = resolve_dump(app, reference).await?;
    let dump = id.clone();
    blocking::<_, StoreError, _>(app, move |store| store.pin(&dump, pinned)).await?;
    Ok(Json(DumpReference { id }))
}

/// `POST /api/v1/dumps/{ref}/analyze`: queues an analysis.
pub async fn analyze(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<(StatusCode, Json<DumpReference>), Problem> {
    let id = resolve_dump(&app, reference).await?;
    let (daemon, queued) = (app.daemon.clone(), id.clone());
    tokio::task::spawn_blocking(move || daemon.reanalyze(&queued)).await??;
    Ok((StatusCode::ACCEPTED, Json(DumpReference { id })))
}

async fn whole(app: &App, reference: String) -> Result<Dump, Problem> {
    let id = resolve_dump(app, reference).await?;
    blocking::<_, StoreError, _>(app, move |store| store.dump(&id)).await
}
