//! 32-bit arm: AAPCS, `struct user_regs` and `struct sigcontext` of Linux's EABI.

use super::{Arch, PROCESSOR_STATE, SKIPPED, Trampoline};

pub(super) static ARM: Arch = Arch {
    name: "arm",
    machine: 40,
    word: 4,
    pc: 15,
    sp: 13,
    fp: 11,
    link: Some(14),
    callee_saved: &[4, 5, 6, 7, 8, 9, 10, 11],
    frame_record: 0,
    names: &[
        (0, "r0"),
        (1, "r1"),
        (2, "r2"),
        (3, "r3"),
        (4, "r4"),
        (5, "r5"),
        (6, "r6"),
        (7, "r7"),
        (8, "r8"),
        (9, "r9"),
        (10, "r10"),
        (11, "r11"),
        (12, "r12"),
        (13, "sp"),
        (14, "lr"),
        (15, "pc"),
        (PROCESSOR_STATE, "cpsr"),
    ],
    // r0..r15 cpsr orig_r0
    prstatus: &[
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
        13,
        14,
        15,
        PROCESSOR_STATE,
        SKIPPED,
    ],
    prstatus_pid: 24,
    prstatus_registers: 72,
    // mov r7, #119 or #173; svc 0, in both instruction sets, of which Thumb
    // writes it in two lengths. struct ucontext: flags, link, stack
    // (20 bytes), trap number, error code, mask; in front of it siginfo (128) for rt_sigreturn.
    trampolines: &[
        Trampoline {
            code: &[0x77, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef],
            registers: 32,
        },
        Trampoline {
            code: &[0x77, 0x27, 0, 0xdf],
            registers: 32,
        },
        Trampoline {
            code: &[0x4f, 0xf0, 0x77, 0x07, 0, 0xdf],
            registers: 32,
        },
        Trampoline {
            code: &[0xad, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef],
            registers: 128 + 32,
        },
        Trampoline {
            code: &[0xad, 0x27, 0, 0xdf],
            registers: 128 + 32,
        },
        Trampoline {
            code: &[0x4f, 0xf0, 0xad, 0x07, 0, 0xdf],
            registers: 128 + 32,
        },
    ],
    signal_context: &[
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
        13,
        14,
        15,
        PROCESSOR_STATE,
    ],
    user_space_end: 1 << 32,
    ends_in_call,
};

/// `bl` and `blx` of either instruction set.
fn ends_in_call(before: &[u8]) -> bool {
    let half = |bytes: &[u8; 2]| u16::from_le_bytes(*bytes);
    let Some(last) = before.last_chunk::<2>().map(half) else {
        return false;
    };
    let Some(word) = before
        .last_chunk::<4>()
        .map(|bytes| u32::from_le_bytes(*bytes))
    else {
        return last & 0xff80 == 0x4780;
    };
    let thumb = last & 0xff80 == 0x4780 || word & 0xc000_f800 == 0xc000_f000;
    let relative = word >> 28 != 15 && word >> 24 & 15 == 11;
    let exchanging = word >> 25 == 0x7d || word & 0x0fff_fff0 == 0x012f_ff30;
    thumb || relative || exchanging
}

#[cfg(test)]
mod tests {
    use super::ends_in_call;

    #[test]
    fn calls_are_told_from_other_code() {
        // bl; blx of an address; blx r3; thumb: blx r3
        for code in [0xeb00_0001_u32, 0xfa00_0001, 0xe12f_ff33] {
            assert!(ends_in_call(&code.to_le_bytes()), "{code:#x}");
        }
        assert!(ends_in_call(&[0, 0, 0x98, 0x47]));
        assert!(ends_in_call(&[0x98, 0x47]));
        // thumb: bl +4, as two half words
        assert!(ends_in_call(&[0x00, 0xf0, 0x02, 0xf8]));
        // b; bx lr; mov r0, r0; thumb: bx lr
        for code in [0xea00_0001_u32, 0xe12f_ff1e, 0xe1a0_0000] {
            assert!(!ends_in_call(&code.to_le_bytes()), "{code:#x}");
        }
        assert!(!ends_in_call(&[0, 0, 0x70, 0x47]));
    }
}
