//! Counts crashes by fields, and tells what hosts crash.

use super::parameters::Parameters;
use super::{blocking, paging};
use crate::App;
use crate::problem::Problem;
use aground_store::StoreError;
use aground_store::hosts::{HostCrashes, Hosts};
use aground_store::tally::{Columns, Over, Tally, TallyRequest};
use aground_store::types::{Page, PageRequest};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// Buckets of time by their names, and how many of each are shown.
pub const OVER: [(&str, i64, usize); 3] = [
    ("1h", HOUR_MS, 48),
    ("1d", 24 * HOUR_MS, 30),
    ("1w", 7 * 24 * HOUR_MS, 26),
];

/// The buckets a name means, the last one ending now.
pub fn over(name: &str) -> Option<Over> {
    let (_, width_ms, buckets) = OVER.into_iter().find(|(known, ..)| *known == name)?;
    Some(Over {
        width_ms,
        buckets,
        now_ms: jiff::Timestamp::now().as_millisecond(),
    })
}

/// The last 30 days, by the day.
pub fn days() -> Over {
    Over {
        width_ms: 24 * HOUR_MS,
        buckets: 30,
        now_ms: jiff::Timestamp::now().as_millisecond(),
    }
}

/// `GET /api/v1/report?by=field[,field]&query=&filter=k=v&saved=&over=1h|1d|1w&limit=`.
pub async fn report(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Tally>, Problem> {
    parameters.only(&["by", "query", "filter", "saved", "over", "limit"])?;
    let by = parameters.get("by").unwrap_or_default();
    let by = Columns::parse(by).map_err(|error| Problem::bad_query("by", error))?;
    let over = match parameters.get("over") {
        None => None,
        Some(name) => Some(over(name).ok_or_else(|| {
            Problem::bad_parameter(format!("over=\"{name}\": one of 1h, 1d, 1w expected"))
        })?),
    };
    let request = TallyRequest {
        by,
        query: parameters.query(&app)?,
        over,
        limit: parameters.number("limit")?.unwrap_or(0),
    };
    let tally = blocking::<_, StoreError, _>(&app, move |store| store.tally(&request)).await?;
    Ok(Json(tally))
}

/// A page of hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostPage {
    /// The suspect ones first, then by crashes.
    #[serde(flatten)]
    pub page: Page<HostCrashes>,
    /// Groups that one host alone has seen, of programs that crash on other hosts too.
    pub alone: u64,
    /// Why no host is judged, a sentence; `None` when they are.
    pub too_little: Option<String>,
}

impl HostPage {
    /// The page that is asked for.
    pub fn new(hosts: Hosts, page: &PageRequest) -> Result<Self, StoreError> {
        let place = |host: &HostCrashes| (Reverse((host.suspect, host.crashes)), host.host.clone());
        Ok(Self {
            page: paging::page("hosts", hosts.hosts, place, page)?,
            alone: hosts.alone,
            too_little: hosts.too_little,
        })
    }
}

/// `GET /api/v1/hosts?limit=&cursor=`.
pub async fn hosts(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<HostPage>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let read = move |store: &aground_store::Store| HostPage::new(store.hosts()?, &page);
    Ok(Json(blocking(&app, read).await?))
}
