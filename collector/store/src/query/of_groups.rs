//! Turns a query into a condition on groups: those with a crash that meets all of it.
//!
//! Where few crashes do, they are found first. Otherwise groups are gone through, newest first,
//! and what is counted of each ([`crate::facets`]) says whether its crashes need be looked at.

use super::language::{Field, Query, Test};
use super::plan::{Plan, has_words, newest_of_words};
use super::sql::{Condition, Term, also, is_of_group, terms};
use crate::access::views;
use crate::assign::line;
use crate::dumps::JOIN;
use crate::facets::{folded, is_counted};
use crate::store::StoreError;
use rusqlite::types::Value;
use rusqlite::{Transaction, params_from_iter};

/// How the groups of a query are found.
pub(crate) struct Found {
    /// The condition on `groups g` that rows of groups and what is counted of them tell.
    pub(crate) condition: Condition,
    /// The value that says whether crashes of a group `g` meet the rest.
    pub(crate) crashes: Option<Condition>,
    /// The time of the oldest crash that words are looked for in; `None`: in all.
    pub(crate) words_since_ms: Option<i64>,
}

impl From<Condition> for Found {
    fn from(condition: Condition) -> Self {
        Self {
            condition,
            crashes: None,
            words_since_ms: None,
        }
    }
}

/// Says how the groups of a query are found. Counts in the database.
pub(crate) fn condition(sql: &Transaction<'_>, query: &Query) -> Result<Found, StoreError> {
    let (of_group, of_dumps): (Vec<_>, Vec<_>) = terms(query)
        .into_iter()
        .partition(|term| term.any.iter().all(|test| is_of_group(test)));
    let mut condition = Condition::all(of_group.iter(), None);
    if of_dumps.is_empty() {
        return Ok(condition.into());
    }
    let plan = Plan::new(sql, query)?;
    if plan.is_few() {
        condition.sql.push_str(" AND g.id IN (SELECT d.group_id ");
        condition.push(plan.rows());
        condition.sql.push(')');
        return Ok(condition.into());
    }
    // What is counted of groups is computed for a scope, which takes longer than a look.
    let kept = !views::are_installed(sql)?;
    let mut whole = kept && of_dumps.len() == 1;
    for term in of_dumps.iter().filter(|_| kept) {
        match counted(sql, term)? {
            Some((counted, exact)) => {
                condition.push(counted);
                whole &= exact;
            }
            None => whole = false,
        }
    }
    if whole {
        return Ok(condition.into());
    }
    let newest = if of_dumps.iter().any(has_words) {
        newest_of_words(sql)?
    } else {
        None
    };
    let (oldest, words_since_ms) = newest.map_or((None, None), |newest| (newest.key, newest.at));
    let rest = JOIN.strip_suffix(GROUPS).unwrap_or(JOIN);
    let mut crashes = Condition {
        sql: format!("EXISTS (SELECT 1 FROM {rest} WHERE d.group_id = g.id AND "),
        parameters: vec![],
    };
    crashes.push(Condition::all(of_dumps.iter(), oldest));
    crashes.sql.push(')');
    Ok(Found {
        condition,
        crashes: Some(crashes),
        words_since_ms,
    })
}

/// The condition that everything meets.
pub(crate) fn everything() -> Condition {
    Condition {
        sql: "TRUE".to_owned(),
        parameters: vec![],
    }
}

/// Crashes that meet a term, as they are counted in all groups; `None` where that is not known.
/// Those without a group yet are not in it.
pub(crate) fn counted_crashes(
    sql: &Transaction<'_>,
    term: &Term<'_>,
) -> Result<Option<i64>, StoreError> {
    let facets = term.any.iter().map(|test| facet(test));
    let Some(facets) = facets.collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    // Of a scope nothing is counted beforehand.
    if views::are_installed(sql)? {
        return Ok(None);
    }
    let mut sum = 0_i64;
    for (facet, equal, globs, exact) in facets {
        if !exact {
            return Ok(None);
        }
        let equal = equal.into_iter().map(|value| ("v.value = ?", value));
        let globs = globs.into_iter().map(|glob| ("v.value GLOB ?", glob));
        let (conditions, values): (Vec<_>, Vec<_>) = equal.chain(globs).unzip();
        let text = format!(
            "SELECT coalesce(sum(v.crashes), 0) FROM facet_values v WHERE v.facet = '{facet}' AND ({})",
            conditions.join(" OR ")
        );
        let crashes: i64 = sql
            .prepare_cached(&text)?
            .query_row(params_from_iter(values), |row| row.get(0))?;
        sum = sum.saturating_add(crashes);
    }
    Ok(Some(sum))
}

/// So many groups are listed before those of a page are chosen.
const FEW_GROUPS: i64 = 2_000;

/// The part of [`JOIN`] that would hide the group that is asked about.
const GROUPS: &str = " LEFT JOIN groups g ON g.id = d.group_id";

/// What the counts of a group say of a term, `AND` first, and whether that is all there is to say.
fn counted(
    sql: &Transaction<'_>,
    term: &Term<'_>,
) -> Result<Option<(Condition, bool)>, StoreError> {
    if term.negated {
        return Ok(None);
    }
    match term.any.as_slice() {
        [Test::Since(at)] => Ok(Some((bound(" AND g.last_seen_ms >= ?", *at), true))),
        [Test::Until(at)] => Ok(Some((bound(" AND g.first_seen_ms <= ?", *at), true))),
        tests => match values(tests) {
            Some(values) => {
                let exact = values.exact;
                Ok(Some((with_values(sql, values)?, exact)))
            }
            None => Ok(None),
        },
    }
}

fn bound(sql: &str, at: i64) -> Condition {
    Condition {
        sql: sql.to_owned(),
        parameters: vec![at.into()],
    }
}

/// Counted values that a crash has one of when it passes one of some tests of a field.
struct Values {
    facet: &'static str,
    /// Selects their keys.
    keys: Condition,
    /// Whether they are a value for each test, and no pattern.
    single: bool,
    /// Whether they say as much as the tests.
    exact: bool,
}

fn values(tests: &[&Test]) -> Option<Values> {
    let mut values = Values {
        facet: facet(tests.first()?)?.0,
        keys: Condition::default(),
        single: true,
        exact: true,
    };
    let mut ways = vec![];
    for test in tests {
        let (facet, equal, globs, exact) = facet(test)?;
        values.exact &= exact;
        values.single &= globs.is_empty();
        let equal = equal.into_iter().map(|value| ("v.value = ?", value));
        let globs = globs.into_iter().map(|glob| ("v.value GLOB ?", glob));
        let (conditions, texts): (Vec<_>, Vec<_>) = equal.chain(globs).unzip();
        ways.push(format!(
            "SELECT v.key FROM facet_values v WHERE v.facet = '{facet}' AND ({})",
            conditions.join(" OR ")
        ));
        let parameters = &mut values.keys.parameters;
        parameters.extend(texts.into_iter().map(Value::from));
    }
    values.keys.sql = ways.join(" UNION ALL ");
    Some(values)
}

/// The groups that have one of some values. Where those are few, they are listed; else it is asked
/// of each group at hand.
fn with_values(sql: &Transaction<'_>, values: Values) -> Result<Condition, StoreError> {
    let Values { facet, keys, .. } = values;
    let text = format!(
        "SELECT count(*) FROM (SELECT 1 FROM group_facets WHERE value IN ({}) LIMIT {})",
        keys.sql,
        FEW_GROUPS + 1
    );
    let groups: i64 = sql
        .prepare_cached(&text)?
        .query_row(params_from_iter(&keys.parameters), |row| row.get(0))?;
    // Groups are gone through last seen first: the `+` keeps the database from sorting the list.
    let sql = if groups <= FEW_GROUPS {
        format!(
            " AND +g.id IN (SELECT gf.group_id FROM group_facets gf WHERE gf.value IN ({}))",
            keys.sql
        )
    } else {
        // A pattern may have more values than the group. As a value of its own, so that the
        // database does not make it a way to groups, and sort all that it finds.
        let value = if values.single { "" } else { "+" };
        format!(
            " AND (EXISTS (SELECT 1 FROM group_facets gf WHERE gf.group_id = g.id AND gf.facet = '{facet}' AND {value}gf.value IN ({}))) IS TRUE",
            keys.sql
        )
    };
    Ok(Condition {
        sql,
        parameters: keys.parameters,
    })
}

type Facet = (&'static str, Option<String>, Vec<String>, bool);

/// The facet of a test: its name, the value, patterns besides, and whether it is as exact as the
/// test itself.
fn facet(test: &Test) -> Option<Facet> {
    match test {
        Test::Text(field, pattern) => {
            let facet = facet_of(*field)?;
            // Values are counted as they are shown.
            let pattern = pattern.map(line);
            Some(match pattern.literal() {
                Some(literal) => {
                    let globs = also(*field, &pattern);
                    (facet, Some(literal.to_owned()), globs, true)
                }
                None => (facet, None, vec![pattern.glob()], true),
            })
        }
        Test::Label(key, Some(pattern)) => {
            let pair = line(&format!("{key}={}", pattern.literal()?));
            let value = folded(&pair);
            let exact = value == pair;
            is_counted(&pair).then_some(("label", Some(value), vec![], exact))
        }
        _ => None,
    }
}

fn facet_of(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::Image => "image",
        Field::Host => "host",
        Field::Executable => "executable",
        Field::Unit => "unit",
        Field::Signal => "signal",
        Field::Cause => "cause",
        Field::Kernel => "kernel",
        Field::Arch => "arch",
        Field::Cpu => "cpu",
        Field::Runtime => "runtime",
        Field::Namespace => "namespace",
        Field::Workload => "workload",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_counted_spares_a_look_at_the_crashes() {
        let mut connection = crate::database::in_memory().unwrap();
        let sql = connection.transaction().unwrap();
        let whole = |text: &str| {
            let query = Query::parse(text).unwrap();
            let terms = terms(&query);
            let counted = counted(&sql, terms.first().unwrap()).unwrap();
            counted.map(|(_, whole)| whole)
        };
        assert_eq!(whole("host:a host:b*"), Some(true));
        assert_eq!(whole("image:api"), Some(true));
        assert_eq!(whole("since:1h"), Some(true));
        assert_eq!(whole("label:a=b"), Some(true));
        assert_eq!(whole("label:a=0123456789"), Some(false));
        assert_eq!(whole("label:a"), None);
        assert_eq!(whole("-host:a"), None);
        assert_eq!(whole("kept:full"), None);
    }
}
