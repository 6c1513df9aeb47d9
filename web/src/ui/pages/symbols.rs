//! `/symbols`: what crashes lack, what is kept, and a form that hands a file in.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::{Shell, html};
use crate::App;
use crate::api::paging;
use crate::ui::view::bytes;
use crate::ui::view::text::{self, Brief, base_name};
use crate::ui::view::time::{self, Moment};
use aground_daemon::{Daemon, SymbolsStatus};
use aground_store::StoreError;
use aground_store::symbols::{Source, SymbolFile};
use aground_store::wanted::MissingSymbols;
use askama::Template;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::response::{IntoResponse, Redirect, Response};
use std::cmp::Reverse;

/// The most rows of each list; the command line shows all.
const MOST: usize = 200;

/// The page.
#[derive(Template)]
#[template(path = "symbols.html")]
pub struct SymbolsPage {
    shell: Shell,
    missing: Vec<Missing>,
    kept: Vec<Kept>,
    kept_all: usize,
    first: Option<String>,
    next: Option<String>,
    held: String,
    servers: Vec<Server>,
}

/// A file that crashes lack.
#[derive(Clone, Debug)]
struct Missing {
    build_id: String,
    module: Brief,
    path: Brief,
    crashes: String,
    seen: Moment,
    asked: Option<Brief>,
}

impl Missing {
    fn new(file: &MissingSymbols, now_ms: i64) -> Self {
        Self {
            build_id: file.build_id.clone(),
            module: Brief::new(base_name(&file.module), 60),
            path: Brief::new(&file.module, 1000),
            crashes: text::grouped(file.crashes),
            seen: Moment::new(file.last_seen_ms, now_ms),
            asked: file.outcome.as_deref().map(|said| Brief::new(said, 120)),
        }
    }
}

/// A file that is kept.
#[derive(Clone, Debug)]
struct Kept {
    build_id: String,
    name: Brief,
    debug: String,
    size: String,
    fetched: bool,
    came: Moment,
    used: Moment,
}

impl Kept {
    fn new(file: &SymbolFile, now_ms: i64) -> Self {
        Self {
            build_id: file.build_id.clone(),
            name: Brief::new(&file.name, 60),
            debug: file.debug.clone(),
            size: bytes::size(file.size),
            fetched: file.source == Source::Debuginfod,
            came: Moment::new(file.uploaded_at_ms, now_ms),
            used: Moment::new(file.used_at_ms, now_ms),
        }
    }
}

/// A server that is asked.
#[derive(Clone, Debug)]
struct Server {
    url: Brief,
    fetched: String,
    trouble: Option<Brief>,
}

impl SymbolsPage {
    /// The page of what is missing and what is kept, seen from `now_ms`.
    pub fn new(
        request: &ListRequest,
        status: &SymbolsStatus,
        missing: &[MissingSymbols],
        kept: Vec<SymbolFile>,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let kept_all = kept.len();
        let newest = |file: &SymbolFile| (Reverse(file.uploaded_at_ms), file.build_id.clone());
        let kept = paging::page("kept", kept, newest, &request.page())?;
        let (first, next) = request.links(&kept);
        let (held, most) = (bytes::size(status.bytes), bytes::size(status.max_bytes));
        Ok(Self {
            shell: Shell::new("symbols"),
            missing: missing.iter().map(|it| Missing::new(it, now_ms)).collect(),
            kept_all,
            first,
            next,
            kept: kept
                .items
                .iter()
                .map(|file| Kept::new(file, now_ms))
                .collect(),
            held: format!("{held} of {most}"),
            servers: status
                .debuginfod
                .iter()
                .map(|server| Server {
                    url: Brief::new(&server.url, 200),
                    fetched: text::grouped(server.fetched),
                    trouble: server.trouble.as_deref().map(|why| Brief::new(why, 300)),
                })
                .collect(),
        })
    }
}

/// `GET /symbols`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    let daemon = app.daemon.clone();
    let read = move || look(&daemon, &request);
    let page = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Trouble::internal(&error))?;
    Ok(html(&page?))
}

fn look(daemon: &Daemon, request: &ListRequest) -> Result<SymbolsPage, StoreError> {
    let store = daemon.store();
    let (missing, kept) = (store.missing_symbols(MOST)?, store.symbols()?);
    let status = daemon.status().symbols;
    SymbolsPage::new(request, &status, &missing, kept, time::now_ms())
}

/// `POST /symbols`: takes the form's files in, then back to the page.
pub async fn upload(
    State(app): State<App>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Trouble> {
    let mut form = form.map_err(|error| Trouble::bad_upload(&error.body_text()))?;
    let mut taken = 0;
    loop {
        let field = form.next_field().await;
        let Some(field) = field.map_err(|error| Trouble::bad_upload(&error.body_text()))? else {
            break;
        };
        let name = field.file_name().unwrap_or_default().to_owned();
        // A form without a file sends one without a name.
        if field.name() != Some("file") || name.is_empty() {
            continue;
        }
        app.daemon.upload_symbols(&name, field).await?;
        taken += 1;
    }
    if taken == 0 {
        return Err(Trouble::bad_upload("no file was chosen"));
    }
    Ok(Redirect::to("/symbols").into_response())
}

/// `POST /symbols/fetch`: has servers asked for all that is missing.
pub async fn fetch(State(app): State<App>) -> Result<Response, Trouble> {
    let daemon = app.daemon.clone();
    let asked = tokio::task::spawn_blocking(move || daemon.fetch_symbols());
    asked.await.map_err(|error| Trouble::internal(&error))??;
    Ok(Redirect::to("/symbols").into_response())
}

/// `POST /symbols/{build_id}/remove`.
pub async fn remove(
    State(app): State<App>,
    Path(build_id): Path<String>,
) -> Result<Response, Trouble> {
    super::blocking::<_, StoreError, _>(&app, move |store| store.remove_symbols(&build_id)).await?;
    Ok(Redirect::to("/symbols").into_response())
}
