//! What the processor refuses: addresses, permissions, alignment, arithmetic, instructions.

use crate::program::{Program, because, expect};

fn faults() -> Program {
    let options = ["-g", "-O1", "-fstack-protector-all"];
    Program::built("faults.c", &[&["gcc"], &options[..]].concat())
}

#[test]
fn null_and_near_null() {
    let program = faults();
    let null = program.check("null-write", "null-dereference", "write to 0x0 in store");
    assert_eq!(null.instruction.as_deref(), Some("mov dword ptr [rdi], 1"));
    assert_eq!(
        (null.access.as_deref(), null.confidence.as_str()),
        (Some("write"), "certain")
    );
    because(&null, "rdi = 0x0");
    let member = program.check("null-member", "null-dereference", "read of 0x8 in total");
    assert_eq!(member.access.as_deref(), Some("read"));
    let near = program.check("near-null", "near-null-access", "read of 0x8000 in follow");
    assert_eq!(near.confidence, "certain");
    let call = program.check(
        "null-call",
        "wild-jump",
        "call of a null function pointer in call_back",
    );
    assert_eq!(
        (call.access.as_deref(), call.confidence.as_str()),
        (Some("execute"), "certain")
    );
    program.check("near-null-call", "wild-jump", "jump to 0x30 in call_back");
}

#[test]
fn wild_addresses() {
    let program = faults();
    let invalid = program.check(
        "invalid",
        "invalid-address",
        "read of 0x123456789000 in follow",
    );
    because(&invalid, "Nothing was mapped at 0x123456789000");
    let wild = program.check(
        "non-canonical",
        "non-canonical-address",
        "read of non-canonical address 0x4141414141414141 in follow",
    );
    assert_eq!(wild.confidence, "certain");
    let jump = program.check(
        "wild-call",
        "wild-jump",
        "jump to 0x123456789000 in call_back",
    );
    because(&jump, "which is not mapped");
    program.check(
        "damaged-call",
        "wild-jump",
        "jump to non-canonical address 0x4141414141414140 in call_back",
    );
}

#[test]
fn what_is_not_allowed() {
    let program = faults();
    let text = program.check(
        "read-only",
        "permission-violation",
        "write to * in overwrite",
    );
    assert_eq!(text.access.as_deref(), Some("write"));
    // gdb's cores leave out memory that is its file's.
    because(&text, "was mapped, but not for this access");
    let heap = program.check(
        "heap-call",
        "permission-violation",
        "jump to *, which is not executable, in run_data",
    );
    assert_eq!(heap.access.as_deref(), Some("execute"));
    because(&heap, "is mapped writable");
}

#[test]
fn freed_memory() {
    let program = faults();
    let next = program.check("freed-next", "freed-memory", "read of * in bytes_of");
    assert_eq!(next.confidence, "likely");
    because(&next, "is the page number of heap memory");
    let previous = program.check(
        "freed-previous",
        "freed-memory",
        "read of non-canonical address * in bytes_of",
    );
    // The key is found by the C library's own symbols, which Debian has in a package of its own.
    because(&previous, "is the key that glibc's allocator writes");

    let filled = |argument| {
        let fill = ("GLIBC_TUNABLES", "glibc.malloc.perturb=221");
        program.report_with(argument, &[], &[fill])
    };
    let read = expect(
        filled("freed-filled"),
        "freed-memory",
        "read of non-canonical address 0xdddddddddddddd* in bytes_of",
    );
    because(&read, "the fill pattern 0xdd");
    let call = expect(
        filled("freed-call"),
        "freed-memory",
        "jump to non-canonical address 0xdddddddddddddddd in close_session",
    );
    assert_eq!(call.access.as_deref(), Some("execute"));
    program.check("poisoned", "freed-memory", "read of 0xdeadbeef in follow");
}

#[test]
fn overflowing_stacks() {
    let program = faults();
    for argument in ["recursion", "thread-recursion"] {
        let overflow = program.check(
            argument,
            "stack-overflow",
            "stack overflow: write to * in descend",
        );
        assert_eq!(overflow.confidence, "certain");
        because(&overflow, "bytes below the stack");
    }
}

#[test]
fn alignment() {
    let program = faults();
    // x86-64 has no signal of its own for a vector that is not aligned.
    let vector = program.report("misaligned-vector");
    assert_eq!(vector.process.signal.name, "SIGSEGV");
    let vector = expect(vector, "misaligned-access", "misaligned write of * in *");
    because(&vector, "is no multiple of 16*general protection fault");
    let checked = program.report("misaligned-checked");
    assert_eq!(checked.process.signal.name, "SIGBUS");
    let checked = expect(
        checked,
        "misaligned-access",
        "misaligned read of 0x*1 in load_checked",
    );
    because(&checked, "is no multiple of 8");
}

#[test]
fn cut_files() {
    let program = faults();
    program.check("cut-file", "truncated-mapping", "read of * in read_mapped");
    let later = program.check("cut-later", "truncated-mapping", "write to * in write_cut");
    assert_eq!(later.confidence, "certain");
    because(&later, "is mapped from */cut-* (deleted)");
}

#[test]
fn arithmetic() {
    let program = faults();
    let zero = program.check(
        "division",
        "division-by-zero",
        "division by zero in average",
    );
    because(&zero, "`idiv ecx` with ecx = 0");
    let overflow = program.check(
        "quotient",
        "division-overflow",
        "division overflow: -2147483648 / -1 in overflow_quotient",
    );
    assert_eq!(overflow.confidence, "certain");
    let float = program.check(
        "float",
        "division-by-zero",
        "floating-point division by zero in divide",
    );
    because(&float, "FPE_FLTDIV");
}

#[test]
fn instructions() {
    let program = faults();
    let trap = program.check(
        "trap",
        "compiler-trap",
        "trap placed by the compiler in unreachable",
    );
    because(&trap, "are 0f 0b: `ud2`");
    let none = program.check(
        "no-instruction",
        "illegal-instruction",
        "illegal instruction in no_instruction",
    );
    because(&none, "begin with 06 07 1f");
    let foreign = program.check(
        "foreign-instruction",
        "illegal-instruction",
        "illegal instruction in foreign_instruction",
    );
    because(&foreign, "are 0f 78 c1: `vmread rcx, rax`");
    assert_eq!(foreign.instruction.as_deref(), Some("vmread rcx, rax"));
}

#[test]
fn faults_behind_handlers() {
    let program = Program::built("faults.c", &["gcc", "-g", "-O1"]);
    let handled = program.report_with("handled-null", &["SIGSEGV"], &[]);
    assert_eq!(handled.process.signal.name, "SIGABRT");
    assert_eq!(handled.cause.title, "write to 0x0 in store");
    let plain = program.report("null-write");
    assert_eq!(handled.signature.hash, plain.signature.hash);
    program.check_with(
        "handled-recursion",
        &["SIGSEGV"],
        "stack-overflow",
        "stack overflow: * in descend",
    );
}
