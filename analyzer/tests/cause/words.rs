//! What a program says of itself before it gives up: C libraries and their allocators.

use crate::program::{Program, because};

#[test]
fn glibc() {
    let options = ["-g", "-O1", "-fstack-protector-all"];
    let program = Program::built("faults.c", &[&["gcc"], &options[..]].concat());
    let checked = Program::built(
        "faults.c",
        &[&["gcc", "-D_FORTIFY_SOURCE=2"], &options[..]].concat(),
    );
    let asserted = program.check(
        "assertion",
        "assertion",
        "assertion 'items == 77' failed in check",
    );
    let message = asserted.message.unwrap();
    assert!(
        message.contains("Assertion `items == 77' failed"),
        "{message}"
    );
    assert_eq!(asserted.confidence, "certain");

    let abort = program.check("abort", "abort", "abort in give_up");
    assert_eq!(abort.message, None);
    let said = checked.check(
        "watch",
        "abort",
        "abort \"*** bit out of range 0 - FD_SETSIZE on fd_set ***: terminated\" in watch",
    );
    because(&said, "__abort_msg");
    program.check(
        "smash",
        "stack-smashing",
        "stack smashing detected in copy_name",
    );
    checked.check(
        "checked-copy",
        "buffer-overflow",
        "buffer overflow detected in copy_checked",
    );
    program.check(
        "double-free",
        "heap-corruption",
        "free(): double free detected in tcache 2 in release_twice",
    );
}

#[test]
fn glibc_finds_the_heap_damaged() {
    let program = Program::built("heap.c", &["gcc", "-g", "-O1"]);
    for (argument, said, place) in [
        ("invalid-pointer", "free(): invalid pointer", "release"),
        ("fasttop", "double free or corruption (fasttop)", "release"),
        ("prev", "double free or corruption (!prev)", "release"),
        ("out", "double free or corruption (out)", "release"),
        ("next-size", "free(): invalid next size (normal)", "release"),
        (
            "prev-size",
            "corrupted size vs. prev_size while consolidating",
            "release",
        ),
        ("realloc", "realloc(): invalid pointer", "resize"),
        ("munmap", "munmap_chunk(): invalid pointer", "release"),
        ("unsorted", "malloc(): invalid size (unsorted)", "obtain"),
        ("top", "malloc(): corrupted top size", "obtain"),
        (
            "tcache",
            "malloc(): unaligned tcache chunk detected",
            "obtain",
        ),
    ] {
        let title = format!("{said} in {place}");
        let cause = program.check(argument, "heap-corruption", &title);
        assert_eq!(cause.message.as_deref(), Some(said));
        assert_eq!(cause.confidence, "certain");
    }
}

/// musl keeps no message, and stops by an instruction where glibc aborts.
#[test]
fn musl() {
    let program = Program::built(
        "words.c",
        &["musl-gcc", "-g", "-O1", "-fstack-protector-all"],
    );
    let asserted = program.check(
        "assertion",
        "assertion",
        "assertion 'items == 77' failed in check",
    );
    let message = asserted.message.unwrap();
    assert!(
        message.ends_with("words.c:9: check: Assertion `items == 77' failed."),
        "{message}"
    );
    program.check("abort", "abort", "abort in give_up");
    program.check(
        "smash",
        "stack-smashing",
        "stack smashing detected in copy_name",
    );
    program.check("null-write", "null-dereference", "write to 0x0 in store");
}

/// Pointers of four bytes, and other registers.
#[test]
fn thirty_two_bits() {
    let program = Program::built(
        "words.c",
        &["gcc", "-m32", "-g", "-O1", "-fstack-protector-all"],
    );
    let check = |argument, kind, title| program.check(argument, kind, title);
    check(
        "assertion",
        "assertion",
        "assertion 'items == 77' failed in check",
    );
    check("abort", "abort", "abort in give_up");
    check(
        "smash",
        "stack-smashing",
        "stack smashing detected in copy_name",
    );
    check(
        "double-free",
        "heap-corruption",
        "free(): double free detected in tcache 2 in release_twice",
    );
    let null = check("null-write", "null-dereference", "write to 0x0 in store");
    assert!(null.instruction.unwrap().starts_with("mov dword ptr [e"));
    check("null-member", "null-dereference", "read of 0x8 in total");
    check(
        "division",
        "division-by-zero",
        "division by zero in average",
    );
    check(
        "quotient",
        "division-overflow",
        "division overflow: -2147483648 / -1 in average",
    );
    check("wild-call", "wild-jump", "jump to 0x12345678 in call_back");
    check(
        "recursion",
        "stack-overflow",
        "stack overflow: * in descend",
    );
    check(
        "trap",
        "compiler-trap",
        "trap placed by the compiler in main",
    );
}

#[test]
fn static_programs_keep_their_words() {
    let program = Program::built("faults.c", &["gcc", "-g", "-O1", "-static"]);
    program.check(
        "assertion",
        "assertion",
        "assertion 'items == 77' failed in check",
    );
    let program = Program::built("words.c", &["musl-gcc", "-g", "-O1", "-static"]);
    program.check(
        "assertion",
        "assertion",
        "assertion 'items == 77' failed in check",
    );
    // The core has no code: its fault is in the allocator's, not at an address nothing is at.
    program.check(
        "double-free",
        "invalid-address",
        "read of * in release_twice",
    );
}

#[test]
fn signatures_survive_the_build() {
    let signature = |options: &[&str], argument| {
        let compiler = [&["gcc", "-g", "-fstack-protector-all"], options].concat();
        let report = Program::built("faults.c", &compiler).report(argument);
        (report.signature.hash, report.signature.title)
    };
    for argument in ["null-member", "assertion", "double-free"] {
        let one = signature(&["-O1"], argument);
        let moved = signature(&["-O1", "-no-pie", "-static", "-DMOVED"], argument);
        assert_eq!(one, moved, "{argument}");
    }
}
