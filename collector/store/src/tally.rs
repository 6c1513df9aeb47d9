//! Counts crashes by what they have in common: `report BY image,cause`, with times and trends.

use crate::database::from_sql;
use crate::query::plan::Plan;
use crate::query::words;
use crate::query::{Query, QueryError, columns};
use crate::store::{Store, StoreError};
use rusqlite::params_from_iter;
use rusqlite::types::{Value, ValueRef};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Crashes that are looked at, newest first.
const MOST_CRASHES: u64 = 1_000_000;
/// Different rows that are told apart.
const MOST_ROWS: usize = 100_000;
/// Rows that are handed out.
const MOST_SHOWN: usize = 1000;
/// Buckets of a trend.
const MOST_BUCKETS: usize = 400;
/// The longest value, characters: what is longer is counted by its beginning.
const LONGEST_VALUE: usize = 300;

/// What to count.
#[derive(Clone, Debug, Default)]
pub struct TallyRequest {
    /// Fields, one to three of them.
    pub by: Columns,
    /// Which crashes.
    pub query: Query,
    /// The buckets of the trends; `None` for no trend.
    pub over: Option<Over>,
    /// Rows handed out; 0 means 50.
    pub limit: usize,
}

/// Buckets of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Milliseconds of a bucket.
    pub width_ms: i64,
    /// Number of buckets.
    pub buckets: usize,
    /// The end of the last one.
    pub now_ms: i64,
}

/// Fields that crashes are counted by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns(Vec<columns::Column>);

impl Columns {
    /// `image,cause` or `label:team,host`.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        columns::parse(text).map(Self)
    }

    /// Their names as typed.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|column| column.name.clone()).collect()
    }

    /// The condition of the query language that a value of the first, second, … column meets;
    /// `None` for one the language cannot ask for.
    pub fn condition(&self, column: usize, value: &str) -> Option<String> {
        let column = self.0.get(column)?;
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        match &column.label {
            Some(key) => Some(format!("label:\"{key}={quoted}\"")),
            None => column
                .asked
                .then(|| format!("{}:\"{quoted}\"", column.name)),
        }
    }
}

/// Crashes counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The fields.
    pub by: Vec<String>,
    /// Crashes that match.
    pub crashes: u64,
    /// Different values of each field.
    pub distinct: Vec<u64>,
    /// Most frequent first.
    pub rows: Vec<TallyRow>,
    /// Rows beyond those, and their crashes.
    pub more_rows: u64,
    /// Crashes of the rows beyond those.
    pub more_crashes: u64,
    /// Milliseconds of a bucket of the trends; `None` when there are none.
    pub bucket_ms: Option<i64>,
    /// Start of the first bucket, milliseconds since the epoch.
    pub start_ms: Option<i64>,
    /// Crashes of all rows per bucket, oldest first.
    pub trend: Vec<u64>,
    /// Why not everything was counted, a sentence; `None` when it was.
    pub cut: Option<String>,
}

/// Crashes with the same values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyRow {
    /// In the order of the fields; `None` where a crash has no such value.
    pub values: Vec<Option<String>>,
    /// Crashes.
    pub crashes: u64,
    /// Different groups among them.
    pub groups: u64,
    /// The first, milliseconds since the epoch.
    pub first_seen_ms: i64,
    /// The newest.
    pub last_seen_ms: i64,
    /// Crashes per bucket, oldest first.
    pub trend: Vec<u64>,
}

impl Store {
    /// Counts crashes by fields.
    pub fn tally(&self, request: &TallyRequest) -> Result<Tally, StoreError> {
        self.may_ask(&request.query)?;
        self.inner.database.read(|sql| {
            let query = words::known(sql, &request.query)?;
            let rows = Plan::new(sql, &query)?.rows();
            let expressions: Vec<&str> = request.by.0.iter().map(|c| c.sql.as_str()).collect();
            let text = format!(
                "SELECT d.crashed_at_ms, d.group_id, {} {} ORDER BY d.crashed_at_ms DESC LIMIT {}",
                expressions.join(", "),
                rows.sql,
                MOST_CRASHES + 1
            );
            let labels = request.by.0.iter().filter_map(|c| c.label.clone());
            let labels = labels.map(|key| Value::from(crate::database::column_text(&key)));
            let mut statement = sql.prepare_cached(&text)?;
            let mut rows = statement.query(params_from_iter(labels.chain(rows.parameters)))?;
            let mut counts = Counts::new(request);
            while let Some(row) = rows.next()? {
                if counts.crashes >= MOST_CRASHES {
                    counts.cut = true;
                    break;
                }
                counts.key.clear();
                for index in 0..request.by.0.len() {
                    push_value(&mut counts.key, row.get_ref(index + 2)?);
                }
                let group = match row.get_ref(1)? {
                    ValueRef::Text(id) => std::str::from_utf8(id).unwrap_or_default(),
                    _ => "",
                };
                let group = u64::from_str_radix(group, 16).unwrap_or(0);
                counts.add(row.get(0)?, group);
            }
            Ok(counts.done(request))
        })
    }
}

/// Between two values of a key; no value has it, see [`crate::database::column_text`].
const BETWEEN: char = '\0';
/// In the place of no value.
const NONE: &str = "\u{1}none";

fn push_value(key: &mut String, value: ValueRef<'_>) {
    match value {
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text);
            key.extend(text.chars().take(LONGEST_VALUE));
        }
        ValueRef::Integer(number) => key.push_str(&number.to_string()),
        _ => key.push_str(NONE),
    }
    key.push(BETWEEN);
}

struct Counts {
    rows: HashMap<String, Row>,
    over: Option<Over>,
    start_ms: i64,
    trend: Vec<u64>,
    crashes: u64,
    more_crashes: u64,
    cut: bool,
    key: String,
}

struct Row {
    crashes: u64,
    groups: HashSet<u64>,
    first: i64,
    last: i64,
    trend: Vec<u64>,
}

impl Counts {
    fn new(request: &TallyRequest) -> Self {
        let buckets = request
            .over
            .map_or(0, |over| over.buckets.min(MOST_BUCKETS));
        let start_ms = request.over.map_or(0, |over| {
            let length = i64::try_from(buckets).unwrap_or(0);
            over.now_ms
                .saturating_sub(over.width_ms.max(1).saturating_mul(length))
        });
        Self {
            rows: HashMap::new(),
            over: request.over,
            start_ms,
            trend: vec![0; buckets],
            crashes: 0,
            more_crashes: 0,
            cut: false,
            key: String::new(),
        }
    }

    fn bucket(&self, at_ms: i64) -> Option<usize> {
        let since = at_ms.checked_sub(self.start_ms)?.checked_sub(1)?;
        let bucket = since.checked_div(self.over?.width_ms.max(1))?;
        usize::try_from(bucket)
            .ok()
            .filter(|bucket| since >= 0 && *bucket < self.trend.len())
    }

    fn add(&mut self, at_ms: i64, group: u64) {
        self.crashes += 1;
        let bucket = self.bucket(at_ms);
        if let Some(count) = bucket.and_then(|bucket| self.trend.get_mut(bucket)) {
            *count += 1;
        }
        if !self.rows.contains_key(&self.key) {
            if self.rows.len() >= MOST_ROWS {
                self.more_crashes += 1;
                return;
            }
            let row = Row {
                crashes: 0,
                groups: HashSet::new(),
                first: at_ms,
                last: at_ms,
                trend: vec![],
            };
            self.rows.insert(self.key.clone(), row);
        }
        let Some(row) = self.rows.get_mut(&self.key) else {
            return;
        };
        row.crashes += 1;
        row.groups.insert(group);
        row.first = row.first.min(at_ms);
        row.last = row.last.max(at_ms);
        if let Some(bucket) = bucket {
            row.trend.resize(self.trend.len(), 0);
            if let Some(count) = row.trend.get_mut(bucket) {
                *count += 1;
            }
        }
    }

    fn done(self, request: &TallyRequest) -> Tally {
        let limit = if request.limit == 0 {
            50
        } else {
            request.limit.min(MOST_SHOWN)
        };
        let mut distinct = vec![HashSet::new(); request.by.0.len()];
        for key in self.rows.keys() {
            for (values, value) in distinct.iter_mut().zip(key.split(BETWEEN)) {
                values.insert(value);
            }
        }
        let distinct = distinct
            .iter()
            .map(|values| from_len(values.len()))
            .collect();
        let cut = match (self.cut, self.more_crashes > 0) {
            (true, _) => Some(format!(
                "Only the newest {MOST_CRASHES} crashes were counted: narrow the query or the time."
            )),
            (_, true) => Some(format!(
                "There are more than {MOST_ROWS} different rows: the crashes of further ones are counted together."
            )),
            _ => None,
        };
        let mut rows: Vec<(String, Row)> = self.rows.into_iter().collect();
        rows.sort_by(|(a, x), (b, y)| y.crashes.cmp(&x.crashes).then_with(|| a.cmp(b)));
        let beyond = rows.get(limit..).unwrap_or_default();
        let more_crashes = beyond.iter().fold(0, |sum, (_, row)| sum + row.crashes);
        let more_rows = from_len(beyond.len());
        rows.truncate(limit);
        let buckets = self.trend.len();
        Tally {
            by: request.by.names(),
            crashes: self.crashes,
            distinct,
            rows: rows
                .into_iter()
                .map(|(key, row)| row.done(&key, buckets))
                .collect(),
            more_rows,
            more_crashes: self.more_crashes + more_crashes,
            bucket_ms: self.over.map(|over| over.width_ms),
            start_ms: self.over.map(|_| self.start_ms),
            trend: self.trend,
            cut,
        }
    }
}

impl Row {
    fn done(mut self, key: &str, buckets: usize) -> TallyRow {
        self.trend.resize(buckets, 0);
        let values = key.strip_suffix(BETWEEN).unwrap_or(key).split(BETWEEN);
        TallyRow {
            values: values
                .map(|value| (value != NONE).then(|| value.to_owned()))
                .collect(),
            crashes: self.crashes,
            // Crashes without a group are no group.
            groups: from_len(self.groups.iter().filter(|group| **group != 0).count()),
            first_seen_ms: self.first,
            last_seen_ms: self.last,
            trend: self.trend,
        }
    }
}

fn from_len(length: usize) -> u64 {
    from_sql(i64::try_from(length).unwrap_or(i64::MAX))
}
