//! Counts crashes over time.
//!
//! Buckets of whole hours are sums of kept counts and begin with the hour; finer ones, and those
//! of a query, are counted from the crashes.

use crate::database::from_sql;
use crate::query::Query;
use crate::query::of_groups::everything;
use crate::query::plan::{Plan, newest};
use crate::query::words;
use crate::store::{Histogram, Store, StoreError};
use rusqlite::types::Value;
use rusqlite::{Transaction, params, params_from_iter};

const HOUR_MS: i64 = 3_600_000;
/// More buckets than any page is wide.
const MOST_BUCKETS: usize = 2000;
/// Crashes that are looked at for those of a query, newest first, where many may match.
pub const LOOKED_AT: i64 = 5_000;

/// Crashes over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trend {
    /// Crashes per bucket, oldest first.
    pub buckets: Vec<u64>,
    /// Whether not all crashes were looked at: only the newest [`LOOKED_AT`] of all were then.
    pub cut: bool,
}

impl Store {
    /// Crashes per bucket over all dumps that match, oldest first.
    pub fn histogram(&self, query: &Query, window: Histogram) -> Result<Trend, StoreError> {
        self.may_ask(query)?;
        self.inner.database.read(|sql| {
            if *query == Query::default() && Frame::new(window).is_some_and(|f| f.whole_hours) {
                let buckets = of_group(sql, "", window)?;
                return Ok(Trend {
                    buckets,
                    cut: false,
                });
            }
            of_query(sql, query, window)
        })
    }
}

/// Where the buckets lie.
struct Frame {
    start: i64,
    width: i64,
    end: i64,
    whole_hours: bool,
}

impl Frame {
    fn new(window: Histogram) -> Option<Self> {
        let buckets = i64::try_from(bucket_count(window)).ok()?;
        if buckets == 0 || window.window_ms <= 0 {
            return None;
        }
        let width = (window.window_ms / buckets).max(1);
        let whole_hours = width % HOUR_MS == 0;
        let end = if whole_hours {
            let hours = window.now_ms.div_euclid(HOUR_MS).checked_add(1)?;
            hours.checked_mul(HOUR_MS)?.checked_sub(1)?
        } else {
            window.now_ms
        };
        let start = end.saturating_sub(width.saturating_mul(buckets));
        Some(Self {
            start,
            width,
            end,
            whole_hours,
        })
    }
}

fn bucket_count(window: Histogram) -> usize {
    window.buckets.min(MOST_BUCKETS)
}

/// The crashes of a group, of all groups when it is empty, per bucket.
pub(crate) fn of_group(
    sql: &Transaction<'_>,
    group: &str,
    window: Histogram,
) -> Result<Vec<u64>, StoreError> {
    let mut counts = vec![0; bucket_count(window)];
    let Some(frame) = Frame::new(window) else {
        return Ok(counts);
    };
    let text = if frame.whole_hours {
        "SELECT (hour * 3600000 - ?2) / ?3, sum(crashes) FROM crash_hours
         WHERE group_id = ?1 AND hour BETWEEN (?2 + 1) / 3600000 AND ?4 / 3600000 GROUP BY 1"
    } else {
        "SELECT (crashed_at_ms - ?2 - 1) / ?3, count(*) FROM dumps
         WHERE group_id = ?1 AND crashed_at_ms > ?2 AND crashed_at_ms <= ?4 GROUP BY 1"
    };
    let mut statement = sql.prepare_cached(text)?;
    let mut rows = statement.query(params![group, frame.start, frame.width, frame.end])?;
    while let Some(row) = rows.next()? {
        add(&mut counts, row.get(0)?, row.get(1)?);
    }
    Ok(counts)
}

fn of_query(sql: &Transaction<'_>, query: &Query, window: Histogram) -> Result<Trend, StoreError> {
    let mut counts = vec![0; bucket_count(window)];
    let Some(frame) = Frame::new(window) else {
        return Ok(Trend {
            buckets: counts,
            cut: false,
        });
    };
    let query = words::known(sql, query)?;
    let plan = Plan::new(sql, &query)?;
    let mut start = frame.start;
    let mut oldest = None;
    if !plan.is_few() {
        let newest = newest(sql, LOOKED_AT, &everything())?;
        start = start.max(newest.at.map_or(start, |at| at.saturating_sub(1)));
        oldest = newest.key;
    }
    let rows = plan.rows_from(oldest);
    let text = format!(
        "WITH hits AS MATERIALIZED (SELECT d.crashed_at_ms AS at {} AND d.crashed_at_ms > ? AND d.crashed_at_ms <= ?)
         SELECT (at - ? - 1) / ?, count(*) FROM hits GROUP BY 1",
        rows.sql
    );
    // A bucket holds its end and not its start: a crash at this very moment is in the last one.
    let window = [start, frame.end].map(Value::from);
    let buckets = [frame.start, frame.width].map(Value::from);
    let parameters = rows.parameters.into_iter().chain(window).chain(buckets);
    let mut statement = sql.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(parameters))?;
    while let Some(row) = rows.next()? {
        add(&mut counts, row.get(0)?, row.get(1)?);
    }
    Ok(Trend {
        buckets: counts,
        cut: start > frame.start,
    })
}

fn add(counts: &mut [u64], bucket: i64, crashes: i64) {
    let bucket = usize::try_from(bucket).ok();
    if let Some(count) = bucket.and_then(|bucket| counts.get_mut(bucket)) {
        *count = count.saturating_add(from_sql(crashes));
    }
}
