//! B-cubed precision and recall, and what is wrong in words.

use crate::corpus::{self, Crash};
use std::collections::{BTreeMap, BTreeSet};

/// How groups agree with the truth.
pub struct Score {
    /// Of each crash's group, how much is of its bug; the mean.
    pub precision: f64,
    /// Of each crash's bug, how much is in its group; the mean.
    pub recall: f64,
    /// Groups that hold crashes of more than one bug.
    pub mixed: BTreeSet<String>,
    groups: usize,
    bugs: usize,
}

impl Score {
    /// Of groups against the truth, crash by crash. A group of several builds of one bug is no
    /// mixture, though nobody asks for it where nothing relates builds.
    pub fn of(truth: &[&str], groups: &[String]) -> Self {
        let mut pure: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        let mut both: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        let mut bugs: BTreeMap<&str, f64> = BTreeMap::new();
        let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
        for (bug, group) in truth.iter().zip(groups) {
            *both.entry((bug, group)).or_default() += 1.0;
            *pure.entry((without_build(bug), group)).or_default() += 1.0;
            *bugs.entry(bug).or_default() += 1.0;
            *sizes.entry(group).or_default() += 1.0;
        }
        let all: f64 = bugs.values().sum();
        let mean = |counts: &BTreeMap<(&str, &str), f64>, of: &dyn Fn(&str, &str) -> f64| {
            let shares = counts.iter();
            let sum: f64 = shares
                .map(|((bug, group), count)| count * count / of(bug, group))
                .sum();
            sum / all
        };
        let mixed = |group: &&&str| pure.keys().filter(|(_, other)| *other == **group).count() > 1;
        Score {
            precision: mean(&pure, &|_, group| sizes[group]),
            recall: mean(&both, &|bug, _| bugs[bug]),
            mixed: sizes
                .keys()
                .filter(mixed)
                .map(|group| (*group).to_owned())
                .collect(),
            groups: sizes.len(),
            bugs: bugs.len(),
        }
    }

    /// The harmonic mean of both.
    pub fn f1(&self) -> f64 {
        2.0 * self.precision * self.recall / (self.precision + self.recall)
    }
}

/// The bug of a truth that may name a build too.
fn without_build(truth: &str) -> &str {
    truth.split('@').next().unwrap_or(truth)
}

/// The table that is printed at the end.
#[derive(Default)]
pub struct Table(Vec<(String, String, Vec<Score>)>);

impl Table {
    /// A row; several scores are of several orders of arrival, and the worst counts.
    pub fn add(&mut self, what: &str, method: &str, scores: Vec<Score>) {
        self.0.push((what.to_owned(), method.to_owned(), scores));
    }

    /// Prints it.
    pub fn print(&self) {
        println!("| crashes | grouped by | precision | recall | F1 | groups for bugs | mixed |");
        println!("|---|---|---|---|---|---|---|");
        for (what, method, scores) in &self.0 {
            let worst = scores
                .iter()
                .min_by(|a, b| a.f1().total_cmp(&b.f1()))
                .unwrap();
            let best = scores.iter().map(Score::f1).fold(0.0, f64::max);
            let f1 = match scores.len() {
                1 => format!("{:.3}", worst.f1()),
                orders => format!("{:.3} to {best:.3} in {orders} orders", worst.f1()),
            };
            println!(
                "| {what} | {method} | {:.3} | {:.3} | {f1} | {} for {} | {} |",
                worst.precision,
                worst.recall,
                worst.groups,
                worst.bugs,
                scores.iter().map(|score| score.mixed.len()).max().unwrap()
            );
        }
    }
}

/// Every group of more than one bug, with what is in it.
pub fn print_mixed(crashes: &[&Crash], groups: &[String], score: &Score) {
    for mixed in &score.mixed {
        let mut inside: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (crash, group) in crashes.iter().zip(groups) {
            if group == mixed {
                *inside
                    .entry((&crash.truth, &crash.report.signature.title))
                    .or_default() += 1;
            }
        }
        println!("mixed: {mixed}");
        for ((bug, title), count) in inside {
            println!("    {count:>4} of {bug}: {title}");
        }
    }
}

/// Every bug that is in more than one group.
pub fn print_split(crashes: &[&Crash], groups: &[String]) {
    let mut bugs: BTreeMap<&str, BTreeMap<&str, Vec<&Crash>>> = BTreeMap::new();
    for (crash, group) in crashes.iter().zip(groups) {
        let parts = bugs.entry(&crash.truth).or_default();
        parts.entry(group).or_default().push(crash);
    }
    for (bug, parts) in bugs.iter().filter(|(_, parts)| parts.len() > 1) {
        println!("split: {bug}");
        for inside in parts.values() {
            let signature = &inside[0].report.signature;
            let builds: BTreeSet<&str> = inside.iter().map(|crash| crash.build.as_str()).collect();
            let ways: BTreeSet<&str> = inside.iter().map(|crash| crash.way.as_str()).collect();
            println!(
                "    {:>4}  {} ({})  ways {ways:?} of {builds:?}",
                inside.len(),
                signature.title,
                signature.class
            );
        }
    }
}

/// The score of each program by itself, and without symbols across builds, where only what
/// programs say relates crashes.
pub fn print_programs(crashes: &[Crash]) {
    for named in [true, false] {
        for program in ["c", "cc", "rs", "go"] {
            let part: Vec<&Crash> = crashes
                .iter()
                .filter(|crash| (crash.names != "none") == named && crash.program == program)
                .collect();
            if part.is_empty() {
                continue;
            }
            let truth: Vec<&str> = part.iter().map(|crash| crash.truth.as_str()).collect();
            let groups = corpus::assign(&part, 0);
            let bugs: Vec<&str> = truth.iter().map(|truth| without_build(truth)).collect();
            let names = if named { "with symbols" } else { "without" };
            println!(
                "{program} {names}: F1 {:.3}; across builds {:.3}",
                Score::of(&truth, &groups).f1(),
                Score::of(&bugs, &groups).f1()
            );
        }
    }
}
