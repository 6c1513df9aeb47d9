//! Hands out the ELF files a dump refers to, and no others.

use super::parameters::Path;
use super::{attachment, blocking, resolve_dump};
use crate::App;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;

/// `GET /api/v1/dumps/{ref}/modules/{sha256}`.
///
/// The digest must be one of this dump's modules: it never becomes a path on its own word.
pub async fn download(
    State(app): State<App>,
    Path((reference, sha256)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id = resolve_dump(&app, reference).await?;
    let dump = blocking(&app, move |store| store.dump(&id)).await?;
    let modules = dump.record.modules.into_iter();
    let mut files = modules.chain(dump.record.debug_files);
    let module = files.find(|m| m.sha256.as_deref() == Some(&sha256));
    let module =
        module.ok_or_else(|| Problem::not_found("this dump has no module with that digest"))?;
    let name = module
        .path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();

    if dump.summary.dropped.is_some() && dump.summary.kept == "none" {
        let given_up = dump.summary.given_up().unwrap_or_default();
        let detail = format!("the modules of this crash went with its memory: {given_up}");
        return Err(Problem::not_found(detail));
    }
    let file = blocking(&app, move |store| store.module(&sha256)).await?;
    let size = file.metadata()?.len();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".parse()),
        (header::CONTENT_LENGTH, size.to_string().parse()),
        (header::CONTENT_DISPOSITION, Ok(attachment(&name))),
    ];
    let headers =
        headers.map(|(name, value)| (name, value.unwrap_or_else(|_| attachment("module"))));
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    Ok((headers, body).into_response())
}
