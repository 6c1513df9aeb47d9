//! `/images`: builds of images by what crashes in them.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::api::report::days;
use crate::ui::view::svg::Bars;
use crate::ui::view::text::{self, Brief};
use crate::ui::view::time::{self, Moment};
use aground_store::image_builds::{ImageBuild, ImageBuilds};
use aground_store::{Store, StoreError};
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;

/// What the pictures show.
const WINDOW: &str = "30 days";

#[derive(Clone, Debug)]
struct Row {
    image: Option<Brief>,
    /// Where the digest's image comes from, and the digest or the engine's id.
    build: Option<Brief>,
    local: bool,
    crashes: String,
    groups: String,
    first: Moment,
    last: Moment,
    bars: Bars,
    /// The query that finds its crashes.
    query: String,
}

impl Row {
    fn new(image: &ImageBuild, bucket_ms: i64, now_ms: i64) -> Self {
        let buckets = i64::try_from(image.trend.len()).unwrap_or(0);
        let build = image.digest.as_deref().or(image.image_id.as_deref());
        Self {
            image: image.image.as_deref().map(|it| Brief::named(it, 100)),
            build: build.map(|build| Brief::new(build, 200)),
            local: image.digest.is_none(),
            crashes: text::grouped(image.crashes),
            groups: text::grouped(image.groups),
            first: Moment::new(image.first_seen_ms, now_ms),
            last: Moment::new(image.last_seen_ms, now_ms),
            bars: Bars::new(&image.trend, bucket_ms.saturating_mul(buckets), WINDOW),
            query: text::url(&query(image)),
        }
    }
}

fn query(image: &ImageBuild) -> String {
    let conditions = [
        ("image", &image.image),
        ("image_digest", &image.digest),
        ("image_id", &image.image_id),
    ];
    let mut parts = vec![];
    for (field, value) in conditions {
        if let Some(value) = value {
            parts.push(format!("{field}:{}", text::query_value(value)));
        }
    }
    parts.join(" ")
}

/// The page.
#[derive(Template)]
#[template(path = "images.html")]
pub struct ImagesPage {
    shell: Shell,
    query: String,
    rows: Vec<Row>,
    more: u64,
    crashes: String,
    cut: Option<String>,
}

impl ImagesPage {
    /// The page of builds, seen from `now_ms`.
    pub fn new(query: &str, builds: &ImageBuilds, now_ms: i64) -> Self {
        let row = |image| Row::new(image, builds.bucket_ms, now_ms);
        Self {
            shell: Shell::new("images"),
            query: query.to_owned(),
            rows: builds.images.iter().map(row).collect(),
            more: builds.more,
            crashes: text::count(builds.crashes, "crash", "crashes"),
            cut: builds.cut.clone(),
        }
    }
}

/// `GET /images?query=`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    let query = request.parse()?;
    let read = move |store: &Store| store.image_builds(query, days());
    let builds = blocking::<_, StoreError, _>(&app, read).await?;
    Ok(html(&ImagesPage::new(
        &request.query,
        &builds,
        time::now_ms(),
    )))
}
