//! Symbols: takes files in, lists and removes them.

use super::parameters::{Parameters, Path};
use super::uploads::Brought;
use super::{attachment, blocking, paging};
use crate::App;
use crate::access::Access;
use crate::problem::Problem;
use aground_daemon::Uploaded;
use aground_store::symbols::SymbolFile;
use aground_store::types::Page;
use aground_store::wanted::MissingSymbols;
use aground_store::{Store, StoreError};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use tokio_util::io::ReaderStream;

/// `POST /api/v1/symbols?name=`: the body is an ELF file with debug information or a symbol table
/// and a build ID. 201 with what it is, and how many dumps are analysed again because of it. With
/// `upload=ID` the file is that upload ([`super::uploads`]), and there is no body.
pub async fn upload(
    State(app): State<App>,
    access: Option<Extension<Access>>,
    parameters: Parameters,
    body: Body,
) -> Result<(StatusCode, Json<Uploaded>), Problem> {
    parameters.only(&["name", "upload"])?;
    let name = parameters.get("name").unwrap_or_default();
    let brought = Brought::named(&app, access.as_ref(), &parameters).await?;
    let uploaded = match brought {
        None => {
            let bytes = body.into_data_stream();
            app.daemon.upload_symbols(name, bytes).await?
        }
        Some(brought) => {
            let bytes = brought.bytes()?;
            brought.end(app.daemon.upload_symbols(name, bytes).await)?
        }
    };
    Ok((StatusCode::CREATED, Json(uploaded)))
}

/// `GET /api/v1/symbols?limit=&cursor=`: all files, by build ID.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<SymbolFile>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let files = blocking(&app, Store::symbols).await?;
    let place = |file: &SymbolFile| file.build_id.clone();
    Ok(Json(paging::page("symbols", files, place, &page)?))
}

/// The most files that are listed as missing, on all pages.
const MISSING_MAX: usize = 10_000;

/// `GET /api/v1/symbols/missing?limit=&cursor=`: files that crashes lack, those that most crashes
/// lack first.
pub async fn missing(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<MissingSymbols>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let files = blocking(&app, |store: &Store| store.missing_symbols(MISSING_MAX)).await?;
    let place = |file: &MissingSymbols| {
        let most = Reverse((file.crashes, file.last_seen_ms));
        (most, file.build_id.clone())
    };
    Ok(Json(paging::page("missing", files, place, &page)?))
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
