//! Prologues of aarch64.

use super::Prologue;

const FP: u16 = 29;
const MOVE_SP: u32 = 0xd100_03ff;

/// Applies an instruction and gives its length; `None` where the prologue ends.
pub(super) fn step(prologue: &mut Prologue, bytes: [u8; 4], _: bool) -> Option<u64> {
    let code = u32::from_le_bytes(bytes);
    let (first, second) = (code & 31, code >> 10 & 31);
    let pair = u64::from(
        (code >> 15 & 0x7f)
            .cast_signed()
            .wrapping_shl(25)
            .wrapping_shr(25)
            .unsigned_abs(),
    ) * 8;
    match code {
        // stp first, second, [sp, #-…]! of general, then of floating-point registers
        _ if code & 0xffe0_03e0 == 0xa9a0_03e0 => {
            prologue.grow(pair);
            prologue.save(first, 0);
            prologue.save(second, 8);
        }
        _ if code & 0xffe0_03e0 == 0x6da0_03e0 => prologue.grow(pair),
        // stp first, second, [sp, #…]
        _ if code & 0xffe0_03e0 == 0xa900_03e0 => {
            prologue.save(first, pair);
            prologue.save(second, pair + 8);
        }
        // str first, [sp, #-…]!
        _ if code & 0xfff0_0fe0 == 0xf810_0fe0 => {
            prologue.grow(256 - u64::from(code >> 12 & 0xff));
            prologue.save(first, 0);
        }
        // str first, [sp, #…]
        _ if code & 0xffc0_03e0 == 0xf900_03e0 => {
            prologue.save(first, u64::from(code >> 10 & 0xfff) * 8);
        }
        // sub sp, sp, #…
        _ if code & 0xffc0_03ff == MOVE_SP => prologue.grow(u64::from(code >> 10 & 0xfff)),
        _ if code & 0xffc0_03ff == MOVE_SP | 1 << 22 => {
            prologue.grow(u64::from(code >> 10 & 0xfff) << 12);
        }
        // add x29, sp, #…
        _ if code & 0xffc0_03ff == 0x9100_03fd => {
            prologue.set_frame_pointer(FP, code >> 10 & 0xfff);
        }
        _ if branches(code) => return None,
        _ => {}
    }
    Some(4)
}

/// `b`, `bl`, `b.cond`, `cbz`, `tbz`, `br`, `blr`, `ret` and their kin.
fn branches(code: u32) -> bool {
    code & 0x7c00_0000 == 0x1400_0000
        || code & 0xfe00_0000 == 0x5400_0000
        || code & 0x7c00_0000 == 0x3400_0000
        || code & 0xfe00_0000 == 0xd600_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prologues() {
        let mut prologue = Prologue::default();
        let mut apply = |code: u32| step(&mut prologue, code.to_le_bytes(), false);
        // stp x29, x30, [sp, #-32]!; mov x29, sp; str x19, [sp, #16]; sub sp, sp, #64
        for code in [0xa9be_7bfd, 0x9100_03fd, 0xf900_0bf3, 0xd101_03ff] {
            assert_eq!(apply(code), Some(4), "{code:#x}");
        }
        // str x20, [sp, #-16]!; stp x21, x22, [sp, #16]; bl
        assert_eq!(apply(0xf81f_0ff4), Some(4));
        assert_eq!(apply(0xa901_5bf5), Some(4));
        assert_eq!(apply(0x9400_0001), None);
        assert_eq!(prologue.depth, 32 + 64 + 16);
        let saved = [(29, 32), (30, 24), (19, 16), (20, 112), (21, 96), (22, 88)];
        assert_eq!(prologue.saved, saved);
        assert_eq!(prologue.frame_pointer, Some((29, 32)));
    }
}
