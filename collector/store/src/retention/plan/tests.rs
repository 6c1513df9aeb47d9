//! Small cases in full, and many random ones for what must always hold.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap
)]

use super::*;
use crate::retention::Action::{Delete, DropMemory, Thin};
use aground_helper::id::DumpId;

const MIB: u64 = 1 << 20;

fn id(number: u8) -> DumpId {
    DumpId::from_bytes([number; 16])
}

/// A dump of a group with a whole core of so many MiB; the number is also when it crashed.
fn dump(number: u8, group: &str, mebibytes: u64) -> HeldDump {
    HeldDump {
        id: id(number),
        group: group.to_owned(),
        crashed_at_ms: i64::from(number) * 1000,
        pinned: false,
        eligible: true,
        kept: if mebibytes == 0 {
            Kept::None
        } else {
            Kept::Full
        },
        expired: false,
        thinnable: true,
        memory: mebibytes * MIB,
        rest: 4096,
        modules: vec![],
    }
}

fn lean(number: u8, group: &str, mebibytes: u64) -> HeldDump {
    HeldDump {
        kept: Kept::Lean,
        ..dump(number, group, mebibytes)
    }
}

fn held(dumps: Vec<HeldDump>) -> Held {
    Held {
        now_ms: 100_000,
        free: 1 << 40,
        dumps,
        modules: vec![],
    }
}

fn quota(mebibytes: u64) -> Limits {
    Limits {
        max_bytes: Some(mebibytes * MIB),
        ..Limits::default()
    }
}

/// What a plan does, as `thin 1`, `drop 2`, `delete 3`.
fn told(plan: &Plan) -> Vec<String> {
    let word = |action| match action {
        Thin => "thin",
        DropMemory => "drop",
        Delete => "delete",
    };
    let number = |step: &Step| u8::from_str_radix(&step.id.as_str()[..2], 16).unwrap_or(0);
    let steps = plan.steps.iter();
    steps
        .map(|step| format!("{} {}", word(step.action), number(step)))
        .collect()
}

#[track_caller]
fn check(held: &Held, limits: &Limits, expected: &[&str], unmet: bool) -> Plan {
    let plan = plan(held, limits);
    assert_eq!(told(&plan), expected, "{plan:?}");
    assert_eq!(plan.unmet.is_some(), unmet, "{plan:?}");
    plan
}

#[test]
fn within_the_limits_nothing_goes() {
    check(&held(vec![dump(1, "a", 100)]), &quota(101), &[], false);
    check(
        &held(vec![dump(1, "a", 100)]),
        &Limits::default(),
        &[],
        false,
    );
    check(&held(vec![]), &quota(0), &[], false);
}

#[test]
fn whole_cores_become_lean_before_memory_is_dropped() {
    let three = || vec![dump(1, "a", 100), dump(2, "a", 100), dump(3, "a", 100)];
    // The one that is neither first nor newest of its group, then as much more as is needed.
    check(&held(three()), &quota(250), &["thin 2"], false);
    check(&held(three()), &quota(200), &["thin 2", "thin 1"], false);
    check(
        &held(three()),
        &quota(60),
        &["thin 2", "thin 1", "thin 3"],
        false,
    );
    check(
        &held(three()),
        &quota(3),
        &["thin 1", "thin 3", "drop 2"],
        false,
    );
    check(
        &held(three()),
        &quota(2),
        &["thin 3", "drop 2", "drop 1"],
        false,
    );
    let all = ["drop 2", "drop 1", "drop 3"];
    check(&held(three()), &quota(1), &all, false);
}

#[test]
fn dumps_are_deleted_only_when_no_memory_is_left() {
    let mut dumps: Vec<_> = (1..=4).map(|number| dump(number, "a", 0)).collect();
    dumps.push(lean(5, "b", 10));
    let limits = Limits {
        max_bytes: Some(3 * 4096),
        ..Limits::default()
    };
    check(
        &held(dumps),
        &limits,
        &["drop 5", "delete 2", "delete 3"],
        false,
    );
}

#[test]
fn a_loop_pays_for_itself() {
    let mut dumps: Vec<_> = (1..=40).map(|number| lean(number, "loop", 10)).collect();
    dumps.extend([
        lean(50, "rare", 30),
        lean(51, "rare", 30),
        lean(52, "rare", 30),
    ]);
    let plan = plan(&held(dumps), &quota(200));
    assert!(plan.unmet.is_none());
    let told = told(&plan);
    assert_eq!(told.len(), 30, "{told:?}");
    // The oldest but the first.
    assert_eq!(told[..2], ["drop 2", "drop 3"]);
    assert!(!told.contains(&"drop 51".to_owned()), "{told:?}");
}

#[test]
fn the_newest_with_memory_stay_as_long_as_others_can_give() {
    let dumps = || (1..=6).map(|number| lean(number, "a", 10)).collect();
    let limits = |mebibytes| Limits {
        per_group: 3,
        ..quota(mebibytes)
    };
    check(&held(dumps()), &limits(45), &["drop 2", "drop 3"], false);
    check(
        &held(dumps()),
        &limits(35),
        &["drop 2", "drop 3", "drop 4"],
        false,
    );
    let ends_last = ["drop 2", "drop 3", "drop 4", "drop 5", "drop 1"];
    check(&held(dumps()), &limits(15), &ends_last, false);
}

#[test]
fn the_larger_goes_before_the_older_and_the_older_of_equals() {
    let dumps = vec![
        lean(1, "a", 1),
        lean(2, "a", 2),
        lean(3, "a", 16),
        lean(4, "a", 17),
        lean(5, "a", 1),
    ];
    check(&held(dumps), &quota(10), &["drop 3", "drop 4"], false);
}

#[test]
fn pinned_dumps_are_never_touched_and_the_plan_says_so() {
    let pinned = |number| HeldDump {
        pinned: true,
        ..dump(number, "a", 100)
    };
    let limits = Limits {
        max_age_ms: Some(1),
        memory_age_ms: Some(1),
        ..quota(100)
    };
    let plan = check(&held(vec![pinned(1), pinned(2)]), &limits, &[], true);
    let expected = "200 MiB were held and the quota is 100 MiB, but 2 pinned dumps hold 200 MiB";
    assert_eq!(plan.unmet.as_deref(), Some(expected));
}

#[test]
fn what_others_fill_costs_memory_but_no_record() {
    let full = Held {
        free: 0,
        ..held(vec![dump(1, "a", 100), dump(2, "a", 0)])
    };
    let limits = Limits {
        min_free: 500 * MIB,
        ..Limits::default()
    };
    let plan = check(&full, &limits, &["drop 1"], true);
    let expected = "0 bytes of the disk were free and 500 MiB must be, but deleting every other dump would not be enough";
    assert_eq!(plan.unmet.as_deref(), Some(expected));
    let limits = Limits {
        min_free: 100 * MIB + 4096,
        ..Limits::default()
    };
    check(&full, &limits, &["delete 1"], false);
}

#[test]
fn what_is_too_old_goes_without_any_pressure() {
    let dumps = || vec![dump(1, "a", 1), dump(50, "a", 1), dump(99, "a", 1)];
    let limits = Limits {
        max_age_ms: Some(60_000),
        memory_age_ms: Some(30_000),
        ..Limits::default()
    };
    let plan = check(&held(dumps()), &limits, &["delete 1", "drop 50"], false);
    assert_eq!(plan.steps[0].reason, "dumps are kept for 1 minute only");
    assert_eq!(plan.steps[1].reason, "memory is kept for 30 seconds only");
}

#[test]
fn traces_lose_their_memory_as_soon_as_there_is_a_report() {
    let expired = |number| HeldDump {
        expired: true,
        ..lean(number, "a", 1)
    };
    let pinned = HeldDump {
        pinned: true,
        ..expired(3)
    };
    let held = held(vec![lean(1, "a", 1), expired(2), pinned]);
    check(&held, &Limits::default(), &["drop 2"], false);
}

#[test]
fn modules_are_counted_once_and_freed_by_the_last_that_needs_them() {
    let with = |number, modules: &[usize]| HeldDump {
        modules: modules.to_vec(),
        ..lean(number, "a", 10)
    };
    let held = Held {
        modules: vec![100 * MIB, 7 * MIB, 5 * MIB],
        ..held(vec![with(1, &[0]), with(2, &[0, 1]), with(3, &[0])])
    };
    let plan = check(&held, &quota(125), &["drop 2"], false);
    // The third module is nobody's: it is not counted here, a sweep takes it.
    assert_eq!((plan.held, plan.frees()), (137 * MIB + 3 * 4096, 17 * MIB));
    let plan = check(&held, &quota(1), &["drop 2", "drop 1", "drop 3"], false);
    assert_eq!(plan.frees(), 137 * MIB);
}

#[test]
fn small_cores_and_those_that_cannot_be_thinned_are_dropped_whole() {
    let damaged = HeldDump {
        thinnable: false,
        ..dump(2, "a", 50)
    };
    let dumps = vec![dump(1, "a", 1), damaged, dump(3, "a", 1)];
    check(&held(dumps), &quota(10), &["drop 2"], false);
}

#[test]
fn what_is_asked_for_goes_but_for_pins_and_what_was_not_meant() {
    let pinned = HeldDump {
        pinned: true,
        ..dump(1, "a", 1)
    };
    let other = HeldDump {
        eligible: false,
        ..dump(2, "a", 1)
    };
    let held = held(vec![dump(4, "a", 0), dump(3, "a", 1), pinned, other]);
    assert_eq!(told(&asked(&held, Delete)), ["delete 3", "delete 4"]);
    assert_eq!(told(&asked(&held, DropMemory)), ["drop 3"]);
}

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn random(numbers: &mut Numbers) -> (Held, Limits) {
    let modules: Vec<u64> = (0..numbers.below(6))
        .map(|_| numbers.below(40) * MIB)
        .collect();
    let dumps = (0..numbers.below(60)).map(|number| {
        let group = ["a", "b", "c", "d"][numbers.below(4).min(numbers.below(4)) as usize];
        let mut dump = dump(
            number as u8,
            group,
            [0, 1, 5, 80][numbers.below(4) as usize],
        );
        dump.crashed_at_ms = numbers.below(100_000) as i64;
        if dump.memory > 0 {
            dump.kept = [Kept::Full, Kept::Lean, Kept::Partial][numbers.below(3) as usize];
        }
        dump.pinned = numbers.below(10) == 0;
        dump.eligible = numbers.below(10) != 0;
        dump.thinnable = numbers.below(5) != 0;
        dump.modules = (0..modules.len())
            .filter(|_| numbers.below(2) == 0)
            .collect();
        dump
    });
    let held = Held {
        dumps: dumps.collect(),
        free: numbers.below(200) * MIB,
        modules,
        ..held(vec![])
    };
    let limits = Limits {
        max_bytes: (numbers.below(2) == 0).then(|| numbers.below(2000) * MIB),
        min_free: numbers.below(3) * numbers.below(500) * MIB,
        max_age_ms: (numbers.below(4) == 0).then(|| numbers.below(100_000)),
        memory_age_ms: (numbers.below(4) == 0).then(|| numbers.below(100_000)),
        per_group: numbers.below(4),
    };
    (held, limits)
}

fn total(held: &Held) -> u64 {
    let used = |index: &usize| held.dumps.iter().any(|dump| dump.modules.contains(index));
    let modules = (0..held.modules.len())
        .filter(used)
        .map(|index| held.modules[index]);
    let dumps = held.dumps.iter().map(|dump| dump.memory + dump.rest);
    dumps.chain(modules).sum()
}

/// Carries a plan out as the daemon would, with an account of its own.
fn carry_out(held: &Held, plan: &Plan) -> Held {
    let mut after = held.clone();
    for step in &plan.steps {
        let before = total(&after);
        let index = after.dumps.iter().position(|dump| dump.id == step.id);
        let index = index.expect("a step for a dump that is gone");
        let dump = &mut after.dumps[index];
        assert!(dump.eligible && !dump.pinned, "{step:?}");
        match step.action {
            Thin => {
                assert_eq!(dump.kept, Kept::Full);
                (dump.kept, dump.memory) = (Kept::Lean, lean_estimate(dump.memory));
            }
            DropMemory => {
                (dump.kept, dump.memory) = (Kept::None, 0);
                dump.modules.clear();
            }
            Delete => drop(after.dumps.remove(index)),
        }
        let freed = before - total(&after);
        assert_eq!(freed, step.frees, "{step:?}");
        after.free += freed;
    }
    after
}

fn holds(held: &Held, limits: &Limits) -> bool {
    limits.max_bytes.is_none_or(|most| total(held) <= most) && held.free >= limits.min_free
}

#[test]
fn limits_hold_afterwards_unless_nothing_could_make_them() {
    let mut numbers = Numbers(1);
    let (mut met, mut unmet) = (0, 0);
    for _ in 0..5000 {
        let (held, limits) = random(&mut numbers);
        let planned = plan(&held, &limits);
        let after = carry_out(&held, &planned);
        assert_eq!(planned.held, total(&held));
        assert_eq!(
            planned.unmet.is_none(),
            holds(&after, &limits),
            "{planned:?}"
        );
        if planned.unmet.is_some() {
            unmet += 1;
            let everything = carry_out(&held, &asked(&held, Delete));
            assert!(
                !holds(&everything, &limits),
                "it could have been met: {planned:?}"
            );
        } else {
            met += usize::from(!planned.steps.is_empty());
            // Doing it again changes nothing.
            assert_eq!(plan(&after, &limits).steps, []);
        }
    }
    assert!(met > 500 && unmet > 500, "{met} {unmet}");
}

#[test]
fn no_stage_begins_before_the_one_before_has_nothing_left() {
    let mut numbers = Numbers(2);
    for _ in 0..5000 {
        let (held, limits) = random(&mut numbers);
        let limits = Limits {
            max_age_ms: None,
            memory_age_ms: None,
            ..limits
        };
        let planned = plan(&held, &limits);
        let after = carry_out(&held, &planned);
        let mine = |dump: &&HeldDump| dump.eligible && !dump.pinned;
        let did = |action| planned.steps.iter().any(|step| step.action == action);
        if did(DropMemory) {
            let whole = after
                .dumps
                .iter()
                .filter(mine)
                .any(|dump| dump.kept == Kept::Full && dump.thinnable && dump.memory > SMALL);
            assert!(!whole, "{planned:?}");
        }
        if did(Delete) {
            assert!(after.dumps.iter().filter(mine).all(|dump| dump.memory == 0));
        }
        // The first and the newest of a group lose their memory after all others of it.
        let worth = worth(&held, limits.per_group);
        let lost = |dump: &HeldDump| {
            let now = after.dumps.iter().find(|left| left.id == dump.id);
            now.is_none_or(|now| now.memory == 0) && dump.memory > 0
        };
        let level = |wanted| {
            let all = held.dumps.iter().zip(&worth);
            all.filter(move |(dump, worth)| **worth == wanted && dump.memory > 0 && mine(dump))
        };
        for (lower, higher) in [(Worth::Ordinary, Worth::Floor), (Worth::Floor, Worth::End)] {
            if level(higher).any(|(dump, _)| lost(dump)) {
                assert!(level(lower).all(|(dump, _)| lost(dump)), "{planned:?}");
            }
        }
    }
}

#[test]
fn no_group_gives_while_another_has_more() {
    let mut numbers = Numbers(3);
    for _ in 0..2000 {
        let sizes: Vec<(u8, &str, u64)> = (1..40)
            .map(|number| {
                let group = ["a", "a", "a", "b", "c"][numbers.below(5) as usize];
                (number, group, 1 + numbers.below(9))
            })
            .collect();
        let held = held(
            sizes
                .iter()
                .map(|(number, group, size)| lean(*number, group, *size))
                .collect(),
        );
        let worth = worth(&held, 0);
        let mut most: BTreeMap<&str, u64> = BTreeMap::new();
        for (dump, worth) in held.dumps.iter().zip(&worth) {
            if *worth == Worth::Ordinary {
                *most.entry(&dump.group).or_default() += dump.memory;
            }
        }
        let ends = worth.iter().filter(|worth| **worth == Worth::End).count();
        let limits = quota(numbers.below(200).max(10 * ends as u64));
        for step in plan(&held, &limits).steps {
            let dump = held
                .dumps
                .iter()
                .find(|dump| dump.id == step.id)
                .expect("its dump");
            let mine = most[dump.group.as_str()];
            assert!(
                most.values().all(|other| *other <= mine),
                "{most:?} {step:?}"
            );
            *most.entry(&dump.group).or_default() -= dump.memory;
        }
    }
}
