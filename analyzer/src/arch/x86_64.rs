//! `x86_64`: System V ABI, `struct user_regs_struct` and `struct sigcontext` of Linux.

use super::{Arch, ORIGINAL_ACCUMULATOR, Trampoline};

pub(super) static X86_64: Arch = Arch {
    name: "x86_64",
    machine: 62,
    word: 8,
    pc: 16,
    sp: 7,
    fp: 6,
    link: None,
    callee_saved: &[3, 6, 12, 13, 14, 15],
    frame_record: 0,
    names: &[
        (0, "rax"),
        (1, "rdx"),
        (2, "rcx"),
        (3, "rbx"),
        (4, "rsi"),
        (5, "rdi"),
        (6, "rbp"),
        (7, "rsp"),
        (8, "r8"),
        (9, "r9"),
        (10, "r10"),
        (11, "r11"),
        (12, "r12"),
        (13, "r13"),
        (14, "r14"),
        (15, "r15"),
        (16, "rip"),
        (49, "eflags"),
        (50, "es"),
        (51, "cs"),
        (52, "ss"),
        (53, "ds"),
        (54, "fs"),
        (55, "gs"),
        (58, "fs_base"),
        (59, "gs_base"),
        (ORIGINAL_ACCUMULATOR, "orig_rax"),
    ],
    // r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss
    // fs_base gs_base ds es fs gs
    prstatus: &[
        15,
        14,
        13,
        12,
        6,
        3,
        11,
        10,
        9,
        8,
        0,
        2,
        1,
        4,
        5,
        ORIGINAL_ACCUMULATOR,
        16,
        51,
        49,
        7,
        52,
        58,
        59,
        53,
        50,
        54,
        55,
    ],
    prstatus_pid: 32,
    prstatus_registers: 112,
    // After the handler's `ret`, rsp is at struct ucontext: flags, link, stack (40 bytes).
    trampolines: &[
        // mov rax, 15; syscall: glibc, musl (gdb amd64-linux-tdep.c) and Go's assembler.
        Trampoline {
            code: &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05],
            registers: 40,
        },
        // mov eax, 15; syscall: what other assemblers make of the same.
        Trampoline {
            code: &[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05],
            registers: 40,
        },
    ],
    // r8..r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags
    signal_context: &[8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16, 49],
    user_space_end: 1 << 56,
    ends_in_call,
};

/// `call rel32`, or `call r/m` in any of its lengths.
pub(super) fn ends_in_call(before: &[u8]) -> bool {
    let from_end = |length: usize| {
        before
            .len()
            .checked_sub(length)
            .and_then(|i| before.get(i..))
    };
    let relative = from_end(5).is_some_and(|code| code[0] == 0xe8);
    relative
        || (2..=7).any(|length| from_end(length).is_some_and(|code| is_indirect_call(code, length)))
}

/// Whether `ff /2` with its `ModRM`, SIB and displacement takes exactly `length` bytes.
fn is_indirect_call(code: &[u8], length: usize) -> bool {
    let (0xff, Some(&modrm)) = (code[0], code.get(1)) else {
        return false;
    };
    if modrm >> 3 & 7 != 2 {
        return false;
    }
    let (mode, rm) = (modrm >> 6, modrm & 7);
    let sib = usize::from(mode != 3 && rm == 4);
    let displacement = match mode {
        0 if rm == 5 => 4,
        0 if rm == 4 && code.get(2).is_some_and(|sib| sib & 7 == 5) => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    length == 2 + sib + displacement
}

#[cfg(test)]
mod tests {
    use super::ends_in_call;

    #[test]
    fn calls_are_told_from_other_code() {
        assert!(ends_in_call(&[0xe8, 1, 2, 3, 4]));
        assert!(ends_in_call(&[0xff, 0xd0]));
        assert!(ends_in_call(&[0x41, 0xff, 0xd4]));
        assert!(ends_in_call(&[0xff, 0x15, 1, 2, 3, 4]));
        assert!(ends_in_call(&[0xff, 0x50, 0x18]));
        assert!(ends_in_call(&[0xff, 0x14, 0xc5, 1, 2, 3, 4]));
        assert!(!ends_in_call(&[0xff, 0x25, 1, 2, 3, 4]));
        assert!(!ends_in_call(&[0x90; 7]));
        assert!(!ends_in_call(&[]));
    }
}
