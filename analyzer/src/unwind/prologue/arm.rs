//! Prologues of 32-bit arm, in both instruction sets.

use super::Prologue;

const SP: u16 = 13;
const LR: u16 = 14;

/// Applies an instruction and gives its length; `None` where the prologue ends.
pub(super) fn step(prologue: &mut Prologue, bytes: [u8; 4], thumb: bool) -> Option<u64> {
    let [first, second] = [[bytes[0], bytes[1]], [bytes[2], bytes[3]]].map(u16::from_le_bytes);
    let (length, goes_on) = if !thumb {
        (4, prologue.arm(u32::from_le_bytes(bytes)))
    } else if first >> 11 >= 0x1d {
        (4, prologue.thumb_long(first, second))
    } else {
        (2, prologue.thumb_short(first))
    };
    goes_on.then_some(length)
}

impl Prologue {
    /// The A32 instruction set. False where the prologue ends.
    fn arm(&mut self, code: u32) -> bool {
        let rotated = (code & 0xff).rotate_right((code >> 8 & 15) * 2);
        match code {
            _ if code >> 16 == 0xe92d => self.push(code & 0xffff),
            _ if code & 0xffff_0fff == 0xe52d_0004 => self.push(1 << (code >> 12 & 15)),
            _ if code & 0xffff_f000 == 0xe24d_d000 => self.grow(u64::from(rotated)),
            _ if code & 0xffff_f000 == 0xe28d_b000 => self.set_frame_pointer(11, rotated),
            _ if code & 0xffbf_0f00 == 0xed2d_0b00 => self.grow(u64::from(code & 0xff) * 4),
            _ => return code & 0x0e00_0000 != 0x0a00_0000 && code & 0x0fff_ffd0 != 0x012f_ff10,
        }
        true
    }

    fn thumb_short(&mut self, code: u16) -> bool {
        let low = u32::from(code & 0xff);
        match code {
            0xb400..=0xb5ff => self.push(low | u32::from(code >> 8 & 1) << LR),
            0xb080..=0xb0ff => self.grow(u64::from(code & 0x7f) * 4),
            // add r7, sp, #…
            0xaf00..=0xafff => self.set_frame_pointer(7, low * 4),
            // mov r7, sp
            0x466f => self.set_frame_pointer(7, 0),
            // Branches, conditional ones, and a pop of the program counter.
            0xd000..=0xe7ff | 0x4700..=0x47ff | 0xbd00..=0xbdff => return false,
            _ if code & 0xf500 == 0xb100 => return false,
            _ => {}
        }
        true
    }

    fn thumb_long(&mut self, first: u16, second: u16) -> bool {
        let (first, second) = (u32::from(first), u32::from(second));
        let immediate = (first >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 0xff;
        let to_sp = second >> 8 & 15 == u32::from(SP);
        match first {
            0xe92d => self.push(second),
            // str rX, [sp, #-4]!
            0xf84d if second & 0x0fff == 0x0d04 => self.push(1 << (second >> 12)),
            // strd rX, rY, [sp, #-…]!
            0xe96d => {
                self.depth += u64::from(second & 0xff) * 4;
                for (place, shift) in [(0, 12), (4, 8)] {
                    let register = u16::try_from(second >> shift & 15).unwrap_or(0);
                    self.saved
                        .push((register, self.depth.saturating_sub(place)));
                }
            }
            _ if first & 0xffbf == 0xed2d => self.grow(u64::from(second & 0xff) * 4),
            0xf1ad | 0xf5ad if to_sp => self.grow(u64::from(expanded(immediate))),
            0xf2ad | 0xf6ad if to_sp => self.grow(u64::from(immediate)),
            _ => return !(first & 0xf800 == 0xf000 && second & 0x8000 != 0),
        }
        true
    }
}

/// `ThumbExpandImm` of the architecture's manual.
fn expanded(immediate: u32) -> u32 {
    let byte = immediate & 0xff;
    match immediate >> 8 {
        0 => byte,
        1 => byte << 16 | byte,
        2 => byte << 24 | byte << 8,
        3 => byte << 24 | byte << 16 | byte << 8 | byte,
        _ => (byte | 0x80).rotate_right(immediate >> 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumb_prologues() {
        let mut prologue = Prologue::default();
        // push {r7, lr}; sub sp, #144; sub.w sp, sp, #1280; vpush {d8}; cbz
        assert!(prologue.thumb_short(0xb580));
        assert!(prologue.thumb_short(0xb0a4));
        assert!(prologue.thumb_long(0xf5ad, 0x6da0));
        assert!(prologue.thumb_long(0xed2d, 0x8b02));
        assert!(!prologue.thumb_short(0xb95a));
        assert_eq!(prologue.depth, 8 + 144 + 1280 + 8);
        assert_eq!(prologue.saved, [(7, 8), (LR, 4)]);
    }

    #[test]
    fn arm_prologues() {
        let mut prologue = Prologue::default();
        // push {r4, r11, lr}; add r11, sp, #8; sub sp, sp, #1024; bl
        for code in [0xe92d_4810, 0xe28d_b008, 0xe24d_db01] {
            assert!(prologue.arm(code));
        }
        assert!(!prologue.arm(0xeb00_0000));
        assert_eq!(prologue.depth, 12 + 1024);
        assert_eq!(prologue.frame_pointer, Some((11, 4)));
        assert_eq!(prologue.saved, [(4, 12), (11, 8), (LR, 4)]);
    }
}
