//! Simple ways of grouping, for comparison. They see the same frames, without those that carry a
//! failure to the kernel or begin a thread; what a system library is they do not know.

use crate::corpus::Crash;
use aground_analyzer::report::SignatureFrame;
use std::collections::BTreeMap;

/// CASR's parameters (casr-cluster): weight of the distance from the top, weight of the distance
/// between the aligned frames, and the distance at which clusters end.
const TOP: f64 = 0.04;
const APART: f64 = 0.13;
const DISTANCE: f64 = 0.30;

/// All of them by name.
pub fn all(crashes: &[&Crash]) -> Vec<(&'static str, Vec<String>)> {
    let stacks: Vec<Vec<String>> = crashes.iter().map(|crash| stack(crash)).collect();
    let first = |frames: usize| {
        let key = |stack: &Vec<String>| {
            stack
                .iter()
                .take(frames)
                .cloned()
                .collect::<Vec<_>>()
                .join("|")
        };
        stacks.iter().map(key).collect()
    };
    vec![
        ("top frame", first(1)),
        ("exact top 5 frames", first(5)),
        ("ReBucket as in CASR", rebucket(&stacks)),
    ]
}

fn stack(crash: &Crash) -> Vec<String> {
    let frames = &crash.report.threads.first().unwrap().frames;
    let plumbing = |judged: &&SignatureFrame| {
        let rule = judged.rule.as_deref().unwrap_or_default();
        !["plumbing", "startup", "signal", "nowhere"]
            .iter()
            .any(|name| rule.starts_with(name))
    };
    let judged = crash.report.signature.frames.iter().zip(frames);
    judged
        .filter(|(judged, _)| plumbing(judged))
        .take(64)
        .map(
            |(judged, frame)| match (&frame.function, &frame.build_id, frame.offset) {
                (None, Some(build), Some(offset)) => format!("{build}+{offset}"),
                _ => judged.function.clone(),
            },
        )
        .collect()
}

/// Agglomerative clustering with complete linkage over the position-dependent model.
fn rebucket(stacks: &[Vec<String>]) -> Vec<String> {
    let mut distinct: BTreeMap<&Vec<String>, usize> = BTreeMap::new();
    for stack in stacks {
        let next = distinct.len();
        distinct.entry(stack).or_insert(next);
    }
    let mut by_number = vec![&stacks[0]; distinct.len()];
    for (stack, number) in &distinct {
        by_number[*number] = stack;
    }
    let count = by_number.len();
    let mut distances = vec![vec![0.0_f64; count]; count];
    for a in 0..count {
        for b in 0..a {
            let distance = 1.0 - alike(by_number[a], by_number[b]);
            distances[a][b] = distance;
            distances[b][a] = distance;
        }
    }
    let cluster = complete_linkage(distances);
    stacks
        .iter()
        .map(|stack| cluster[distinct[stack]].to_string())
        .collect()
}

fn complete_linkage(mut distances: Vec<Vec<f64>>) -> Vec<usize> {
    let count = distances.len();
    let mut cluster: Vec<usize> = (0..count).collect();
    let mut alive = vec![true; count];
    loop {
        let mut nearest = (DISTANCE, 0, 0);
        for a in (0..count).filter(|a| alive[*a]) {
            for b in (0..a).filter(|b| alive[*b]) {
                if distances[a][b] < nearest.0 {
                    nearest = (distances[a][b], a, b);
                }
            }
        }
        let (distance, from, into) = nearest;
        if distance >= DISTANCE {
            return cluster;
        }
        alive[from] = false;
        let farther = distances[from].clone();
        for (other, row) in distances.iter_mut().enumerate() {
            row[into] = row[into].max(farther[other]);
        }
        for (distance, farther) in distances[into].iter_mut().zip(farther) {
            *distance = distance.max(farther);
        }
        for member in &mut cluster {
            if *member == from {
                *member = into;
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "positions in a stack")]
fn alike(a: &[String], b: &[String]) -> f64 {
    let mut best = vec![vec![0.0_f64; b.len() + 1]; a.len() + 1];
    for (i, first) in a.iter().enumerate() {
        for (j, second) in b.iter().enumerate() {
            let matched = if first == second {
                (-TOP * i.min(j) as f64).exp() * (-APART * i.abs_diff(j) as f64).exp()
            } else {
                0.0
            };
            best[i + 1][j + 1] = (best[i][j] + matched)
                .max(best[i][j + 1])
                .max(best[i + 1][j]);
        }
    }
    let most: f64 = (0..a.len().min(b.len()))
        .map(|at| (-TOP * at as f64).exp())
        .sum();
    if most > 0.0 {
        best[a.len()][b.len()] / most
    } else {
        0.0
    }
}
