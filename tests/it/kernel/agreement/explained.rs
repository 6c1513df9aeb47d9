//! Why gdb and we differ, where we do.

use super::compare::Placed;

/// The reason for a difference in one crash; `None` when there is none known. `beyond_unknown` says
/// that gdb had no name for a frame further in.
pub fn explanation(
    crash: &str,
    gdb: Option<&Placed>,
    ours: Option<&Placed>,
    beyond_unknown: bool,
) -> Option<&'static str> {
    let name = |placed: Option<&Placed>| placed.and_then(|placed| placed.frame.function.clone());
    let (theirs, own) = (name(gdb), name(ours));
    match (theirs.as_deref(), own.as_deref()) {
        (None, Some("__GI___pthread_kill")) if gdb.is_none() => Some(
            "raise calls pthread_kill, into which __pthread_kill_internal was inlined. Where tail \
             calls left out a frame, gdb shows only the innermost function inlined there.",
        ),
        (None, Some(_)) if gdb.is_none() && crash.starts_with("c-musl") => Some(
            "musl has no call frame information: gdb goes astray, ours is found on the stack and \
             marked as a guess.",
        ),
        (_, _) if ["java", "node"].contains(&crash) && beyond_unknown => Some(
            "Generated code has no call frame information: gdb takes words of the stack for return \
             addresses, ours follows the frame pointers.",
        ),
        (Some("runtime.newproc"), None) if crash.starts_with("go") => Some(
            "A thread's own stack begins at runtime.mcall; gdb goes on into what the start of the \
             program left there.",
        ),
        (Some(data), None) if crash.starts_with("go") && data.starts_with("runtime[") => {
            Some("A goroutine's stack ends in a pointer to data, which gdb names by the data.")
        }
        _ => None,
    }
}

/// The reason for a different value of a variable; `None` when there is none known.
pub fn value_explanation(crash: &str, function: &str) -> Option<&'static str> {
    let inlined = ["Counter::operator{call}", "__invoke_", "_M_invoke"];
    let is_counter = inlined.iter().any(|name| function.contains(name));
    (crash.starts_with("cc-gcc") && is_counter).then_some(
        "the caller passed an address in its frame, and gdb takes another frame's base: the caller's \
         code (lea 8(%rsp),%rdi) says ours.",
    )
}
