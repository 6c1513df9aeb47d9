//! i386: System V ABI and `struct user_regs_struct` of 32-bit x86 Linux.

use super::{Arch, ORIGINAL_ACCUMULATOR, SKIPPED, Trampoline};

pub(super) static I386: Arch = Arch {
    name: "i386",
    machine: 3,
    word: 4,
    pc: 8,
    sp: 4,
    fp: 5,
    link: None,
    callee_saved: &[3, 5, 6, 7],
    frame_record: 0,
    names: &[
        (0, "eax"),
        (1, "ecx"),
        (2, "edx"),
        (3, "ebx"),
        (4, "esp"),
        (5, "ebp"),
        (6, "esi"),
        (7, "edi"),
        (8, "eip"),
        (9, "eflags"),
        (40, "es"),
        (41, "cs"),
        (42, "ss"),
        (43, "ds"),
        (44, "fs"),
        (45, "gs"),
        (ORIGINAL_ACCUMULATOR, "orig_eax"),
    ],
    // ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss
    prstatus: &[
        3,
        1,
        2,
        6,
        7,
        5,
        0,
        43,
        40,
        44,
        45,
        ORIGINAL_ACCUMULATOR,
        8,
        41,
        9,
        4,
        42,
    ],
    prstatus_pid: 24,
    prstatus_registers: 72,
    trampolines: &[
        // pop eax; mov eax, 119; int 0x80: sigreturn, with the signal's number on the stack.
        Trampoline {
            code: &[0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80],
            registers: 4,
        },
        // mov eax, 173; int 0x80: rt_sigreturn, behind number, two pointers, siginfo (128), and
        // ucontext's flags, link and stack.
        Trampoline {
            code: &[0xb8, 0xad, 0, 0, 0, 0xcd, 0x80],
            registers: 12 + 128 + 20,
        },
    ],
    // gs fs es ds edi esi ebp esp ebx edx ecx eax trapno err eip cs eflags, in front of what the
    // floating-point unit had
    signal_context: &[
        45, 44, 40, 43, 7, 6, 5, 4, 3, 2, 1, 0, SKIPPED, SKIPPED, 8, 41, 9,
    ],
    user_space_end: 1 << 32,
    ends_in_call: super::x86_64::ends_in_call,
};
