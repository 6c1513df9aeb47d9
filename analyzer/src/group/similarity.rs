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

/// What a place weighs that both crashes name: more than two whole stacks.
const PLACE: f64 = 5.0;

/// What is left of the weight of a frame that the other build may have inlined.
const HIDDEN: f64 = 0.25;

/// What a frame is beside a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// It never decides alone.
    pub helper: bool,
    /// Its code was found inside its caller's.
    pub inlined: bool,
    /// What was inlined into it is not known.
    pub opaque: bool,
    /// It is no frame, but where the program itself says that it was.
    pub place: bool,
}

/// A frame that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<K> {
    /// What tells the function.
    pub key: K,
    /// Weight by position alone.
    pub weight: f64,
    /// Distance from the top, helpers not counted.
    pub position: f64,
    /// What else is known of it.
    pub role: Role,
}

/// The frames of a signature that count, by their keys.
pub fn parts(signature: &Signature) -> Vec<Part<&str>> {
    weigh(keys(signature))
}

/// What is compared of a signature: the place that it names, then the frames that count.
pub fn keys(signature: &Signature) -> impl Iterator<Item = (&str, Role)> {
    let place = Role {
        place: true,
        ..Role::default()
    };
    let place = signature.place.as_deref().map(|key| (key, place));
    let kept = signature.frames.iter().filter(|frame| frame.kept);
    let frames = kept.map(|frame| {
        let role = Role {
            helper: frame.helper.is_some(),
            inlined: frame.inlined,
            opaque: frame.opaque,
            place: false,
        };
        (frame.key(), role)
    });
    place.into_iter().chain(frames)
}

/// Gives each key, in order from the top, its weight.
pub fn weigh<K>(keys: impl Iterator<Item = (K, Role)>) -> Vec<Part<K>> {
    let mut position = 0.0;
    keys.map(|(key, role)| {
        let weight = 1.0 / ((position + 1.0) * (position + 1.0));
        let part = Part {
            key,
            weight: match role {
                Role { place: true, .. } => 0.0,
                Role { helper: true, .. } => weight * HELPER,
                _ => weight,
            },
            position,
            role,
        };
        position += if role.helper || role.place { 0.0 } else { 1.0 };
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
    let (hidden_of_a, hidden_of_b) = (hidden(a, b, &rarity), hidden(b, a, &rarity));
    let (mut shared, mut all) = (0.0, 0.0);
    for part in hidden_of_a.iter().chain(&hidden_of_b) {
        all += part.weight * HIDDEN * rarity(&part.key);
    }
    let (a, b) = (without(a, &hidden_of_a), without(b, &hidden_of_b));
    let places: HashMap<&K, &Part<&K>> = b.iter().map(|part| (part.key, part)).collect();
    for part in &a {
        let rarity = rarity(part.key);
        all += part.weight * rarity;
        let Some(other) = places.get(part.key) else {
            continue;
        };
        if part.role.place && other.role.place {
            shared += PLACE;
            all += PLACE;
        }
        let apart = (part.position - other.position).abs();
        shared += (part.weight + other.weight) * rarity * (-DRIFT * apart).exp();
    }
    all += b
        .iter()
        .map(|part| part.weight * rarity(part.key))
        .sum::<f64>();
    if all > 0.0 { shared / all } else { 0.0 }
}

/// The frames of a stack that the other may have too, inside a frame without debug information: they
/// were inlined here, into a function that is the next one there. Where that is the topmost one, it
/// must be a function of no other group: a function that many bugs are inlined into tells none.
fn hidden<'a, K: Eq + Hash>(
    stack: &'a [Part<K>],
    other: &[Part<K>],
    rarity: impl Fn(&K) -> f64,
) -> Vec<&'a Part<K>> {
    let frames = |part: &&Part<K>| !part.role.place;
    let others: Vec<&Part<K>> = other.iter().filter(frames).collect();
    let places: HashMap<&K, usize> = (0..)
        .zip(&others)
        .map(|(at, part)| (&part.key, at))
        .collect();
    let (mut hidden, mut waiting) = (Vec::new(), Vec::new());
    // How many of the other's frames are behind, when all of them were in both stacks.
    let mut behind = 0;
    for part in stack.iter().filter(|part| !part.role.place) {
        let Some(at) = places.get(&part.key) else {
            waiting.push(part);
            continue;
        };
        let into = others.get(*at).is_some_and(|into| into.role.opaque);
        let next = *at == behind;
        let telling = *at > 0 || rarity(&part.key) >= 1.0;
        if into && next && telling && waiting.iter().all(|part| part.role.inlined) {
            hidden.append(&mut waiting);
        }
        waiting.clear();
        behind = at.saturating_add(1);
    }
    hidden
}

/// The rest of a stack, weighed as if what is hidden had never been there.
fn without<'a, K>(stack: &'a [Part<K>], hidden: &[&Part<K>]) -> Vec<Part<&'a K>> {
    let rest = stack
        .iter()
        .filter(|part| !hidden.iter().any(|hidden| std::ptr::eq(*hidden, *part)));
    weigh(rest.map(|part| (&part.key, part.role)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(a: &[&str], b: &[&str], common: &[(&str, u64)]) -> f64 {
        let stack = |names: &[&str]| {
            let owned = names.iter().map(|name| {
                let role = Role {
                    helper: name.starts_with('~'),
                    inlined: name.starts_with('>'),
                    opaque: name.starts_with('?'),
                    place: name.starts_with('@'),
                };
                (
                    name.trim_start_matches(['~', '>', '?', '@']).to_owned(),
                    role,
                )
            });
            weigh(owned)
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
    fn what_was_inlined_may_be_hidden_where_nothing_tells() {
        let detailed = [">parse", "get", ">serve", "main"];
        let check = |other: &[&str], common: &[(&str, u64)], same: bool| {
            let alike = alike(&detailed, other, common);
            assert_eq!(alike >= SAME, same, "{other:?}: {alike}");
        };
        let main = [("main", 100)];
        check(&["?get", "?main"], &main, true);
        check(&["?get", "?serve", "?main"], &main, true);
        // Debug information would tell what is inlined.
        check(&["get", "serve", "main"], &main, false);
        // Another function stands where it would be.
        check(&["?render", "?get", "?main"], &main, false);
        check(&["?main"], &main, false);
        // Two bugs are called by it: which one is it?
        check(&["?get", "?main"], &[("get", 2), ("main", 100)], false);
        // What was not inlined there is not inlined here.
        let alike = alike(&["parse", "get", "main"], &["?get", "?main"], &main);
        assert!(alike < SAME, "{alike}");
    }

    #[test]
    fn one_place_is_one_bug_and_two_places_say_nothing() {
        let same = alike(&["@m.rs:3:5", "a", "b"], &["@m.rs:3:5", "c", "d"], &[]);
        assert!(same >= SAME, "{same}");
        let two = alike(&["@m.rs:3:5", "a", "b"], &["@m.rs:4:5", "a", "b"], &[]);
        assert!((two - 1.0).abs() < 1e-12, "{two}");
        let one = alike(&["@m.rs:3:5", "a", "b"], &["c", "d"], &[]);
        assert!(one < 1e-12, "{one}");
    }

    #[test]
    fn it_is_symmetric_and_bounded() {
        let stacks: [&[&str]; 6] = [
            &["a", "b", "c"],
            &["b", "a"],
            &["~a", "c", "b"],
            &["@p", "a", "?b"],
            &["@p", ">c", "?b", "x"],
            &[],
        ];
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
