//! Names kinds of causes for people, and sorts them into families that share a colour.

/// A kind of cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `null dereference`.
    pub label: String,
    /// The closed word: `null-dereference`.
    pub word: String,
    /// `memory`, `stop`, `fault`, `outside` or `unknown`: a class of the style sheet.
    pub family: &'static str,
}

impl Kind {
    /// Of the closed word; unknown words are shown as they are.
    pub fn new(word: &str) -> Self {
        let spaced = match word {
            "killed-by" => "killed by signal".to_owned(),
            _ => word.replace('-', " "),
        };
        Self {
            label: super::text::clip(&spaced, 40),
            word: word.to_owned(),
            family: family(word),
        }
    }
}

fn family(word: &str) -> &'static str {
    match word {
        "null-dereference"
        | "near-null-access"
        | "invalid-address"
        | "non-canonical-address"
        | "permission-violation"
        | "freed-memory"
        | "wild-jump"
        | "stack-overflow"
        | "stack-smashing"
        | "heap-corruption"
        | "buffer-overflow"
        | "truncated-mapping" => "memory",
        "assertion" | "abort" | "uncaught-exception" | "panic" | "pure-virtual-call"
        | "compiler-trap" | "deadlock" => "stop",
        "illegal-instruction"
        | "division-by-zero"
        | "division-overflow"
        | "arithmetic-error"
        | "misaligned-access"
        | "bad-syscall"
        | "breakpoint" => "fault",
        "killed-by" | "quit" | "raised" => "outside",
        _ => "unknown",
    }
}
