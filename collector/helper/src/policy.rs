//! Decides what to keep of a process's memory, before the first byte of it is read. Pure.
//!
//! Three voices are heard, and the least of them wins: what was asked for ([`Choice`]), what a
//! crash loop or missing rights leave of it ([`Ceiling`]), and what fits the disk.

use crate::record::Policy;
use std::time::Duration;

/// Free space that is never used for a core: the record and the modules of this and of other
/// crashes must still fit.
pub const RESERVE: u64 = 256 << 20;

/// What was asked for, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to keep.
    pub policy: Policy,
    /// Who asked, for the record: `default`, `rule 2`, `label aground.policy`.
    pub from: String,
    /// How much it may be, and for how long.
    pub limits: Limits,
}

/// Bounds of one capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest core kept whole, in bytes before compression; larger ones become lean.
    pub full_max: u64,
    /// Most bytes of memory in a lean core, before compression.
    pub lean_max: u64,
    /// Longest the process may be held. What has been read by then is kept as partial.
    pub hold_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            full_max: 2 << 30,
            lean_max: 64 << 20,
            hold_max: Duration::from_secs(30),
        }
    }
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            policy: Policy::Full,
            from: "default".to_owned(),
            limits: Limits::default(),
        }
    }
}

/// The most that may be kept, whatever was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// [`Policy::Full`], [`Policy::Lean`] or [`Policy::Record`].
    pub policy: Policy,
    /// Why, a sentence for the record.
    pub reason: String,
}

impl Ceiling {
    /// Nothing stands in the way.
    pub fn none() -> Self {
        Self {
            policy: Policy::Full,
            reason: String::new(),
        }
    }
}

/// What to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Keep the whole core, at most this many bytes on disk.
    Full {
        /// Bytes the stored core may take.
        budget: u64,
    },
    /// Keep a lean core.
    Lean {
        /// Bytes the stored core may take.
        budget: u64,
        /// Why not the whole core, a sentence; `None` when no more was asked for.
        reason: Option<String>,
    },
    /// Keep no memory.
    None {
        /// Why, a sentence for the record.
        reason: String,
    },
}

/// Keeps what was asked for if it is allowed and fits what the disk has free beyond [`RESERVE`].
///
/// A core whose size is not known (`core_size` is `None`: not ELF, or damaged headers) is kept
/// up to the budget. Compression is not counted on: what does not fit raw is not begun.
pub fn decide(choice: &Choice, ceiling: &Ceiling, core_size: Option<u64>, free: u64) -> Decision {
    let budget = free.saturating_sub(RESERVE);
    if choice.policy == Policy::Record {
        return Decision::None {
            reason: format!("no memory is asked for ({})", choice.from),
        };
    }
    if ceiling.policy == Policy::Record {
        return Decision::None {
            reason: ceiling.reason.clone(),
        };
    }
    if budget == 0 {
        return Decision::None {
            reason: format!("{free} bytes of disk are free and {RESERVE} are kept in reserve"),
        };
    }
    let lean = |reason| Decision::Lean { budget, reason };
    if choice.policy != Policy::Full {
        return lean(None);
    }
    if ceiling.policy != Policy::Full {
        return lean(Some(ceiling.reason.clone()));
    }
    let full_max = choice.limits.full_max;
    match core_size {
        Some(size) if size > full_max => lean(Some(format!(
            "the core has {size} bytes, more than the {full_max} that are kept whole"
        ))),
        Some(size) if size > budget => lean(Some(format!(
            "the core has {size} bytes and only {budget} are free beyond the reserve of {RESERVE}"
        ))),
        _ => Decision::Full {
            budget: budget.min(full_max),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(policy: Policy) -> Choice {
        Choice {
            policy,
            ..Choice::default()
        }
    }

    fn kept(decision: &Decision) -> &'static str {
        match decision {
            Decision::Full { .. } => "full",
            Decision::Lean { .. } => "lean",
            Decision::None { .. } => "none",
        }
    }

    #[test]
    fn a_core_is_kept_whole_when_it_fits_beside_the_reserve() {
        let limit = Limits::default().full_max;
        let cases = [
            (Some(1000), RESERVE + 1000, "full"),
            (Some(1001), RESERVE + 1000, "lean"),
            (Some(limit), u64::MAX, "full"),
            (Some(limit + 1), u64::MAX, "lean"),
            (Some(0), RESERVE, "none"),
            (None, RESERVE + 1, "full"),
            (None, 0, "none"),
            (Some(u64::MAX), u64::MAX, "lean"),
        ];
        for (size, free, expected) in cases {
            let decision = decide(&asked(Policy::Full), &Ceiling::none(), size, free);
            assert_eq!(kept(&decision), expected, "{size:?} {free}: {decision:?}");
        }
    }

    #[test]
    fn the_least_of_choice_and_ceiling_wins() {
        let ceiling = |policy| Ceiling {
            policy,
            reason: "a loop".to_owned(),
        };
        for (policy, most, expected) in [
            (Policy::Full, Policy::Full, "full"),
            (Policy::Full, Policy::Lean, "lean"),
            (Policy::Full, Policy::Record, "none"),
            (Policy::Lean, Policy::Full, "lean"),
            (Policy::Trace, Policy::Full, "lean"),
            (Policy::Trace, Policy::Record, "none"),
            (Policy::Record, Policy::Full, "none"),
        ] {
            let decision = decide(&asked(policy), &ceiling(most), Some(1), u64::MAX);
            assert_eq!(kept(&decision), expected, "{policy:?} {most:?}");
        }
    }
}
