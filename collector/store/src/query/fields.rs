//! Every field of the query language in one table: parser, completion, reports and documentation
//! read it, so that none of them knows a field the others do not.

/// A field as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What its values are.
    pub values: Values,
    /// One line for people.
    pub about: &'static str,
}

/// What values a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Text; `*` is a wildcard.
    Text,
    /// Words found by their beginnings, anywhere in the text.
    Words,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number or a range: `4711`, `>100`, `10..20`.
    Number,
    /// A size or a range: `>64MiB`.
    Size,
    /// A duration or a range: `>50ms`.
    Duration,
    /// A point in time, or how long ago it was: `24h`, `2026-11-20T10:05`.
    Time,
    /// The same, or a range: `>7d`.
    TimeRange,
}

const fn text(name: &'static str, about: &'static str) -> FieldInfo {
    FieldInfo {
        name,
        aliases: &[],
        values: Values::Text,
        about,
    }
}

const fn of(values: Values, name: &'static str, about: &'static str) -> FieldInfo {
    FieldInfo {
        values,
        ..text(name, about)
    }
}

const fn also(aliases: &'static [&'static str], field: FieldInfo) -> FieldInfo {
    FieldInfo { aliases, ..field }
}

/// What can be kept of the memory.
pub(super) const KEPT: &[&str] = &["full", "lean", "partial", "none"];
/// How far an identity can be relied on.
pub(super) const CONFIDENCE: &[&str] = &["confirmed", "claimed-by-user", "claimed"];
pub(super) const STATUS: &[&str] = &["pending", "analyzing", "analyzed", "failed"];
pub(super) const STATE: &[&str] = &["open", "resolved", "ignored", "regressed"];
/// Kinds of causes; more may come.
pub(super) const CAUSES: &[&str] = &[
    "null-dereference",
    "near-null-access",
    "invalid-address",
    "non-canonical-address",
    "permission-violation",
    "freed-memory",
    "wild-jump",
    "stack-overflow",
    "stack-smashing",
    "heap-corruption",
    "assertion",
    "abort",
    "uncaught-exception",
    "panic",
    "pure-virtual-call",
    "illegal-instruction",
    "compiler-trap",
    "division-by-zero",
    "misaligned-access",
    "truncated-mapping",
    "bad-syscall",
    "breakpoint",
    "killed-by",
    "quit",
    "unknown",
];
/// Signals that dump core.
pub(super) const SIGNALS: &[&str] = &[
    "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGXCPU", "SIGXFSZ",
    "SIGSYS",
];
const YES_NO: &[&str] = &["yes", "no", "true", "false"];

/// All fields, in the order of the documentation.
pub const FIELDS: &[FieldInfo] = &[
    text("id", "the dump's id, or its beginning"),
    text("group", "the group's id, or its beginning"),
    of(Values::Time, "since", "crashed at or after"),
    of(Values::Time, "until", "crashed at or before"),
    text("signal", "the signal: `SIGSEGV`, `segv` or `11`"),
    text("cause", "the kind of cause: `null-dereference`, `panic`, …"),
    also(
        &["frame"],
        text(
            "function",
            "a function on the crashed stack, with or without its scope",
        ),
    ),
    text(
        "file",
        "a source file on the crashed stack: its path or name",
    ),
    text("location", "the topmost frame that counts"),
    text(
        "module",
        "an ELF file the process had mapped: its path or name",
    ),
    text("build_id", "the build ID of one, or its beginning"),
    text("thread", "the name of the thread that crashed"),
    of(
        Values::Words,
        "text",
        "words anywhere; what words without a field look for",
    ),
    of(
        Values::Words,
        "message",
        "words of what the program said: assertion, panic, exception",
    ),
    of(Values::Words, "log", "words of the container's last lines"),
    of(
        Values::Words,
        "note",
        "words of the group's notes and theories",
    ),
    text("exe", "the executable: its path or name"),
    text("comm", "the process's name"),
    text("command", "the whole command line"),
    of(Values::Number, "pid", "the process id on the host"),
    of(Values::Number, "uid", "the user id on the host"),
    also(
        &["name"],
        text(
            "container",
            "the container's name, or the beginning of its id",
        ),
    ),
    also(
        &["ancestor"],
        text("image", "the image; without a tag, any of its tags"),
    ),
    text("image_id", "the image's id, or its beginning"),
    text("image_digest", "a digest of the image, or its beginning"),
    text("label", "a label: `label:key` or `label:key=value`"),
    text(
        "property",
        "what a script found: `property:key` or `property:key=value`",
    ),
    text(
        "runtime",
        "the container's engine: `docker`, `containerd`, …",
    ),
    text("runtime_namespace", "containerd's namespace"),
    text("hostname", "the hostname inside the container"),
    of(
        Values::OneOf(CONFIDENCE),
        "confidence",
        "how far the container's identity can be relied on",
    ),
    text("namespace", "the Kubernetes namespace"),
    text("pod", "the pod's name or UID"),
    text("pod_uid", "the pod's UID"),
    text("pod_container", "the container's name in its pod"),
    text(
        "workload",
        "what keeps the pod alive: `deployment/shop` or `shop`",
    ),
    text("compose_project", "the Compose project"),
    text("compose_service", "the Compose service"),
    text("unit", "the systemd unit"),
    also(
        &["assignee"],
        text(
            "owner",
            "who looks after it: of the group, or the label `aground.owner`",
        ),
    ),
    also(&["node"], text("host", "the machine's hostname")),
    text("machine", "the machine's id"),
    text("boot", "the boot's id"),
    text("kernel", "the kernel's release"),
    text("arch", "the architecture: `x86_64`, `aarch64`"),
    text("cpu", "the processor's model"),
    of(Values::OneOf(STATUS), "status", "where the analysis stands"),
    of(
        Values::OneOf(KEPT),
        "kept",
        "what is kept of the memory now",
    ),
    of(
        Values::OneOf(YES_NO),
        "pinned",
        "whether people asked that it stay",
    ),
    of(
        Values::Size,
        "size",
        "bytes kept of the core, before compression",
    ),
    of(
        Values::Duration,
        "hold",
        "how long the kernel held the process",
    ),
    of(Values::OneOf(STATE), "state", "the group's state"),
    text("tag", "a tag of the group"),
    text("ticket", "a ticket of the group"),
    of(Values::Number, "crashes", "crashes of the group"),
    of(Values::TimeRange, "first_seen", "the group's first crash"),
    of(Values::TimeRange, "last_seen", "the group's newest crash"),
];

/// The field of a name or alias.
pub fn field(name: &str) -> Option<&'static FieldInfo> {
    FIELDS
        .iter()
        .find(|field| field.name == name || field.aliases.contains(&name))
}

/// All names and aliases.
pub fn names() -> impl Iterator<Item = &'static str> {
    FIELDS
        .iter()
        .flat_map(|field| std::iter::once(field.name).chain(field.aliases.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn kind(values: Values) -> String {
        match values {
            Values::Text => "text".to_owned(),
            Values::Words => "words".to_owned(),
            Values::OneOf(known) => {
                let known: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
                known.join(", ")
            }
            Values::Number => "number or range".to_owned(),
            Values::Size => "size or range".to_owned(),
            Values::Duration => "duration or range".to_owned(),
            Values::Time => "time".to_owned(),
            Values::TimeRange => "time or range".to_owned(),
        }
    }

    #[test]
    fn the_documented_fields_are_these() {
        let text = include_str!("../../../../docs/QUERIES.md");
        let documented: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let row = |field: &FieldInfo| {
            let names = std::iter::once(&field.name).chain(field.aliases);
            let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
            let (names, kind) = (names.join(", "), kind(field.values));
            format!("| {names} | {kind} | {} |", field.about)
        };
        let known: Vec<String> = FIELDS.iter().map(row).collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn every_name_is_one_fields() {
        let all: Vec<_> = names().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
