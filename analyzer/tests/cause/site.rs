//! The evidence beside the cause: code, registers and memory at the place of the crash.

use crate::program::Program;
use aground_analyzer::report::{MemoryRange, Report, Site};
use aground_analyzer::text::{TextOptions, memory_lines, render};

fn faults() -> Program {
    Program::built("faults.c", &["gcc", "-g", "-O1"])
}

fn site(report: &Report) -> &Site {
    report.site.as_ref().expect("a place of the crash")
}

/// The marked instruction and its registers by name.
#[track_caller]
fn check(site: &Site, function: &str, instruction: &str, registers: &[(&str, u64)]) {
    assert_eq!(site.function.as_deref(), Some(function));
    let marked: Vec<_> = site.code.iter().filter(|line| line.marked).collect();
    assert_eq!(marked.len(), 1, "{site:#?}");
    assert_eq!(marked[0].text, instruction, "{site:#?}");
    for (name, value) in registers {
        let found = site.registers.iter().find(|used| used.name == *name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {site:#?}"));
        assert_eq!(found.value.0, *value, "{name} in {site:#?}");
    }
}

fn text(range: &MemoryRange) -> String {
    memory_lines(range)
        .into_iter()
        .map(|(_, _, text)| text)
        .collect()
}

#[test]
fn code_and_registers() {
    let program = faults();
    let null = program.report("null-member");
    let shown = site(&null);
    check(shown, "total", "mov rax, [rdi+8]", &[("rdi", 0)]);
    assert_eq!(shown.registers[0].points_to.as_deref(), Some("not mapped"));
    assert_eq!(shown.code[0].offset, Some(0), "{shown:#?}");
    assert_eq!(shown.code.last().unwrap().text, "ret");
    assert!(shown.memory[0].absent.is_some() && shown.memory[0].bytes.is_empty());

    let written = render(&null, TextOptions::default());
    for words in [
        "Code around the instruction that faulted in total:",
        "=> 0x",
        "<+0>     48 8b 47 08                    mov rax, [rdi+8]",
        "rdi  0x0000000000000000  (not mapped)",
        "Memory at 0x8 (operand, read): not mapped",
    ] {
        assert!(written.contains(words), "{words} is missing in\n{written}");
    }

    let quotient = program.report("quotient");
    let registers = [("ecx", 0xffff_ffff), ("eax", 0x8000_0000)];
    check(site(&quotient), "overflow_quotient", "idiv ecx", &registers);
    // A jump to data is shown by the call that made it.
    let jump = program.report("heap-call");
    assert_eq!(site(&jump).what, "the call that led there");
    let marked = site(&jump).code.iter().find(|line| line.marked).unwrap();
    assert!(marked.text.starts_with("call "), "{marked:#?}");
    // Behind a handler it is the instruction that faulted, not the handler's.
    let handled = program.report_with("handled-null", &["SIGSEGV"], &[]);
    check(
        site(&handled),
        "store",
        "mov dword ptr [rdi], 1",
        &[("rdi", 0)],
    );
    // Who aborts is not to blame for an instruction.
    assert_eq!(program.report("abort").site, None);
}

#[test]
fn code_of_thirty_two_bits() {
    let program = Program::built("words.c", &["gcc", "-m32", "-g", "-O1"]);
    let null = program.report("null-member");
    check(site(&null), "total", "mov eax, [eax+8]", &[("eax", 0)]);
}

#[test]
fn the_refused_system_call() {
    let program = Program::built("signals.c", &["gcc", "-g", "-O1"]);
    let refused = program.report("forbidden");
    check(site(&refused), "rename", "syscall", &[]);
}

/// Memory is shown around an operand, up to where it ends.
#[test]
fn memory_at_the_operand() {
    let program = faults();
    let beyond = program.report("beyond");
    let shown = site(&beyond);
    let operand = &shown.memory[0];
    assert_eq!(operand.what, "operand, read");
    assert_eq!(operand.address.0 % 4096, 0, "{operand:#?}");
    assert_eq!(Some(operand.address), beyond.process.signal.address);
    assert!(
        text(operand).starts_with("the last of all that is mapped. "),
        "{operand:#?}"
    );
    assert!(operand.bytes.ends_with("?? ??"), "{operand:#?}");
    assert!(operand.bytes.len() < 400);
}
