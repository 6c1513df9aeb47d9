//! `/report`: crashes counted by what they have in common, and the searches that people named.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::api::report::over;
use crate::cli::report::share;
use crate::ui::view::svg::Bars;
use crate::ui::view::text::{self, Brief, LINE};
use crate::ui::view::time::{self, Moment};
use aground_store::searches::SavedSearch;
use aground_store::tally::{Columns, Tally, TallyRequest, TallyRow};
use aground_store::{Store, StoreError, query};
use askama::Template;
use axum::extract::{Form, Path, Query as Parameters, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

/// What is counted when nothing is said.
const USUAL: &str = "image,cause";
/// Widths of the trends' bars by name, and what they show.
const OVER: [(&str, &str); 3] = [("1h", "48 hours"), ("1d", "30 days"), ("1w", "26 weeks")];

/// What a report may be asked.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ReportRequest {
    /// Fields.
    #[serde(default)]
    pub by: String,
    /// Which crashes.
    #[serde(default)]
    pub query: String,
    /// Width of the trends' bars.
    #[serde(default)]
    pub over: String,
}

/// A value and the search that finds its crashes.
#[derive(Clone, Debug)]
struct Value {
    shown: Option<Brief>,
    link: Option<String>,
}

#[derive(Clone, Debug)]
struct Row {
    values: Vec<Value>,
    crashes: String,
    share: String,
    groups: String,
    first: Moment,
    last: Moment,
    bars: Bars,
}

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
pub struct ReportPage {
    shell: Shell,
    by: String,
    query: String,
    over: &'static str,
    overs: [(&'static str, &'static str); 3],
    window: &'static str,
    fields: Vec<&'static str>,
    heads: Vec<String>,
    distinct: Vec<String>,
    rows: Vec<Row>,
    crashes: String,
    more: Option<String>,
    cut: Option<String>,
    searches: Vec<Search>,
}

/// A saved search.
#[derive(Clone, Debug)]
struct Search {
    name: String,
    query: Brief,
    link: String,
}

impl ReportPage {
    /// The page of what was counted.
    pub fn new(
        request: &ReportRequest,
        columns: &Columns,
        tally: &Tally,
        searches: &[SavedSearch],
        now_ms: i64,
    ) -> Self {
        let (over, window) = named(&request.over);
        let row = |row: &TallyRow| Row::new(row, columns, request, tally, window, now_ms);
        let more = (tally.more_crashes > 0).then(|| {
            format!(
                "{} more rows with {}",
                text::grouped(tally.more_rows),
                text::count(tally.more_crashes, "crash", "crashes")
            )
        });
        Self {
            shell: Shell::new("report"),
            by: tally.by.join(","),
            query: request.query.clone(),
            over,
            overs: OVER,
            window,
            fields: query::countable().collect(),
            heads: tally.by.clone(),
            distinct: tally.distinct.iter().map(|n| text::grouped(*n)).collect(),
            rows: tally.rows.iter().map(row).collect(),
            crashes: text::count(tally.crashes, "crash", "crashes"),
            more,
            cut: tally.cut.clone(),
            searches: searches.iter().map(Search::new).collect(),
        }
    }
}

impl Search {
    fn new(search: &SavedSearch) -> Self {
        Self {
            name: search.name.clone(),
            query: Brief::new(&search.query, LINE),
            link: text::url(&search.query),
        }
    }
}

impl Row {
    fn new(
        row: &TallyRow,
        columns: &Columns,
        request: &ReportRequest,
        tally: &Tally,
        window: &'static str,
        now_ms: i64,
    ) -> Self {
        let value = |(index, value): (usize, &Option<String>)| Value {
            shown: value.as_deref().map(|value| Brief::named(value, 120)),
            link: value.as_deref().and_then(|value| {
                let condition = columns.condition(index, value)?;
                Some(text::url(format!("{} {condition}", request.query).trim()))
            }),
        };
        let buckets = i64::try_from(row.trend.len()).unwrap_or(0);
        let length = tally.bucket_ms.unwrap_or(0).saturating_mul(buckets);
        Self {
            values: row.values.iter().enumerate().map(value).collect(),
            crashes: text::grouped(row.crashes),
            share: share(row.crashes, tally.crashes),
            groups: text::grouped(row.groups),
            first: Moment::new(row.first_seen_ms, now_ms),
            last: Moment::new(row.last_seen_ms, now_ms),
            bars: Bars::new(&row.trend, length, window),
        }
    }
}

fn named(name: &str) -> (&'static str, &'static str) {
    let [_, usual, _] = OVER;
    OVER.into_iter()
        .find(|(known, _)| *known == name)
        .unwrap_or(usual)
}

/// `GET /report?by=&query=&over=`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<ReportRequest>,
) -> Result<Response, Trouble> {
    let by = if request.by.trim().is_empty() {
        USUAL
    } else {
        &request.by
    };
    let columns = Columns::parse(by).map_err(|error| Trouble::bad_query(by, &error))?;
    let list = ListRequest {
        query: request.query.clone(),
        ..ListRequest::default()
    };
    let asked = TallyRequest {
        by: columns.clone(),
        query: list.parse()?,
        over: over(named(&request.over).0),
        limit: 100,
    };
    let count = move |store: &Store| Ok::<_, StoreError>((store.tally(&asked)?, store.searches()));
    let (tally, searches) = blocking(&app, count).await?;
    let now_ms = time::now_ms();
    Ok(html(&ReportPage::new(
        &request, &columns, &tally, &searches, now_ms,
    )))
}

/// What a search is saved as.
#[derive(Clone, Debug, Deserialize)]
pub struct SearchForm {
    name: String,
    query: String,
}

/// `POST /searches`: saves a search.
pub async fn save(
    State(app): State<App>,
    Form(form): Form<SearchForm>,
) -> Result<Response, Trouble> {
    aground_store::Query::parse(&form.query)
        .map_err(|error| Trouble::bad_query(&form.query, &error))?;
    let save = move |store: &Store| store.save_search(form.name.trim(), &form.query);
    blocking::<_, StoreError, _>(&app, save).await?;
    Ok(Redirect::to("/report#searches").into_response())
}

/// `POST /searches/{name}/remove`.
pub async fn remove(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Trouble> {
    blocking::<_, StoreError, _>(&app, move |store| store.remove_search(&name)).await?;
    Ok(Redirect::to("/report#searches").into_response())
}
