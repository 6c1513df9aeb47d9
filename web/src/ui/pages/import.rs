//! `/import`: hands a core in from a browser.

use super::error::Trouble;
use super::{Shell, html};
use crate::App;
use aground_daemon::Claims;
use askama::Template;
use axum::extract::State;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::response::{IntoResponse, Redirect, Response};

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    shell: Shell,
}

/// `GET /import`.
pub async fn page() -> Response {
    html(&ImportPage {
        shell: Shell::new("dumps"),
    })
}

/// `POST /import`: takes the form's file in, on to its page.
pub async fn import(
    State(app): State<App>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Trouble> {
    let mut form = form.map_err(|error| Trouble::bad_upload(&error.body_text()))?;
    loop {
        let field = form.next_field().await;
        let Some(field) = field.map_err(|error| Trouble::bad_upload(&error.body_text()))? else {
            return Err(Trouble::bad_upload("no file was chosen"));
        };
        if field.name() != Some("core") {
            continue;
        }
        let claims = Claims {
            file: field.file_name().map(ToOwned::to_owned),
            ..Claims::default()
        };
        let import = app.daemon.import(claims, field).await?;
        return Ok(Redirect::to(&format!("/dumps/{}", import.id)).into_response());
    }
}
