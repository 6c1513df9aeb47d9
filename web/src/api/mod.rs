//! The API under `/api/v1`: a file per resource.
//!
//! Store calls block on disk, so every one of them goes through [`blocking`].

pub mod audit;
pub mod compare;
pub mod cores;
pub mod debuginfod;
pub mod decisions;
pub mod doctor;
pub mod dumps;
pub mod events;
pub mod feed;
pub mod governor;
pub mod grouping;
pub mod groups;
pub mod health;
pub mod import;
pub mod modules;
pub mod notify;
pub mod openapi;
pub mod overview;
pub mod paging;
pub mod parameters;
pub mod prune;
pub mod range;
pub mod regroup;
pub mod report;
pub mod revalidate;
pub mod rules;
pub mod searches;
pub mod status;
pub mod symbols;
pub mod tokens;
pub mod uploads;

use crate::App;
use crate::problem::Problem;
use aground_helper::id::DumpId;
use aground_store::Store;
use axum::http::HeaderValue;

/// Runs a call that blocks on disk where it does not hold up other requests.
pub async fn blocking<T, E, F>(app: &App, call: F) -> Result<T, Problem>
where
    T: Send + 'static,
    E: Into<Problem> + Send + 'static,
    F: FnOnce(&Store) -> Result<T, E> + Send + 'static,
{
    let daemon = app.daemon.clone();
    tokio::task::spawn_blocking(move || call(daemon.store()))
        .await?
        .map_err(Into::into)
}

/// The dump that a prefix of an id names.
pub async fn resolve_dump(app: &App, reference: String) -> Result<DumpId, Problem> {
    blocking(app, move |store| store.resolve_dump(&reference)).await
}

/// A `Content-Disposition` that saves under `name`; whatever is no plain file name character in
/// it becomes `_`.
pub fn attachment(name: &str) -> HeaderValue {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let safe: String = name
        .chars()
        .take(200)
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    let safe = safe.trim_start_matches('.');
    let name = if safe.is_empty() { "download" } else { safe };
    HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn download_names_cannot_leave_their_header_or_directory() {
        for (name, expected) in [
            ("libc.so.6", "attachment; filename=\"libc.so.6\""),
            (
                "../../etc/passwd",
                "attachment; filename=\"_.._etc_passwd\"",
            ),
            (
                "a\"; x=\"\r\nSet-Cookie: a",
                "attachment; filename=\"a___x____Set-Cookie__a\"",
            ),
            ("...", "attachment; filename=\"download\""),
        ] {
            assert_eq!(attachment(name), expected, "{name:?}");
        }
    }
}
