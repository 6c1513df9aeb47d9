//! Chooses how the rows of a query are found: by the condition that few crashes meet, or newest
//! first until there are enough.
//!
//! `SQLite` knows nothing of how often a value occurs. Here each condition with an index is
//! counted up to [`FEW`], which takes a few milliseconds at most, and the rarest one leads.

use super::language::{Query, Test};
use super::sql::{Condition, Term, searches, terms};
use crate::dumps::JOIN;
use crate::store::StoreError;
use rusqlite::types::Value;
use rusqlite::{Transaction, params_from_iter};

/// So many rows are gone through to find those of a page.
const FEW: i64 = 5_000;
/// Newest crashes that common words are looked for in first.
const WINDOWS: [i64; 2] = [5_000, 50_000];
/// Newest crashes that common words of a group are looked for in, and no others.
pub(crate) const SEARCHED_OF_GROUPS: i64 = 50_000;

/// How the rows of a query are found.
pub(crate) struct Plan<'a> {
    terms: Vec<Term<'a>>,
    lead: Lead,
    /// Rows that are gone through, when it is known.
    rows: Option<i64>,
}

/// Which condition leads to the rows.
enum Lead {
    /// A term that few crashes meet.
    Few(usize),
    /// A term whose crashes lie in the order of time.
    InOrder(usize),
    /// Time itself.
    Time,
}

impl<'a> Plan<'a> {
    /// Chooses. Counts in the database.
    pub(crate) fn new(sql: &Transaction<'_>, query: &'a Query) -> Result<Self, StoreError> {
        let terms = terms(query);
        let mut best = (time_rows(sql, &terms)?, Lead::Time);
        for (index, term) in terms.iter().enumerate() {
            if let Some(rows) = rows_of(sql, term)?
                && rows < best.0.unwrap_or(FEW + 1)
                && rows <= FEW
            {
                best = (Some(rows), Lead::Few(index));
            }
        }
        if best.0.is_none_or(|rows| rows > FEW) {
            best.1 = terms
                .iter()
                .position(in_order)
                .map_or(Lead::Time, Lead::InOrder);
        }
        Ok(Self {
            terms,
            lead: best.1,
            rows: best.0.filter(|rows| *rows <= FEW),
        })
    }

    /// Whether few crashes have to be looked at.
    pub(crate) fn is_few(&self) -> bool {
        self.rows.is_some()
    }

    /// `FROM … WHERE …` of the rows: `dumps d`, `containers c`, `groups g`.
    pub(crate) fn rows(&self) -> Condition {
        self.rows_from(None)
    }

    /// The same; words are looked for in dumps from the one with this key on.
    fn rows_from(&self, oldest: Option<i64>) -> Condition {
        let mut found = Condition::default();
        let lead = match self.lead {
            Lead::Few(index) | Lead::InOrder(index) => self.terms.get(index),
            Lead::Time => None,
        };
        let lead = lead.and_then(Condition::index);
        match (&self.lead, lead) {
            (Lead::Few(_), Some(lead)) => {
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
        let leading = match self.lead {
            Lead::Few(index) | Lead::InOrder(index) => Some(index),
            Lead::Time => None,
        };
        let others = self.terms.iter().enumerate();
        let others = others.filter(|(index, _)| Some(*index) != leading);
        found.push(Condition::all(others.map(|(_, term)| term), oldest));
        found
    }

    /// Ways to a page of rows, to be tried in order until one gives enough: where words are common,
    /// the newest crashes alone are searched first. `before` is a condition on where the page
    /// begins.
    pub(crate) fn pages(
        &self,
        sql: &Transaction<'_>,
        before: &Condition,
    ) -> Result<Vec<Condition>, StoreError> {
        let mut pages = vec![];
        if !self.is_few() && self.terms.iter().any(has_words) {
            for window in WINDOWS {
                let (at, key) = newest(sql, window, before)?;
                let mut page = self.rows_from(key);
                page.sql.push_str(" AND d.crashed_at_ms >= ?");
                page.parameters.push(at.map_or(Value::Null, Value::from));
                page.push(before.clone());
                pages.push(page);
            }
        }
        let mut whole = self.rows();
        whole.push(before.clone());
        pages.push(whole);
        Ok(pages)
    }
}

/// The time of the oldest of so many newest crashes, and the lowest key among them; `None` where
/// there are no crashes.
pub(crate) fn newest(
    sql: &Transaction<'_>,
    crashes: i64,
    before: &Condition,
) -> Result<(Option<i64>, Option<i64>), StoreError> {
    let text = format!(
        "SELECT min(at), min(key) FROM (SELECT d.crashed_at_ms AS at, d.key AS key FROM dumps d
         WHERE TRUE{} ORDER BY d.crashed_at_ms DESC, d.key DESC LIMIT {crashes})",
        before.sql
    );
    let found = sql
        .prepare_cached(&text)?
        .query_row(params_from_iter(&before.parameters), |row| {
            Ok((row.get(0)?, row.get(1)?))
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

/// Crashes that meet a term, counted up to one more than [`FEW`]; `None` without an index.
fn rows_of(sql: &Transaction<'_>, term: &Term<'_>) -> Result<Option<i64>, StoreError> {
    let Some(condition) = Condition::index(term) else {
        return Ok(None);
    };
    if let [Test::Words(words, pattern)] = term.any.as_slice() {
        let mut rows = 0;
        for (table, search) in searches(*words, pattern) {
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
