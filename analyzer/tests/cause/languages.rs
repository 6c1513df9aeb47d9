//! What C++, Rust and Go say when nobody catches it.

use crate::program::{Program, because};

#[test]
fn exceptions_of_cpp() {
    let program = Program::built("throws.cc", &["g++", "-g", "-O1", "-D_GLIBCXX_ASSERTIONS"]);
    let uncaught = |argument, title: &str| program.check(argument, "uncaught-exception", title);
    let plain = uncaught(
        "plain",
        "uncaught std::runtime_error \"no configuration\" in open_configuration",
    );
    assert_eq!(plain.confidence, "certain");
    assert_eq!(
        plain.message.as_deref(),
        Some("std::runtime_error: no configuration")
    );
    uncaught(
        "derived",
        "uncaught CardDeclined \"card 7 was declined by the bank\" in charge",
    );
    uncaught(
        "refused",
        "uncaught Refused \"computed when asked\" in refuse",
    );
    let code = uncaught("code", "uncaught Code in throw_code");
    assert_eq!(code.message.as_deref(), Some("Code"));
    let number = uncaught("number", "uncaught int 42 in throw_number");
    assert_eq!(number.message.as_deref(), Some("int: 42"));
    uncaught("negative", "uncaught long -7 in throw_negative");
    uncaught(
        "text",
        "uncaught char const* \"a plain text\" in throw_text",
    );
    uncaught(
        "string",
        "uncaught std::string \"a text of some length, on the heap\" in throw_string",
    );
    uncaught(
        "system",
        "uncaught std::system_error \"orders.db: No such file or directory\" in open_file",
    );
    uncaught(
        "library",
        "uncaught std::out_of_range \"basic_string::at: * in main",
    );
    uncaught(
        "thread",
        "uncaught std::runtime_error \"no configuration\" in open_configuration",
    );
    // `noexcept` ends the process before anything is unwound.
    uncaught(
        "noexcept",
        "uncaught std::runtime_error \"no configuration\" in open_configuration",
    );
    let handed_on = uncaught(
        "handed-on",
        "uncaught std::runtime_error \"no configuration\" in join",
    );
    assert_eq!(handed_on.confidence, "certain");
    let terminated = uncaught("terminate", "* in give_up");
    assert_eq!(terminated.confidence, "likely", "nothing was in flight");
}

#[test]
fn other_ends_of_cpp() {
    let program = Program::built("throws.cc", &["g++", "-g", "-O1", "-D_GLIBCXX_ASSERTIONS"]);
    program.check(
        "pure",
        "pure-virtual-call",
        "call of a pure virtual function in Shape::draw_later",
    );
    let asserted = program.check(
        "container",
        "assertion",
        "assertion '__n < this->size()' failed in third",
    );
    assert!(asserted.message.unwrap().contains("stl_vector.h:"));
}

#[test]
fn panics_of_rust() {
    let options = ["-g", "-Copt-level=1", "-Aunconditional-recursion"];
    let build = |panic| Program::built("panics.rs", &[&["rustc", panic], &options[..]].concat());
    let aborting = build("-Cpanic=abort");
    for argument in ["index", "thread"] {
        let index = aborting.check(
            argument,
            "panic",
            "panic \"index out of bounds: the len is 3 but the index is 7\" in panics::pick",
        );
        because(&index, "panics.rs:5:5");
    }
    aborting.check(
        "unwrap",
        "panic",
        "panic \"called `Option::unwrap()` on a `None` value\" in panics::first_of_none",
    );
    aborting.check(
        "expect",
        "panic",
        "panic \"the configuration must exist: * in panics::configure",
    );

    // Where panics unwind, those end the process that cannot.
    let unwinding = build("-Cpanic=unwind");
    unwinding.check(
        "foreign",
        "panic",
        "panic \"panic in a function that cannot unwind\" in panics::called_by_c",
    );
    let twice = unwinding.check(
        "twice",
        "panic",
        "panic \"panic in a destructor during cleanup\" in panics::drop_while_panicking",
    );
    because(&twice, "panics.rs:27:9");
    unwinding.check("abort", "abort", "abort in panics::main");
    for argument in ["handled-overflow", "handled-overflow-thread"] {
        let overflow = unwinding.check_with(
            argument,
            &["SIGSEGV"],
            "stack-overflow",
            "stack overflow: write to * in panics::descend",
        );
        assert_eq!(overflow.confidence, "certain");
    }
}

/// Without a single name, what the panic hands from function to function is still there.
#[test]
fn panics_of_stripped_rust() {
    for options in [
        ["-Copt-level=0", "-Cpanic=abort"],
        ["-Copt-level=3", "-Cpanic=abort"],
    ] {
        let mut compiler = vec!["rustc", "-Cstrip=symbols", "-Aunconditional-recursion"];
        compiler.extend(options);
        let stripped = Program::built("panics.rs", &compiler);
        let index = stripped.check(
            "index",
            "panic",
            "panic \"index out of bounds: the len is 3 but the index is 7\" in program+0x*",
        );
        let place = index.place.unwrap();
        assert!(place.ends_with("panics.rs:5:5"), "{place}");
        let thread = stripped.report("thread");
        assert_eq!(thread.cause.place, Some(place));
        let index = stripped.report("index");
        assert_eq!(index.signature.kind, "offsets");
        assert_eq!(index.signature.hash, thread.signature.hash);
        let unwrap = stripped.report("unwrap");
        assert_ne!(index.signature.hash, unwrap.signature.hash);
        // To abort is not to panic.
        stripped.check("abort", "abort", "abort in program+0x*");
    }
}

#[test]
fn panics_of_go() {
    let program = Program::built("panics.go", &["go", "build"]);
    // A panic may start as a fault that the run time turns into its own signal.
    let check = |argument, kind, title: &str| {
        program.check_with(argument, &["SIGSEGV", "SIGFPE"], kind, title)
    };
    check(
        "nil",
        "panic",
        "panic \"runtime error: invalid memory address or nil pointer dereference\" in main.totalOf",
    );
    check(
        "index",
        "panic",
        "panic \"runtime error: index out of range [2] with length 0\" in main.itemAt",
    );
    check(
        "division",
        "panic",
        "panic \"runtime error: integer divide by zero\" in main.average",
    );
    check(
        "text",
        "panic",
        "panic \"the configuration is empty\" in main.main",
    );
    check(
        "error",
        "panic",
        "panic \"order 7 is missing\" in main.find",
    );
    let number = check("number", "panic", "panic in main.main");
    because(&number, "type int");
    check(
        "deadlock",
        "panic",
        "panic \"fatal error: all goroutines are asleep - deadlock!\" in *",
    );
    let overflow = check(
        "overflow",
        "stack-overflow",
        "stack overflow in main.descend",
    );
    assert_eq!(
        overflow.message.as_deref(),
        Some("fatal error: stack overflow")
    );
}
