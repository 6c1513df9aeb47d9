//! Reads a Go panic off the names of the run time's functions.

use crate::scene::Scene;

/// A panic, or a fatal error of the run time.
pub(crate) struct Panic {
    /// What Go prints for it, where the function says it.
    pub(crate) message: Option<String>,
}

/// Functions of Go's runtime package (src/runtime/panic.go) and what they say.
const SAID: [(&str, &str); 9] = [
    (
        "runtime.panicmem",
        "runtime error: invalid memory address or nil pointer dereference",
    ),
    (
        "runtime.panicmemAddr",
        "runtime error: invalid memory address or nil pointer dereference",
    ),
    (
        "runtime.panicdivide",
        "runtime error: integer divide by zero",
    ),
    ("runtime.panicshift", "runtime error: negative shift amount"),
    ("runtime.panicoverflow", "runtime error: integer overflow"),
    ("runtime.panicnil", "panic called with nil argument"),
    ("runtime.goPanicIndex", "runtime error: index out of range"),
    ("runtime.goPanicIndexU", "runtime error: index out of range"),
    (
        "runtime.panicdottypeE",
        "interface conversion of the wrong type",
    ),
];

/// The panic that ended the process; `None` when no panic is on the crashed thread's stack.
pub(crate) fn panic(scene: &dyn Scene) -> Option<Panic> {
    let names = || {
        scene
            .frames()
            .iter()
            .filter_map(|frame| frame.function.as_deref())
    };
    let is_panic = |name: &str| {
        matches!(
            name,
            "runtime.gopanic"
                | "runtime.fatalpanic"
                | "runtime.throw"
                | "runtime.fatalthrow"
                | "runtime.fatal"
        )
    };
    if !names().any(is_panic) {
        return None;
    }
    let message = SAID
        .iter()
        .find(|(function, _)| names().any(|name| name == *function));
    let slice = names()
        .any(|name| name.starts_with("runtime.goPanicSlice"))
        .then_some("runtime error: slice bounds out of range");
    let message = message.map(|(_, text)| *text).or(slice);
    Some(Panic {
        message: message.map(str::to_owned),
    })
}
