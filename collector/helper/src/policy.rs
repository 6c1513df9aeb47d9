//! Decides what to keep of a process's memory, before the first byte of it is read. Pure.

/// Free space that is never used for a core: the record and the modules of this and of other
/// crashes must still fit.
pub const RESERVE: u64 = 256 << 20;

/// What to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Keep the whole core, at most this many bytes on disk.
    Full {
        /// Bytes the stored core may take.
        budget: u64,
    },
    /// Keep no memory.
    None {
        /// Why, a sentence for the record.
        reason: String,
    },
}

/// Keeps the whole core if it fits what the disk has free beyond [`RESERVE`].
///
/// A core whose size is not known (`core_size` is `None`: not ELF, or damaged headers) is kept
/// up to the budget. Compression is not counted on: what does not fit raw is not begun.
pub fn decide(core_size: Option<u64>, free: u64) -> Decision {
    let budget = free.saturating_sub(RESERVE);
    let reason = match core_size {
        _ if budget == 0 => {
            format!("{free} bytes of disk are free and {RESERVE} are kept in reserve")
        }
        Some(size) if size > budget => {
            format!(
                "the core has {size} bytes and only {budget} are free beyond the reserve of {RESERVE}"
            )
        }
        _ => return Decision::Full { budget },
    };
    Decision::None { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_kept_when_it_fits_beside_the_reserve() {
        let cases = [
            (Some(1000), RESERVE + 1000, true),
            (Some(1001), RESERVE + 1000, false),
            (Some(0), RESERVE, false),
            (None, RESERVE + 1, true),
            (None, 0, false),
            (Some(u64::MAX), u64::MAX, false),
        ];
        for (size, free, kept) in cases {
            let decision = decide(size, free);
            assert_eq!(
                matches!(decision, Decision::Full { .. }),
                kept,
                "{size:?} {free}: {decision:?}"
            );
        }
    }
}
