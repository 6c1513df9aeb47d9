//! Measures how well crashes are grouped: `tests/bench/grouping/run` calls it.
//!
//! `grouping analyze CORES PROGRAM REPORTS NAME` analyses every core and keeps its report as
//! `REPORTS/<program>.<core's name>.NAME.json`. `grouping measure REPORTS` signs the reports, lets
//! a store assign them in several orders, and compares its groups with the true bugs, which the
//! names of the files tell: `<program>.<bug>.<way>.<build>.<names>.json`.

#![allow(
    clippy::unwrap_used,
    reason = "a program for developers: a failure ends it"
)]

mod corpus;
mod measure;
mod peers;

use corpus::Crash;
use measure::{Score, Table};
use std::path::Path;

/// Orders of arrival that are tried.
const ORDERS: u64 = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["analyze", cores, program, reports, name] => {
            corpus::analyze(
                Path::new(cores),
                Path::new(program),
                Path::new(reports),
                name,
            );
        }
        ["measure", reports] => measure_all(&corpus::read(Path::new(reports))),
        _ => panic!("say analyze CORES PROGRAM REPORTS NAME, or measure REPORTS"),
    }
}

fn measure_all(crashes: &[Crash]) {
    println!("{} crashes", crashes.len());
    let mut table = Table::default();
    let parts: [(&str, &[&str]); 4] = [
        ("with symbols", &["dwarf", "symtab"]),
        ("of these, debug information", &["dwarf"]),
        ("of these, symbol tables only", &["symtab"]),
        ("stripped", &["none"]),
    ];
    for (what, names) in parts {
        let part: Vec<&Crash> = crashes
            .iter()
            .filter(|crash| names.contains(&crash.names.as_str()))
            .collect();
        if part.is_empty() {
            continue;
        }
        let truth: Vec<&str> = part.iter().map(|crash| crash.truth.as_str()).collect();
        let scores = (0..ORDERS).map(|order| {
            let groups = corpus::assign(&part, order);
            let score = Score::of(&truth, &groups);
            if order == 0 || !score.mixed.is_empty() {
                measure::print_mixed(&part, &groups, &score);
            }
            if order == 0 && names.len() == 1 {
                measure::print_split(&part, &groups);
            }
            score
        });
        table.add(what, "Aground", scores.collect());
        for (name, grouped) in peers::all(&part) {
            table.add(what, name, vec![Score::of(&truth, &grouped)]);
        }
    }
    table.print();
    measure::print_programs(crashes);
}
