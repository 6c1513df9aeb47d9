//! Reads a failed assertion's text where the C library keeps no message, or where it is not found.
//!
//! musl and libstdc++ print the text and abort. It is still in the program, as what the assertion's
//! function was handed.

use super::handed::Handed;
use super::{Confidence, c_string, conclude, place};
use crate::group;
use crate::report::{Cause, Frame};
use crate::scene::Scene;

/// A function behind `assert()`, and the registers it takes its arguments in.
struct Asserter {
    name: &'static str,
    expression: &'static str,
    file: &'static str,
    line: &'static str,
    function: &'static str,
}

const ASSERTERS: [Asserter; 3] = [
    // glibc and musl, in this order of arguments.
    Asserter {
        name: "__assert_fail",
        expression: "rdi",
        file: "rsi",
        line: "rdx",
        function: "rcx",
    },
    // libstdc++ (bits/c++config.h).
    Asserter {
        name: "std::__glibcxx_assert_fail",
        expression: "rcx",
        file: "rdi",
        line: "rsi",
        function: "rdx",
    },
    // Without <assert.h>'s types: BSD's and newlib's.
    Asserter {
        name: "__assert_func",
        expression: "rcx",
        file: "rdi",
        line: "rsi",
        function: "rdx",
    },
];

/// The failed assertion whose function is on the stack.
pub(super) fn explain(scene: &dyn Scene) -> Option<Cause> {
    let (at, asserter) = scene
        .frames()
        .iter()
        .enumerate()
        .find_map(|(at, frame)| Some((at, asserter(frame)?)))?;
    let place = place(scene);
    let Some(said) = said(scene, at, asserter) else {
        return Some(
            conclude(
                "assertion",
                format!("assertion failed in {place}"),
                Confidence::Certain,
            )
            .evidence(format!(
                "{} is on the stack; its message could not be found.",
                asserter.name
            )),
        );
    };
    Some(
        conclude(
            "assertion",
            format!("assertion '{}' failed in {place}", said.expression),
            Confidence::Certain,
        )
        .evidence(format!(
            "{} is on the stack; the text is what the instructions before its call hand to it.",
            asserter.name
        ))
        .message(Some(said.message())),
    )
}

fn asserter(frame: &Frame) -> Option<&'static Asserter> {
    let name = group::normalize(frame.function.as_deref()?);
    ASSERTERS.iter().find(|asserter| asserter.name == name)
}

struct Said {
    expression: String,
    file: String,
    line: u64,
    function: Option<String>,
}

impl Said {
    /// As glibc writes it, so that one assertion reads the same with every library.
    fn message(&self) -> String {
        let function = self
            .function
            .as_deref()
            .map(|function| format!("{function}: "))
            .unwrap_or_default();
        format!(
            "{}:{}: {function}Assertion `{}' failed.",
            self.file, self.line, self.expression
        )
    }
}

/// What was handed over, if it is that for sure: texts, and the line that the symbols know.
fn said(scene: &dyn Scene, at: usize, asserter: &Asserter) -> Option<Said> {
    let caller = scene.frames().get(at.checked_add(1)?)?;
    let handed = Handed::before(scene, caller.pc.0)?;
    let text = |register| c_string(scene, handed.get(register)?);
    let line = handed.get(asserter.line)?;
    let matches = caller.line.is_none_or(|known| u64::from(known) == line);
    // An inlined function's line is that of the innermost of the frames at this address.
    let plausible = (1..1_000_000).contains(&line);
    (matches && plausible).then_some(())?;
    Some(Said {
        expression: text(asserter.expression)?,
        file: text(asserter.file)?,
        line,
        function: text(asserter.function),
    })
}
