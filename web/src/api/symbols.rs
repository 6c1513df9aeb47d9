//! Symbols: takes files in, lists and removes them.

use super::parameters::{Parameters, Path};
use super::{attachment, blocking};
use crate::App;
use crate::problem::Problem;
use aground_daemon::Uploaded;
use aground_store::symbols::SymbolFile;
use aground_store::wanted::MissingSymbols;
use aground_store::{Store, StoreError};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;

/// `POST /api/v1/symbols?name=`: the body is an ELF file with debug information or a symbol table
/// and a build ID. 201 with what it is, and how many dumps are analysed again because of it.
pub async fn upload(
    State(app): State<App>,
    parameters: Parameters,
    body: Body,
) -> Result<(StatusCode, Json<Uploaded>), Problem> {
    parameters.only(&["name"])?;
    let name = parameters.get("name").unwrap_or_default();
    let uploaded = app
        .daemon
        .upload_symbols(name, body.into_data_stream())
        .await?;
    Ok((StatusCode::CREATED, Json(uploaded)))
}

/// `GET /api/v1/symbols`: all files, by build ID.
pub async fn list(State(app): State<App>) -> Result<Json<Vec<SymbolFile>>, Problem> {
    Ok(Json(blocking(&app, Store::symbols).await?))
}

/// The most files that are listed as missing.
const MISSING_MAX: usize = 1000;

/// `GET /api/v1/symbols/missing`: files that crashes lack, those that most crashes lack first.
pub async fn missing(State(app): State<App>) -> Result<Json<Vec<MissingSymbols>>, Problem> {
    Ok(Json(
        blocking(&app, |store: &Store| store.missing_symbols(MISSING_MAX)).await?,
    ))
}

/// What servers are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetching {
    /// How many files.
    pub files: usize,
}

/// `POST /api/v1/symbols/fetch`: the debuginfod servers are asked for all that is missing, also
/// for what they did not have before.
pub async fn fetch(State(app): State<App>) -> Result<(StatusCode, Json<Fetching>), Problem> {
    let daemon = app.daemon.clone();
    let files = tokio::task::spawn_blocking(move || daemon.fetch_symbols()).await??;
    let files = files.ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "no-servers",
            "no debuginfod server is configured ([symbols] debuginfod = [...])",
        )
    })?;
    Ok((StatusCode::ACCEPTED, Json(Fetching { files })))
}

/// `GET /api/v1/symbols/{build_id}`: the file.
pub async fn download(
    State(app): State<App>,
    Path(build_id): Path<String>,
) -> Result<Response, Problem> {
    let found = blocking(&app, move |store| store.symbol_file(&build_id)).await?;
    let (file, facts) = found.ok_or_else(none)?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (header::CONTENT_LENGTH, file.metadata()?.len().into()),
        (header::CONTENT_DISPOSITION, attachment(&facts.name)),
    ];
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    Ok((headers, body).into_response())
}

fn none() -> Problem {
    Problem::not_found("there are no symbols of that build ID")
}

/// `DELETE /api/v1/symbols/{build_id}`: reports that were made with it stay as they are.
pub async fn remove(
    State(app): State<App>,
    Path(build_id): Path<String>,
) -> Result<Json<String>, Problem> {
    let removed = build_id.clone();
    blocking(&app, move |store| match store.remove_symbols(&build_id) {
        Err(StoreError::NotFound(_)) => Ok(false),
        other => other.map(|()| true),
    })
    .await?
    .then_some(Json(removed))
    .ok_or_else(none)
}
