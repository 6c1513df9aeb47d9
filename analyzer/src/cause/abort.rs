//! Explains a process that ended itself: what it said before, in the order of who says it best.

use super::instruction::Instruction;
use super::{Confidence, SI_KERNEL, SI_TKILL, asserted, c_string, conclude, place, text, top};
use crate::group;
use crate::report::{Cause, Frame};
use crate::runtime::{cpp, go, rust};
use crate::scene::Scene;

/// `None` when the process did not end itself.
pub(super) fn explain(scene: &dyn Scene, instruction: Option<&Instruction>) -> Option<Cause> {
    let as_init = is_abort_of_init(scene, instruction);
    if !as_init && !is_own_abort(scene) {
        return None;
    }
    let cause = go_panic(scene)
        .or_else(|| rust_panic(scene))
        .or_else(|| pure_virtual(scene))
        .or_else(|| uncaught(scene))
        .or_else(|| said_by_libc(scene))
        .or_else(|| asserted::explain(scene))
        .unwrap_or_else(|| plain(scene));
    if as_init {
        return Some(cause.evidence(
            "The process was PID 1 of its namespace: the kernel ignored abort()'s SIGABRT, so abort() \
             ended in a forbidden instruction and the signal reads SIGSEGV.",
        ));
    }
    Some(cause)
}

/// The kernel drops SIGABRT that PID 1 of a namespace sends itself (kernel/signal.c,
/// `SIGNAL_UNKILLABLE`); glibc's `abort()` then falls through to `hlt`.
fn is_abort_of_init(scene: &dyn Scene, instruction: Option<&Instruction>) -> bool {
    let in_abort = top(scene)
        .and_then(|frame| frame.function.as_deref())
        .is_some_and(|name| matches!(group::normalize(name).as_str(), "abort" | "__GI_abort"));
    scene.signal().name == "SIGSEGV"
        && scene.signal().code == Some(SI_KERNEL)
        && in_abort
        && instruction.is_some_and(Instruction::is_halt)
}

/// SIGABRT from the process itself: by `raise()`, or by kill(2) from within `abort()`.
fn is_own_abort(scene: &dyn Scene) -> bool {
    let signal = scene.signal();
    if signal.name != "SIGABRT" {
        return false;
    }
    // Both numbers are those that the process itself saw.
    if let Some((own, sender)) = scene.pid().zip(signal.sender_pid)
        && own != sender
    {
        return false;
    }
    let calls_abort = has(scene, |name| {
        matches!(name, "abort" | "raise" | "__GI_abort" | "runtime.raise")
    });
    calls_abort || matches!(signal.code, None | Some(SI_TKILL))
}

fn has(scene: &dyn Scene, is: impl Fn(&str) -> bool) -> bool {
    let names = scene
        .frames()
        .iter()
        .filter_map(|frame| frame.function.as_deref());
    names.map(group::normalize).any(|name| is(&name))
}

fn of_panic(
    scene: &dyn Scene,
    message: Option<String>,
    location: Option<String>,
    confidence: Confidence,
) -> Cause {
    let place = place(scene);
    let title = match &message {
        Some(message) => format!("panic \"{message}\" in {place}"),
        None => format!("panic in {place}"),
    };
    let mut cause = conclude("panic", title, confidence).message(message);
    let Some(location) = location else {
        return cause;
    };
    cause.place = Some(text::one_line(&location));
    cause.evidence(format!("The panic was raised at {location}."))
}

fn go_panic(scene: &dyn Scene) -> Option<Cause> {
    let panic = go::panic(scene)?;
    let read = panic.read;
    if panic.message.as_deref() == Some("fatal error: stack overflow") {
        return Some(
            conclude(
                "stack-overflow",
                format!("stack overflow in {}", place(scene)),
                Confidence::Certain,
            )
            .evidence("Go's run time refused to grow the goroutine's stack any further.")
            .message(panic.message),
        );
    }
    let cause = of_panic(scene, panic.message, None, Confidence::Certain);
    Some(match panic.type_name {
        Some(name) => cause.evidence(format!("The panic's value is of type {name}.")),
        None if read => {
            cause.evidence("The message is in the frame of the function that panicked.")
        }
        None => cause.evidence("A panic of Go's run time is on the stack."),
    })
}

fn rust_panic(scene: &dyn Scene) -> Option<Cause> {
    let panic = rust::panic(scene)?;
    let confidence = if panic.message.is_some() {
        Confidence::Likely
    } else {
        Confidence::Certain
    };
    let mut cause = of_panic(scene, panic.message, panic.location, confidence);
    if cause.message.is_some() {
        cause = cause.evidence("The message is a text found on the stack between panic and abort.");
    }
    Some(cause)
}

fn pure_virtual(scene: &dyn Scene) -> Option<Cause> {
    has(scene, |name| {
        matches!(name, "__cxa_pure_virtual" | "__cxa_deleted_virtual")
    })
    .then(|| {
        conclude(
            "pure-virtual-call",
            format!("call of a pure virtual function in {}", place(scene)),
            Confidence::Certain,
        )
        .evidence("__cxa_pure_virtual is on the stack.")
    })
}

fn uncaught(scene: &dyn Scene) -> Option<Cause> {
    if !has(scene, |name| {
        matches!(
            name,
            "std::terminate" | "__cxxabiv1::__terminate" | "__cxa_throw" | "__cxa_rethrow"
        )
    }) {
        return None;
    }
    let place = place(scene);
    let Some(thrown) = cpp::exception(scene) else {
        return Some(
            conclude(
                "uncaught-exception",
                format!("std::terminate in {place}"),
                Confidence::Likely,
            )
            .evidence("std::terminate is on the stack; the exception could not be found."),
        );
    };
    let (said, message) = match (&thrown.what, &thrown.number) {
        (Some(what), _) => (
            format!(" \"{what}\""),
            format!("{}: {what}", thrown.type_name),
        ),
        (None, Some(number)) => (
            format!(" {number}"),
            format!("{}: {number}", thrown.type_name),
        ),
        (None, None) => (String::new(), thrown.type_name.clone()),
    };
    let thrown_here = has(scene, |name| {
        name.starts_with("__cxa_throw")
            || name.starts_with("__cxa_rethrow")
            || name.starts_with("std::rethrow_exception")
            || name.starts_with("__cxa_call_terminate")
            || name.starts_with("_Unwind_")
    });
    let (confidence, evidence) = if thrown_here {
        (Confidence::Certain, "was in flight")
    } else {
        // std::terminate() was called by something else, in a catch block perhaps.
        (
            Confidence::Likely,
            "was on the stack, perhaps handled before,",
        )
    };
    Some(
        conclude(
            "uncaught-exception",
            format!("uncaught {}{said} in {place}", thrown.type_name),
            confidence,
        )
        .evidence(format!(
            "An exception object of type {} {evidence} at {:#x}.",
            thrown.type_name, thrown.object
        ))
        .message(Some(message)),
    )
}

/// What glibc printed before it aborted (stdlib/abort.c, `__abort_msg`).
fn said_by_libc(scene: &dyn Scene) -> Option<Cause> {
    let message = abort_message(scene)?;
    let place = place(scene);
    let (kind, title) = match message.as_str() {
        // The allocator's own assertions, as `malloc.c:2617: sysmalloc: Assertion …`.
        text if text.contains("malloc.c:") => (
            "heap-corruption",
            format!("assertion of malloc failed in {place}"),
        ),
        text if text.contains("Assertion `") => (
            "assertion",
            format!("assertion '{}' failed in {place}", asserted(text)),
        ),
        text if text.contains("stack smashing detected") => (
            "stack-smashing",
            format!("stack smashing detected in {place}"),
        ),
        text if text.contains("buffer overflow detected") => (
            "buffer-overflow",
            format!("buffer overflow detected in {place}"),
        ),
        text if is_about_heap(text) => ("heap-corruption", format!("{text} in {place}")),
        text => ("abort", format!("abort \"{text}\" in {place}")),
    };
    let cause = conclude(kind, title, Confidence::Certain)
        .evidence("glibc kept the message it printed (__abort_msg).");
    Some(cause.message(Some(message)))
}

/// `struct abort_msg_s { unsigned int size; char msg[0]; }` behind the pointer `__abort_msg`.
fn abort_message(scene: &dyn Scene) -> Option<String> {
    let (pointer, _) = scene
        .symbol("libc.so", "__abort_msg")
        .or_else(|| scene.symbol("libc-2", "__abort_msg"))
        // Linked statically.
        .or_else(|| scene.symbol("", "__abort_msg"))?;
    let structure = scene
        .read_pointer(pointer)
        .filter(|address| *address != 0)?;
    let text = c_string(scene, structure.checked_add(4)?)?;
    Some(text.trim().to_owned())
}

fn asserted(message: &str) -> &str {
    let expression = message
        .split_once("Assertion `")
        .map_or(message, |(_, rest)| rest);
    expression
        .rsplit_once("' failed")
        .map_or(expression, |(expression, _)| expression)
}

fn is_about_heap(message: &str) -> bool {
    let allocators = [
        "free(): ",
        "malloc(): ",
        "realloc(): ",
        "calloc(): ",
        "munmap_chunk(): ",
        "malloc_consolidate(): ",
    ];
    allocators.iter().any(|start| message.starts_with(start))
        || ["double free", "corrupted ", "tcache"]
            .iter()
            .any(|part| message.contains(part))
}

fn plain(scene: &dyn Scene) -> Cause {
    if let Some(cause) = smashed(scene) {
        return cause;
    }
    conclude(
        "abort",
        format!("abort in {}", place(scene)),
        Confidence::Certain,
    )
    .evidence("The process sent itself SIGABRT and left no message.")
}

fn smashed(scene: &dyn Scene) -> Option<Cause> {
    has(scene, |name| {
        matches!(name, "__stack_chk_fail" | "__fortify_fail")
    })
    .then(|| {
        conclude(
            "stack-smashing",
            format!("stack smashing detected in {}", place(scene)),
            Confidence::Certain,
        )
        .evidence("__stack_chk_fail is on the stack: the guard word above a function's variables was overwritten.")
    })
}

/// musl stops by a forbidden instruction, in its words `a_crash`, where glibc prints and aborts:
/// an overwritten stack guard, or a heap that its allocator finds damaged.
pub(super) fn stopped(scene: &dyn Scene, instruction: Option<&Instruction>) -> Option<Cause> {
    instruction.filter(|instruction| instruction.is_halt())?;
    let by_libc = top(scene)
        .and_then(|frame| frame.module.as_deref())
        .is_some_and(|module| {
            let file = module.rsplit('/').next().unwrap_or(module);
            file.starts_with("libc.") || file.starts_with("ld-musl")
        });
    let allocator = |frame: &Frame| {
        let name = frame.function.as_deref();
        name.is_some_and(|name| {
            matches!(
                name,
                "free"
                    | "malloc"
                    | "calloc"
                    | "realloc"
                    | "aligned_alloc"
                    | "__libc_free"
                    | "__libc_malloc"
                    | "__libc_malloc_impl"
                    | "__libc_realloc"
            )
        })
    };
    let mut innermost = scene.frames().iter().take(4);
    smashed(scene).or_else(|| {
        (by_libc && innermost.any(allocator)).then(|| {
            conclude(
                "heap-corruption",
                format!("heap corruption found by the allocator in {}", place(scene)),
                Confidence::Likely,
            )
            .evidence("The C library's allocator stopped the program, as it does when it finds the heap damaged or a block freed twice.")
        })
    })
}
