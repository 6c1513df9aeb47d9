//! riscv64: the psABI, `struct user_regs_struct` and `struct sigcontext` of Linux.

use super::{Arch, Trampoline};

/// DWARF gives the program counter no number; this one is a scratch register's of the
/// floating-point unit, which no frame saves.
const PC: u16 = 32;

pub(super) static RISCV64: Arch = Arch {
    name: "riscv64",
    machine: 243,
    word: 8,
    pc: PC,
    sp: 2,
    fp: 8,
    link: Some(1),
    callee_saved: &[8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27],
    frame_record: -16,
    names: &[
        (1, "ra"),
        (2, "sp"),
        (3, "gp"),
        (4, "tp"),
        (5, "t0"),
        (6, "t1"),
        (7, "t2"),
        (8, "s0"),
        (9, "s1"),
        (10, "a0"),
        (11, "a1"),
        (12, "a2"),
        (13, "a3"),
        (14, "a4"),
        (15, "a5"),
        (16, "a6"),
        (17, "a7"),
        (18, "s2"),
        (19, "s3"),
        (20, "s4"),
        (21, "s5"),
        (22, "s6"),
        (23, "s7"),
        (24, "s8"),
        (25, "s9"),
        (26, "s10"),
        (27, "s11"),
        (28, "t3"),
        (29, "t4"),
        (30, "t5"),
        (31, "t6"),
        (PC, "pc"),
    ],
    prstatus: PC_TO_X31,
    prstatus_pid: 32,
    prstatus_registers: 112,
    // li a7, 139; ecall: the vDSO's __vdso_rt_sigreturn. struct rt_sigframe: siginfo (128),
    // ucontext (flags, link, stack 40, mask 128, aligned to 16), then pc and x1..x31.
    trampolines: &[Trampoline {
        code: &[0x93, 0x08, 0xb0, 0x08, 0x73, 0, 0, 0],
        registers: 128 + 176,
    }],
    signal_context: PC_TO_X31,
    user_space_end: 1 << 56,
    ends_in_call,
};

const PC_TO_X31: &[u16] = &[
    PC, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31,
];

/// `jal` or `jalr` that keeps the return address in `ra` or, as calls of `-msave-restore` do, in
/// `t0`; also the two-byte `c.jalr`.
fn ends_in_call(before: &[u8]) -> bool {
    let short = before.last_chunk::<2>().map(|b| u16::from_le_bytes(*b));
    let long = before.last_chunk::<4>().map(|b| u32::from_le_bytes(*b));
    let compressed = |code: u16| code & 0xf07f == 0x9002 && code != 0x9002;
    let links = |code: u32| matches!(code >> 7 & 31, 1 | 5);
    let whole = |code: u32| links(code) && (code & 0x7f == 0x6f || code & 0x707f == 0x67);
    short.is_some_and(compressed) || long.is_some_and(whole)
}

#[cfg(test)]
mod tests {
    use super::ends_in_call;

    #[test]
    fn calls_are_told_from_other_code() {
        // jal ra, +16; jalr ra, 0(a5); c.jalr a5
        assert!(ends_in_call(&0x0100_00ef_u32.to_le_bytes()));
        assert!(ends_in_call(&0x0007_80e7_u32.to_le_bytes()));
        assert!(ends_in_call(&0x9782_u16.to_le_bytes()));
        // j +16; ret; c.ebreak; c.ret
        assert!(!ends_in_call(&0x0100_006f_u32.to_le_bytes()));
        assert!(!ends_in_call(&0x0000_8067_u32.to_le_bytes()));
        assert!(!ends_in_call(&0x9002_u16.to_le_bytes()));
        assert!(!ends_in_call(&0x8082_u16.to_le_bytes()));
        assert!(!ends_in_call(&[]));
    }
}
