//! Prologues of riscv64, with its instructions of two bytes.

use super::Prologue;

const SP: u32 = 2;
const FP: u16 = 8;

/// Applies an instruction and gives its length; `None` where the prologue ends.
pub(super) fn step(prologue: &mut Prologue, bytes: [u8; 4], _: bool) -> Option<u64> {
    let word = u32::from_le_bytes(bytes);
    let (length, goes_on) = if word & 3 == 3 {
        (4, long(prologue, word))
    } else {
        (2, short(prologue, word & 0xffff))
    };
    goes_on.then_some(length)
}

fn long(prologue: &mut Prologue, code: u32) -> bool {
    let immediate = code.cast_signed() >> 20;
    let register = code >> 7 & 31;
    match code {
        // addi sp, sp, #; addi s0, sp, #
        _ if code & 0x000f_ffff == 0x0001_0113 => move_sp(prologue, immediate),
        _ if code & 0x000f_ffff == 0x0001_0413 => {
            prologue.set_frame_pointer(FP, immediate.unsigned_abs());
        }
        // lui register, #; addi register, register, #: a large frame's size
        _ if code & 0x7f == 0x37 => prologue.set_constant(register, (code & !0xfff).cast_signed()),
        _ if code & 0x707f == 0x13 && code >> 15 & 31 == register => {
            prologue.add_constant(register, immediate);
        }
        // add sp, sp, register
        _ if code & 0xfe0f_ffff == 0x0001_0133 => prologue.move_by(code >> 20 & 31),
        // sd register, #(sp)
        _ if code & 0x000f_f07f == 0x0001_3023 => {
            let offset = code >> 25 << 5 | code >> 7 & 31;
            prologue.save(code >> 20 & 31, u64::from(offset));
        }
        // Branches, jumps and calls.
        _ => return !matches!(code & 0x7f, 0x63 | 0x67 | 0x6f),
    }
    true
}

/// Bits of an instruction, from `high` to `low`, moved to where `place` says.
fn bits(code: u32, high: u32, low: u32, place: u32) -> u32 {
    (code >> low & ((1 << (high - low + 1)) - 1)) << place
}

fn short(prologue: &mut Prologue, code: u32) -> bool {
    let destination = code >> 7 & 31;
    let sign = |value: u32, width: u32| (value << (32 - width)).cast_signed() >> (32 - width);
    match code & 0xe003 {
        // c.addi and c.addi16sp
        0x0001 if destination == SP => {
            move_sp(
                prologue,
                sign(bits(code, 12, 12, 5) | bits(code, 6, 2, 0), 6),
            );
        }
        0x6001 if destination == SP => {
            let parts = bits(code, 12, 12, 9) | bits(code, 6, 6, 4) | bits(code, 5, 5, 6);
            let offset = parts | bits(code, 4, 3, 7) | bits(code, 2, 2, 5);
            move_sp(prologue, sign(offset, 10));
        }
        // c.addi, c.lui and c.add of a large frame's size
        0x0001 => {
            let immediate = sign(bits(code, 12, 12, 5) | bits(code, 6, 2, 0), 6);
            prologue.add_constant(destination, immediate);
        }
        0x6001 => {
            let upper = bits(code, 12, 12, 17) | bits(code, 6, 2, 12);
            prologue.set_constant(destination, sign(upper, 18));
        }
        0x8002 if code >> 12 & 1 == 1 && destination == SP => prologue.move_by(code >> 2 & 31),
        // c.sdsp
        0xe002 => {
            let offset = bits(code, 12, 10, 3) | bits(code, 9, 7, 6);
            prologue.save(code >> 2 & 31, u64::from(offset));
        }
        // c.addi4spn to s0
        0x0000 if code != 0 && bits(code, 4, 2, 0) == 0 => {
            let parts = bits(code, 12, 11, 4) | bits(code, 10, 7, 6);
            let offset = parts | bits(code, 6, 6, 2) | bits(code, 5, 5, 3);
            prologue.set_frame_pointer(FP, offset);
        }
        // c.j, c.beqz, c.bnez; c.jr and c.jalr
        0xa001 | 0xc001 | 0xe001 => return false,
        0x8002 if bits(code, 6, 2, 0) == 0 => return false,
        _ => {}
    }
    true
}

impl Prologue {
    fn set_constant(&mut self, register: u32, value: i32) {
        if let Some(constant) = self.constants.get_mut(register as usize) {
            *constant = Some(value);
        }
    }

    fn add_constant(&mut self, register: u32, value: i32) {
        if let Some(Some(sum)) = self.constants.get_mut(register as usize) {
            *sum = sum.wrapping_add(value);
        }
    }

    fn move_by(&mut self, register: u32) {
        if let Some(Some(by)) = self.constants.get(register as usize) {
            move_sp(self, *by);
        }
    }
}

fn move_sp(prologue: &mut Prologue, by: i32) {
    if by < 0 {
        prologue.grow(u64::from(by.unsigned_abs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prologues() {
        let mut prologue = Prologue::default();
        let mut apply = |code: u32| step(&mut prologue, code.to_le_bytes(), false);
        // c.addi16sp -192; c.sdsp s0, 176; c.sdsp ra, 184; c.addi4spn s0, 192; jal
        assert_eq!(apply(0x7131), Some(2));
        assert_eq!(apply(0xf922), Some(2));
        assert_eq!(apply(0xfd06), Some(2));
        assert_eq!(apply(0x0180), Some(2));
        // addi sp, sp, -16; sd s1, 8(sp); c.addi sp, -16
        assert_eq!(apply(0xff01_0113), Some(4));
        assert_eq!(apply(0x0091_3423), Some(4));
        assert_eq!(apply(0x1141), Some(2));
        // c.lui t1, -5; addi t1, t1, 464; c.add sp, t1
        assert_eq!(apply(0x736d), Some(2));
        assert_eq!(apply(0x1d03_0313), Some(4));
        assert_eq!(apply(0x911a), Some(2));
        assert_eq!(apply(0x7824_10ef), None);
        assert_eq!(prologue.depth, 192 + 16 + 16 + 5 * 4096 - 464);
        assert_eq!(prologue.saved, [(8, 16), (1, 8), (9, 200)]);
        assert_eq!(prologue.frame_pointer, Some((8, 0)));
    }
}
