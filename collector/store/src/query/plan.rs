//! Chooses how the rows of a query are found: by the condition that few crashes meet, or newest
//! first until there are enough.
//!
//! `SQLite` knows nothing of how often a value occurs. Here each condition with an index is
//! counted up to [`FEW`], which takes a few milliseconds at most, and the rarest one leads.

use super::language::{Query, Test};
use super::of_groups;
use super::sql::{Condition, Term, searches, terms};
use super::words;
use crate::dumps::JOIN;
use crate::store::StoreError;
use rusqlite::types::Value;
use rusqlite::{Transaction, params_from_iter};

/// So many rows are gone through to find those of a page.
const FEW: i64 = 5_000;
/// Newest crashes that are gone through for a page where many may match, and where nothing but
/// each crash itself says whether it does. What is beyond is the next page's.
const WINDOW: i64 = 10_000;
/// The same where words are asked for: an index tells which crashes have them.
const WINDOWS_OF_WORDS: [i64; 2] = [5_000, 50_000];
/// Newest crashes that common words of a group are looked for in, and no others.
const SEARCHED_OF_GROUPS: i64 = 50_000;

/// How the rows of a query are found.
pub(crate) struct Plan<'a> {
    terms: Vec<Term<'a>>,
    lead: Lead,
    /// Whether few rows are gone through.
    few: bool,
}

/// Which condition leads to the rows.
#[derive(Clone, Copy)]
enum Lead {
    /// A term that few crashes meet.
    Few(usize),
    /// A term whose crashes lie in the order of time.
    InOrder(usize),
    /// Time itself.
    Time,
}

/// A part of the rows, newest first.
pub(crate) struct Window {
    /// `FROM … WHERE …` of the rows.
    pub(crate) rows: Condition,
    /// The time of the oldest crash of the part; `None` when there is nothing beyond.
    pub(crate) end: Option<i64>,
}

impl<'a> Plan<'a> {
    /// Chooses. Counts in the database.
    pub(crate) fn new(sql: &Transaction<'_>, query: &'a Query) -> Result<Self, StoreError> {
        let terms = terms(query);
        let mut rarest: Option<(i64, usize)> = None;
        let mut ordered: Option<(i64, usize)> = None;
        for (index, term) in terms.iter().enumerate() {
            let Some(rows) = rows_of(sql, term)? else {
                continue;
            };
            let is_less = |best: Option<(i64, usize)>| best.is_none_or(|(least, _)| rows < least);
            if is_less(rarest) {
                rarest = Some((rows, index));
            }
            if in_order(term) && is_less(ordered) {
                ordered = Some((rows, index));
            }
        }
        let time = time_rows(sql, &terms)?.filter(|rows| *rows <= FEW);
        let rarest = rarest.filter(|(rows, _)| *rows <= time.unwrap_or(FEW));
        let lead = match (rarest, time, ordered) {
            // Of those in order a page needs only the first.
            (Some((_, index)), ..) if terms.get(index).is_some_and(in_order) => {
                Lead::InOrder(index)
            }
            (Some((_, index)), ..) => Lead::Few(index),
            (None, None, Some((_, index))) => Lead::InOrder(index),
            _ => Lead::Time,
        };
        Ok(Self {
            terms,
            lead,
            few: rarest.is_some() || time.is_some(),
        })
    }

    /// Whether few crashes have to be looked at.
    pub(crate) fn is_few(&self) -> bool {
        self.few
    }

    /// `FROM … WHERE …` of the rows: `dumps d`, `containers c`, `groups g`.
    pub(crate) fn rows(&self) -> Condition {
        self.rows_from(None)
    }

    /// `WITH hits AS …`: the keys of the rows alone, to be counted. Tables that only say more of a
    /// row are left out of it, which the database does not do where it counts.
    pub(crate) fn hits(&self) -> Condition {
        let rows = self.rows();
        Condition {
            sql: format!("WITH hits AS MATERIALIZED (SELECT d.key {})", rows.sql),
            parameters: rows.parameters,
        }
    }

    /// The order of the rows, newest first. Few rows are sorted: the order of an index would lead
    /// the database to another one than theirs.
    pub(crate) fn newest_first(&self) -> &'static str {
        match self.lead {
            Lead::Few(_) => "ORDER BY +d.crashed_at_ms DESC, d.key DESC",
            Lead::InOrder(_) | Lead::Time => "ORDER BY d.crashed_at_ms DESC, d.key DESC",
        }
    }

    fn leading(&self) -> Option<usize> {
        match self.lead {
            Lead::Few(index) | Lead::InOrder(index) => Some(index),
            Lead::Time => None,
        }
    }

    fn lead(&self) -> Option<Condition> {
        self.leading()
            .and_then(|index| self.terms.get(index))
            .and_then(Condition::index)
    }

    /// The terms that are asked of each row.
    fn others(&self) -> impl Iterator<Item = &Term<'a>> {
        let leading = self.leading();
        let others = self.terms.iter().enumerate();
        others
            .filter(move |(index, _)| Some(*index) != leading)
            .map(|(_, term)| term)
    }

    /// The same; words are looked for in dumps from the one with this key on.
    pub(crate) fn rows_from(&self, oldest: Option<i64>) -> Condition {
        let mut found = Condition::default();
        let joined = self.others().next().is_some();
        match (self.lead, self.lead()) {
            (Lead::Few(_), Some(lead)) if joined => {
                found
                    .sql
                    .push_str("FROM (SELECT d.key AS hit FROM dumps d WHERE ");
                found.push(lead);
                let rest = JOIN.strip_prefix("dumps d").unwrap_or(JOIN);
                found.sql.push_str(") CROSS JOIN dumps d ON d.key = hit");
                found.sql.push_str(rest);
                found.sql.push_str(" WHERE ");
            }
            (_, lead) => {
                found.sql.push_str("FROM ");
                found.sql.push_str(JOIN);
                found.sql.push_str(" WHERE ");
                if let Some(lead) = lead {
                    found.push(lead);
                    found.sql.push_str(" AND ");
                }
            }
        }
        found.push(Condition::all(self.others(), oldest));
        found
    }

    /// Sizes of the parts in which a page is looked for, one after the other until it is full;
    /// `None` is all there is.
    pub(crate) fn windows(&self) -> Vec<Option<i64>> {
        let asks_rows = self.others().any(|term| !is_time(term));
        if self.few || !asks_rows {
            return vec![None];
        }
        if self.terms.iter().any(has_words) {
            return WINDOWS_OF_WORDS.map(Some).to_vec();
        }
        vec![Some(WINDOW)]
    }

    /// The newest rows, from so many crashes. `before` is a condition on where they begin.
    pub(crate) fn window(
        &self,
        sql: &Transaction<'_>,
        size: Option<i64>,
        before: &Condition,
    ) -> Result<Window, StoreError> {
        let Some(size) = size else {
            let mut rows = self.rows();
            rows.push(before.clone());
            return Ok(Window { rows, end: None });
        };
        let mut all = Condition::all(self.terms.iter().filter(|term| is_time(term)), None);
        if let Some(lead) = self.lead() {
            all.sql.push_str(" AND ");
            all.push(lead);
        }
        all.push(before.clone());
        let newest = newest(sql, size, &all)?;
        let mut rows = self.rows_from(newest.key);
        rows.sql.push_str(" AND d.crashed_at_ms >= ?");
        rows.parameters
            .push(newest.at.map_or(Value::Null, Value::from));
        rows.push(before.clone());
        Ok(Window {
            rows,
            end: newest.at.filter(|_| newest.crashes >= size),
        })
    }
}

/// Some of the newest crashes.
pub(crate) struct Newest {
    /// How many there are.
    pub(crate) crashes: i64,
    /// The time of the oldest.
    pub(crate) at: Option<i64>,
    /// The lowest key.
    pub(crate) key: Option<i64>,
}

/// The newest crashes that common words of a group are looked for in; `None` when that is all.
pub(crate) fn newest_of_words(sql: &Transaction<'_>) -> Result<Option<Newest>, StoreError> {
    let newest = newest(sql, SEARCHED_OF_GROUPS, &of_groups::everything())?;
    Ok(Some(newest).filter(|newest| newest.crashes >= SEARCHED_OF_GROUPS))
}

/// At most so many newest crashes of those that meet a condition.
pub(crate) fn newest(
    sql: &Transaction<'_>,
    crashes: i64,
    of: &Condition,
) -> Result<Newest, StoreError> {
    let text = format!(
        "SELECT count(*), min(at), min(key) FROM (SELECT d.crashed_at_ms AS at, d.key AS key FROM dumps d
         WHERE {} ORDER BY d.crashed_at_ms DESC, d.key DESC LIMIT {crashes})",
        of.sql
    );
    let found = sql
        .prepare_cached(&text)?
        .query_row(params_from_iter(&of.parameters), |row| {
            Ok(Newest {
                crashes: row.get(0)?,
                at: row.get(1)?,
                key: row.get(2)?,
            })
        })?;
    Ok(found)
}

/// Whether the rows of a term are one stretch of an index that goes on in the order of time.
fn in_order(term: &Term<'_>) -> bool {
    use super::language::Field;
    let [Test::Text(field, pattern)] = term.any.as_slice() else {
        return false;
    };
    let indexed = matches!(
        field,
        Field::Host | Field::Signal | Field::Cause | Field::Group
    ) || (*field == Field::Executable
        && pattern.literal().is_some_and(|path| path.starts_with('/')));
    !term.negated && indexed && pattern.literal().is_some()
}

pub(crate) fn has_words(term: &Term<'_>) -> bool {
    term.any.iter().any(|test| matches!(test, Test::Words(..)))
}

fn is_time(term: &Term<'_>) -> bool {
    let time = |test: &&Test| matches!(test, Test::Since(_) | Test::Until(_));
    !term.negated && term.any.iter().all(time)
}

/// Crashes in the time asked for; `None` when it is all of it.
fn time_rows(sql: &Transaction<'_>, terms: &[Term<'_>]) -> Result<Option<i64>, StoreError> {
    let mut bounds = (i64::MIN, i64::MAX);
    for term in terms.iter().filter(|term| !term.negated) {
        match term.any.as_slice() {
            [Test::Since(at)] => bounds.0 = bounds.0.max(*at),
            [Test::Until(at)] => bounds.1 = bounds.1.min(*at),
            _ => {}
        }
    }
    if bounds == (i64::MIN, i64::MAX) {
        return Ok(None);
    }
    let text =
        "SELECT count(*) FROM (SELECT 1 FROM dumps WHERE crashed_at_ms BETWEEN ?1 AND ?2 LIMIT ?3)";
    let rows = sql
        .prepare_cached(text)?
        .query_row([bounds.0, bounds.1, FEW + 1], |row| row.get(0))?;
    Ok(Some(rows))
}

/// Crashes that meet a term, counted up to one more than [`FEW`] or as the kept counts say when
/// that is more; `None` without an index.
fn rows_of(sql: &Transaction<'_>, term: &Term<'_>) -> Result<Option<i64>, StoreError> {
    let Some(condition) = Condition::index(term) else {
        return Ok(None);
    };
    if let Some(rows) = of_groups::counted_crashes(sql, term)?.filter(|rows| *rows > FEW) {
        return Ok(Some(rows));
    }
    if let [Test::Words(asked, pattern)] = term.any.as_slice() {
        let mut rows = 0;
        for (table, search) in searches(*asked, pattern) {
            if words::is_laborious(sql, table, pattern, words::RARE_AND_COMMON)? {
                return Ok(Some(FEW + 1));
            }
            let text = format!(
                "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH ?1 LIMIT {})",
                FEW + 1
            );
            rows += sql
                .prepare_cached(&text)?
                .query_row([search], |row| row.get::<_, i64>(0))?;
        }
        if rows > FEW {
            return Ok(Some(rows));
        }
    }
    let text = format!(
        "SELECT count(*) FROM (SELECT 1 FROM dumps d WHERE {} LIMIT {})",
        condition.sql,
        FEW + 1
    );
    let rows = sql
        .prepare_cached(&text)?
        .query_row(params_from_iter(&condition.parameters), |row| row.get(0))?;
    Ok(Some(rows))
}
