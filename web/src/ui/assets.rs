//! Serves style sheet, scripts and icon from memory, under names that change with their content.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A file of the pages.
struct Asset {
    name: String,
    kind: &'static str,
    body: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, body: &'static str) -> Self {
        use std::fmt::Write;
        let mut digits = String::new();
        for byte in Sha256::digest(body).iter().take(8) {
            // Writing to a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        let name = format!("{stem}-{digits}.{extension}");
        Self { name, kind, body }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_str!("../../static/aground.css");
    Asset::new("aground", "css", "text/css; charset=utf-8", body)
});

static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_str!("../../static/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", body)
});

static KEYS: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_str!("../../static/keys.js");
    Asset::new("keys", "js", "text/javascript; charset=utf-8", body)
});

static LIVE: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_str!("../../static/live.js");
    Asset::new("live", "js", "text/javascript; charset=utf-8", body)
});

/// File name of the style sheet.
pub fn style() -> &'static str {
    &STYLE.name
}

/// File name of the icon.
pub fn icon() -> &'static str {
    &ICON.name
}

/// File name of the keyboard script.
pub fn keys() -> &'static str {
    &KEYS.name
}

/// File name of the script that keeps pages fresh.
pub fn live() -> &'static str {
    &LIVE.name
}

/// `GET /static/{name}`.
pub async fn serve(Path(name): Path<String>) -> Response {
    let assets = [&*STYLE, &*ICON, &*KEYS, &*LIVE];
    match assets.into_iter().find(|asset| asset.name == name) {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.kind),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.body,
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}
