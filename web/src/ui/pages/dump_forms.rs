//! What the buttons of a crash's page do: analyze again, pin, unpin, remove.

use super::blocking;
use super::error::Trouble;
use crate::App;
use aground_store::Store;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

/// `POST /dumps/{ref}/analyze`: analyses again, back to the page.
pub async fn analyze(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Response, Trouble> {
    let id = blocking(&app, move |store| store.resolve_dump(&reference)).await?;
    let (daemon, queued) = (app.daemon.clone(), id.clone());
    tokio::task::spawn_blocking(move || daemon.reanalyze(&queued))
        .await
        .map_err(|error| Trouble::internal(&error))??;
    Ok(Redirect::to(&format!("/dumps/{id}")).into_response())
}

/// `POST /dumps/{ref}/pin`: nothing is given up unasked, back to the page.
pub async fn pin(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Response, Trouble> {
    set_pin(&app, reference, true).await
}

/// `POST /dumps/{ref}/unpin`.
pub async fn unpin(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Response, Trouble> {
    set_pin(&app, reference, false).await
}

async fn set_pin(app: &App, reference: String, pinned: bool) -> Result<Response, Trouble> {
    let pin = move |store: &Store| {
        let id = store.resolve_dump(&reference)?;
        store.pin(&id, pinned).map_err(Trouble::from)?;
        Ok::<_, Trouble>(id)
    };
    let id = blocking(app, pin).await?;
    Ok(Redirect::to(&format!("/dumps/{id}")).into_response())
}

/// `POST /dumps/{ref}/remove`: removes the dump, back to the list.
pub async fn remove(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Response, Trouble> {
    let id = blocking(&app, move |store| store.resolve_dump(&reference)).await?;
    let daemon = app.daemon.clone();
    tokio::task::spawn_blocking(move || daemon.remove_dump(&id))
        .await
        .map_err(|error| Trouble::internal(&error))??;
    Ok(Redirect::to("/dumps").into_response())
}
