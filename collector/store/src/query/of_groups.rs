//! Turns a query into a condition on groups: those with a crash that meets all of it.
//!
//! Where few crashes do, they are found first. Otherwise groups are gone through, newest first,
//! and what is counted of each ([`crate::facets`]) says whether its crashes need be looked at.

use super::language::{Field, Query, Test};
use super::plan::{Plan, SEARCHED_OF_GROUPS, has_words, newest};
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
    /// The condition on `groups g`.
    pub(crate) condition: Condition,
    /// Whether crashes of each group have to be looked at.
    pub(crate) looks_at_crashes: bool,
}

impl From<Condition> for Found {
    fn from(condition: Condition) -> Self {
        Self {
            condition,
            looks_at_crashes: false,
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
    if kept
        && let [only] = of_dumps.as_slice()
        && let Some((counted, true)) = counted(only)
    {
        condition.push(counted);
        return Ok(condition.into());
    }
    for term in of_dumps.iter().filter(|_| kept) {
        if let Some((counted, _)) = counted(term) {
            condition.push(counted);
        }
    }
    let rest = JOIN.strip_suffix(GROUPS).unwrap_or(JOIN);
    // As a value of its own, so that crashes are looked at last, and only of the groups left.
    let exists = format!(" AND (EXISTS (SELECT 1 FROM {rest} WHERE d.group_id = g.id AND ");
    condition.sql.push_str(&exists);
    let oldest = if of_dumps.iter().any(has_words) {
        newest(sql, SEARCHED_OF_GROUPS, &everything())?.key
    } else {
        None
    };
    condition.push(Condition::all(of_dumps.iter(), oldest));
    condition.sql.push_str(")) IS TRUE");
    Ok(Found {
        condition,
        looks_at_crashes: true,
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

/// The part of [`JOIN`] that would hide the group that is asked about.
const GROUPS: &str = " LEFT JOIN groups g ON g.id = d.group_id";

/// What the counts of a group say of a term, `AND` first, and whether that is all there is to say.
fn counted(term: &Term<'_>) -> Option<(Condition, bool)> {
    if term.negated {
        return None;
    }
    match term.any.as_slice() {
        [Test::Since(at)] => Some((bound(" AND g.last_seen_ms >= ?", *at), true)),
        [Test::Until(at)] => Some((bound(" AND g.first_seen_ms <= ?", *at), true)),
        tests => facets(tests),
    }
}

fn bound(sql: &str, at: i64) -> Condition {
    Condition {
        sql: sql.to_owned(),
        parameters: vec![at.into()],
    }
}

fn facets(tests: &[&Test]) -> Option<(Condition, bool)> {
    let mut found = Condition::default();
    let mut whole = true;
    let mut ways = vec![];
    for test in tests {
        let (facet, equal, globs, exact) = facet(test)?;
        whole &= exact;
        let equal = equal.into_iter().map(|value| ("v.value = ?", value));
        let globs = globs.into_iter().map(|glob| ("v.value GLOB ?", glob));
        let (conditions, values): (Vec<_>, Vec<_>) = equal.chain(globs).unzip();
        ways.push(format!(
            "EXISTS (SELECT 1 FROM group_facets gf WHERE gf.group_id = g.id AND gf.facet = '{facet}' AND gf.value IN
             (SELECT v.key FROM facet_values v WHERE v.facet = '{facet}' AND ({})))",
            conditions.join(" OR ")
        ));
        found.parameters.extend(values.into_iter().map(Value::from));
    }
    found.sql = format!(" AND ({})", ways.join(" OR "));
    Some((found, whole))
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
        let whole = |text: &str| {
            let query = Query::parse(text).unwrap();
            let terms = terms(&query);
            counted(terms.first().unwrap()).map(|(_, whole)| whole)
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
