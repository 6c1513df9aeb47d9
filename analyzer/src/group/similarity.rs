//! How alike two stacks are: aligned in linear time, each frame weighted by where it stands and how
//! rare it is (after `FaST`, Rodrigues et al., MSR 2022).
//!
//! A frame's weight falls with the square of its distance from the top, and with the number of
//! groups it is in: what is on top of many bugs' stacks (a wrapper, a helper that everybody hands
//! bad data to) says little, and its callers say more. Of two stacks, the frames that are in both
//! speak for them, less the further they are apart, and all others against.

use crate::report::Signature;
use std::collections::HashMap;
use std::hash::Hash;

/// Two signatures of one class at least so alike are one bug. `tests/bench/grouping` shows what
/// other values do.
pub const SAME: f64 = 0.55;

/// At least so alike, a person may find that they are one.
pub const LIKE: f64 = 0.35;

/// What a frame that never decides alone weighs beside one that may.
const HELPER: f64 = 0.25;

/// How fast a pair of frames loses weight that stand at different distances from the top.
const DRIFT: f64 = 0.3;

/// A frame that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<K> {
    /// What tells the function.
    pub key: K,
    /// Weight by position alone.
    pub weight: f64,
    /// Distance from the top, helpers not counted.
    pub position: f64,
}

/// The frames of a signature that count, by their keys.
pub fn parts(signature: &Signature) -> Vec<Part<&str>> {
    let kept = signature.frames.iter().filter(|frame| frame.kept);
    weigh(kept.map(|frame| (frame.key(), frame.helper.is_some())))
}

/// Gives each key, in order from the top, its weight; `true` marks a helper.
pub fn weigh<K>(keys: impl Iterator<Item = (K, bool)>) -> Vec<Part<K>> {
    let mut position = 0.0;
    keys.map(|(key, helper)| {
        let weight = 1.0 / ((position + 1.0) * (position + 1.0));
        let part = Part {
            key,
            weight: if helper { weight * HELPER } else { weight },
            position,
        };
        position += if helper { 0.0 } else { 1.0 };
        part
    })
    .collect()
}

/// What of a frame's weight is left when it is in so many groups.
pub fn rarity(groups: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a weight")]
    let groups = groups.max(1) as f64;
    1.0 / (1.0 + groups.ln())
}

/// How alike two stacks are, from 0 to 1. `rarity` tells what of a frame's weight counts.
pub fn similarity<K: Eq + Hash>(a: &[Part<K>], b: &[Part<K>], rarity: impl Fn(&K) -> f64) -> f64 {
    let places: HashMap<&K, &Part<K>> = b.iter().map(|part| (&part.key, part)).collect();
    let (mut shared, mut all) = (0.0, 0.0);
    for part in a {
        let rarity = rarity(&part.key);
        all += part.weight * rarity;
        if let Some(other) = places.get(&part.key) {
            let apart = (part.position - other.position).abs();
            shared += (part.weight + other.weight) * rarity * (-DRIFT * apart).exp();
        }
    }
    all += b
        .iter()
        .map(|part| part.weight * rarity(&part.key))
        .sum::<f64>();
    if all > 0.0 { shared / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(a: &[&str], b: &[&str], common: &[(&str, u64)]) -> f64 {
        let stack = |names: &[&str]| {
            let owned: Vec<(String, bool)> = names
                .iter()
                .map(|name| {
                    (
                        name.trim_start_matches('~').to_owned(),
                        name.starts_with('~'),
                    )
                })
                .collect();
            weigh(owned.into_iter())
        };
        let groups = |key: &String| {
            let found = common.iter().find(|(name, _)| name == key);
            rarity(found.map_or(1, |(_, groups)| *groups))
        };
        similarity(&stack(a), &stack(b), groups)
    }

    #[test]
    fn the_top_decides_unless_many_share_it() {
        let check = |a: &[&str], b: &[&str], common: &[(&str, u64)], same: bool| {
            let alike = alike(a, b, common);
            assert_eq!(alike >= SAME, same, "{a:?} {b:?}: {alike}");
        };
        let main = [("main", 100)];
        check(
            &["parse", "get", "main"],
            &["parse", "get", "main"],
            &main,
            true,
        );
        check(
            &["parse", "get", "main"],
            &["parse", "post", "retry", "main"],
            &main,
            true,
        );
        check(
            &["parse", "get", "main"],
            &["render", "get", "main"],
            &main,
            false,
        );
        check(
            &["parse", "get", "serve", "main"],
            &["get", "serve", "main"],
            &main,
            false,
        );
        let append = [("append", 20), ("main", 100)];
        check(
            &["append", "push", "main"],
            &["append", "insert", "main"],
            &append,
            false,
        );
        check(
            &["append", "push", "main"],
            &["append", "push", "run", "main"],
            &append,
            true,
        );
        check(
            &["~die", "check", "main"],
            &["~die", "audit", "main"],
            &main,
            false,
        );
        check(
            &["~die", "check", "main"],
            &["check", "get", "main"],
            &main,
            true,
        );
    }

    #[test]
    fn it_is_symmetric_and_bounded() {
        let stacks: [&[&str]; 4] = [&["a", "b", "c"], &["b", "a"], &["~a", "c", "b"], &[]];
        for a in stacks {
            for b in stacks {
                let (there, back) = (alike(a, b, &[("b", 7)]), alike(b, a, &[("b", 7)]));
                assert!((there - back).abs() < 1e-12, "{a:?} {b:?}");
                assert!((0.0..=1.0 + 1e-12).contains(&there), "{a:?} {b:?}: {there}");
            }
            assert!(a.is_empty() || (alike(a, a, &[]) - 1.0).abs() < 1e-12);
        }
    }
}
