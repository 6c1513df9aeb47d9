//! aarch64: AAPCS64, `struct user_pt_regs` and `struct sigcontext` of Linux.

use super::{Arch, PROCESSOR_STATE, Trampoline};

const PC: u16 = 32;

pub(super) static AARCH64: Arch = Arch {
    name: "aarch64",
    machine: 183,
    word: 8,
    pc: PC,
    sp: 31,
    fp: 29,
    link: Some(30),
    callee_saved: &[19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29],
    frame_record: 0,
    names: &[
        (0, "x0"),
        (1, "x1"),
        (2, "x2"),
        (3, "x3"),
        (4, "x4"),
        (5, "x5"),
        (6, "x6"),
        (7, "x7"),
        (8, "x8"),
        (9, "x9"),
        (10, "x10"),
        (11, "x11"),
        (12, "x12"),
        (13, "x13"),
        (14, "x14"),
        (15, "x15"),
        (16, "x16"),
        (17, "x17"),
        (18, "x18"),
        (19, "x19"),
        (20, "x20"),
        (21, "x21"),
        (22, "x22"),
        (23, "x23"),
        (24, "x24"),
        (25, "x25"),
        (26, "x26"),
        (27, "x27"),
        (28, "x28"),
        (29, "x29"),
        (30, "x30"),
        (31, "sp"),
        (PC, "pc"),
        (PROCESSOR_STATE, "pstate"),
    ],
    prstatus: X0_TO_PSTATE,
    prstatus_pid: 32,
    prstatus_registers: 112,
    // mov x8, #139; svc #0: the vDSO's __kernel_rt_sigreturn. Its call frame information
    // restores only x29 and x30, so the registers are read from the signal frame, as gdb does.
    // struct rt_sigframe: siginfo (128), ucontext (flags, link, stack 40, mask 128, aligned to
    // 16), fault_address.
    trampolines: &[Trampoline {
        code: &[0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4],
        registers: 128 + 176 + 8,
    }],
    signal_context: X0_TO_PSTATE,
    user_space_end: 1 << 52,
    ends_in_call,
};

const X0_TO_PSTATE: &[u16] = &[
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
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    29,
    30,
    31,
    PC,
    PROCESSOR_STATE,
];

/// `bl` or one of the `blr` family.
fn ends_in_call(before: &[u8]) -> bool {
    let Some(code) = before
        .last_chunk::<4>()
        .map(|bytes| u32::from_le_bytes(*bytes))
    else {
        return false;
    };
    code >> 26 == 0b10_0101 || code & 0xfeff_f000 == 0xd63f_0000
}

#[cfg(test)]
mod tests {
    use super::ends_in_call;

    #[test]
    fn calls_are_told_from_other_code() {
        assert!(ends_in_call(&0x9400_0001_u32.to_le_bytes()));
        assert!(ends_in_call(&0xd63f_0100_u32.to_le_bytes()));
        assert!(!ends_in_call(&0xd65f_03c0_u32.to_le_bytes()));
    }
}
