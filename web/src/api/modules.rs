//! Hands out the ELF files a dump refers to, and no others.

use super::cores::part_of;
use super::parameters::Path;
use super::range::{self, Asked};
use super::{attachment, blocking, resolve_dump};
use crate::App;
use crate::problem::Problem;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// `GET /api/v1/dumps/{ref}/modules/{sha256}`.
///
/// The digest must be one of this dump's modules: it never becomes a path on its own word.
pub async fn download(
    State(app): State<App>,
    Path((reference, sha256)): Path<(String, String)>,
    headers: HeaderMap,
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
    let wanted = sha256.clone();
    let file = blocking(&app, move |store| store.module(&wanted)).await?;
    let size = file.metadata()?.len();
    let tag = format!("\"{sha256}\"");
    let asked = Asked::by(&headers, size, &tag);
    let mut response = range::answer(asked, size, &tag, |part| part_of(file, part))?;
    if response.status().is_success() {
        let kind = HeaderValue::from_static("application/octet-stream");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_DISPOSITION, attachment(&name));
    }
    Ok(response)
}
