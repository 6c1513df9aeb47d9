//! Tells hosts whose hardware is suspect: on which programs that crash elsewhere too crash in many
//! ways that no other host has seen. Damaged memory makes a program fail anywhere; a bug makes it
//! fail in one place on every host.

use crate::chance::at_least;
use crate::database::from_sql;
use crate::store::{Store, StoreError};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Fewer groups of its own make no host suspect.
const LEAST_GROUPS: u64 = 5;
/// A bug of one program is not the hardware's.
const LEAST_EXECUTABLES: u64 = 2;
/// With fewer hosts there is nothing to compare with.
const LEAST_HOSTS: u64 = 3;
const LIKELY: f64 = 0.01;

/// What crashes on a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostCrashes {
    /// Its hostname.
    pub host: String,
    /// Crashes that have a group.
    pub crashes: u64,
    /// Different groups.
    pub groups: u64,
    /// Groups that only this host has seen, of programs that crash on other hosts too.
    pub alone: u64,
    /// As many would be usual, by the host's share of the crashes that other hosts have too.
    pub usual: f64,
    /// Programs among those groups.
    pub executables: u64,
    /// How likely as many are by chance, multiplied by the number of hosts (Bonferroni).
    pub p: f64,
    /// Whether its hardware is suspect.
    pub suspect: bool,
}

/// All hosts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hosts {
    /// The suspect ones first, then by crashes.
    pub hosts: Vec<HostCrashes>,
    /// Groups that one host alone has seen, of programs that crash on other hosts too.
    pub alone: u64,
    /// Why no host is judged, a sentence; `None` when they are.
    pub too_little: Option<String>,
}

impl Store {
    /// What crashes on each host, and whether its hardware is suspect.
    pub fn hosts(&self) -> Result<Hosts, StoreError> {
        let facts = self.inner.database.read(Facts::read)?;
        Ok(judge(&facts))
    }
}

/// What is counted of hosts; numbers are rows of values.
#[derive(Default)]
struct Facts {
    /// Name and crashes.
    hosts: BTreeMap<i64, (String, u64)>,
    /// Groups seen on each.
    groups: HashMap<i64, u64>,
    /// Groups that one host has seen: the host, the crashes and the executables.
    lonely: Vec<(i64, u64, Vec<i64>)>,
    /// Executables of groups that several hosts have seen.
    common: HashSet<i64>,
}

impl Facts {
    fn read(sql: &Transaction<'_>) -> Result<Self, StoreError> {
        let mut facts = Self::default();
        let mut statement = sql
            .prepare_cached("SELECT key, value, crashes FROM facet_values WHERE facet = 'host'")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            facts
                .hosts
                .insert(row.get(0)?, (row.get(1)?, from_sql(row.get(2)?)));
        }
        let mut statement = sql.prepare_cached(
            "SELECT value, count(*) FROM group_facets WHERE facet = 'host' GROUP BY value",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            facts.groups.insert(row.get(0)?, from_sql(row.get(1)?));
        }
        let mut executables = sql.prepare_cached(
            "SELECT value FROM group_facets WHERE group_id = ?1 AND facet = 'executable'",
        )?;
        let mut statement = sql.prepare_cached(
            "SELECT f.group_id, min(f.value), count(*), g.crashes FROM group_facets f
             JOIN groups g ON g.id = f.group_id WHERE f.facet = 'host' GROUP BY f.group_id",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let group: String = row.get(0)?;
            let found = executables.query_map([group], |row| row.get(0))?;
            let found = found.collect::<Result<Vec<i64>, _>>()?;
            if row.get::<_, i64>(2)? == 1 {
                facts
                    .lonely
                    .push((row.get(1)?, from_sql(row.get(3)?), found));
            } else {
                facts.common.extend(found);
            }
        }
        Ok(facts)
    }

    /// Executables that crashed on more than one host.
    fn elsewhere(&self) -> HashSet<i64> {
        let mut hosts: HashMap<i64, BTreeSet<i64>> = HashMap::new();
        for (host, _, executables) in &self.lonely {
            for executable in executables {
                hosts.entry(*executable).or_default().insert(*host);
            }
        }
        let several = hosts.into_iter().filter(|(_, hosts)| hosts.len() > 1);
        self.common
            .iter()
            .copied()
            .chain(several.map(|(executable, _)| executable))
            .collect()
    }
}

// Counts of crashes are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn judge(facts: &Facts) -> Hosts {
    let elsewhere = facts.elsewhere();
    let mut alone: BTreeMap<i64, (u64, BTreeSet<i64>)> = BTreeMap::new();
    let mut own_crashes: HashMap<i64, u64> = HashMap::new();
    let mut all_alone = 0;
    for (host, crashes, executables) in &facts.lonely {
        *own_crashes.entry(*host).or_default() += crashes;
        let known = executables.iter().filter(|e| elsewhere.contains(e));
        let known: Vec<_> = known.collect();
        if !known.is_empty() {
            all_alone += 1;
            let own = alone.entry(*host).or_default();
            own.0 += 1;
            own.1.extend(known);
        }
    }
    // What other hosts have seen too says how much of everything runs here.
    let shared = |host: &i64| {
        let crashes = facts.hosts.get(host).map_or(0, |(_, crashes)| *crashes);
        crashes.saturating_sub(own_crashes.get(host).copied().unwrap_or(0))
    };
    let all_shared: u64 = facts.hosts.keys().map(shared).sum();
    let count = u64::try_from(facts.hosts.len()).unwrap_or(u64::MAX);
    let enough = count >= LEAST_HOSTS;
    let mut hosts: Vec<HostCrashes> = facts
        .hosts
        .iter()
        .map(|(key, (host, crashes))| {
            let (own, executables) = alone.get(key).cloned().unwrap_or_default();
            let executables = u64::try_from(executables.len()).unwrap_or(u64::MAX);
            let even = 1.0 / count as f64;
            let share = (shared(key) as f64 / all_shared.max(1) as f64).max(even);
            let p = (at_least(own, all_alone, share) * count as f64).min(1.0);
            HostCrashes {
                host: host.clone(),
                crashes: *crashes,
                groups: facts.groups.get(key).copied().unwrap_or(0),
                alone: own,
                usual: all_alone as f64 * share,
                executables,
                p,
                suspect: enough
                    && own >= LEAST_GROUPS
                    && executables >= LEAST_EXECUTABLES
                    && p < LIKELY,
            }
        })
        .collect();
    hosts.sort_by(|a, b| {
        let order = (b.suspect, b.crashes).cmp(&(a.suspect, a.crashes));
        order.then_with(|| a.host.cmp(&b.host))
    });
    Hosts {
        hosts,
        alone: all_alone,
        too_little: (!enough).then(|| {
            format!("{count} of at least {LEAST_HOSTS} hosts had crashes: too few to tell one from the others.")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten hosts share the bugs of three programs; `lonely` groups are one host's alone.
    fn facts(lonely: Vec<(i64, u64, Vec<i64>)>) -> Facts {
        let own = |host: i64| {
            lonely
                .iter()
                .filter(|l| l.0 == host)
                .map(|l| l.1)
                .sum::<u64>()
        };
        Facts {
            hosts: (0..10)
                .map(|host| (host, (format!("node{host}"), 100 + own(host))))
                .collect(),
            groups: HashMap::new(),
            lonely,
            common: [1, 2, 3].into(),
        }
    }

    fn suspects(facts: &Facts) -> Vec<String> {
        let hosts = judge(facts).hosts.into_iter();
        hosts
            .filter(|host| host.suspect)
            .map(|host| host.host)
            .collect()
    }

    #[test]
    fn a_host_where_everything_breaks_is_suspect() {
        let broken = (0..12).map(|n| (4, 1, vec![1 + n % 3])).collect::<Vec<_>>();
        assert_eq!(suspects(&facts(broken.clone())), ["node4"]);
        // One program's bugs, or those of a program that runs nowhere else, are not the hardware's.
        let one = broken.iter().map(|(h, c, _)| (*h, *c, vec![1])).collect();
        assert_eq!(suspects(&facts(one)), [""; 0]);
        let own = (0..12).map(|n| (4, 1, vec![50 + n])).collect();
        assert_eq!(suspects(&facts(own)), [""; 0]);
        // Nor are rare bugs that every host has some of.
        let rare = (0..60).map(|n| (n % 10, 1, vec![1 + n % 3])).collect();
        assert_eq!(suspects(&facts(rare)), [""; 0]);
        let few = broken.into_iter().take(4).collect();
        assert_eq!(suspects(&facts(few)), [""; 0]);
    }

    #[test]
    fn two_hosts_judge_nobody() {
        let mut facts = facts((0..12).map(|n| (1, 1, vec![1 + n % 3])).collect());
        facts.hosts.retain(|host, _| *host < 2);
        let hosts = judge(&facts);
        assert!(hosts.too_little.is_some() && hosts.hosts.iter().all(|host| !host.suspect));
    }
}
