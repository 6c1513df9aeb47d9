//! Writes a report for people: the cause on top, then the threads as gdb writes them.
//!
//! Everything that comes from the process may hold escape sequences that take over a terminal,
//! so control characters are shown, never passed on.

mod site;
mod threads;

pub use site::lines as memory_lines;

use crate::report::{Frame, Report, Trust};
use std::fmt::Write as _;

/// What to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextOptions {
    /// All threads, rather than only the one that crashed.
    pub all_threads: bool,
    /// Registers of each thread.
    pub registers: bool,
    /// Modules with their build IDs.
    pub modules: bool,
    /// Arguments and local variables of each frame.
    pub variables: bool,
}

/// The report as text, with a line feed at its end.
pub fn render(report: &Report, options: TextOptions) -> String {
    let mut text = String::new();
    cause(&mut text, report);
    threads::write(&mut text, report, options);
    if let Some(found) = &report.site {
        site::write(&mut text, found);
    }
    threads::left_out(&mut text, report, options);
    threads::managed(&mut text, report, options);
    if options.modules {
        modules(&mut text, report);
    }
    if !report.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &report.warnings {
        line(&mut text, &format!("Warning: {}", safe(warning)));
    }
    text
}

fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push('\n');
}

fn cause(text: &mut String, report: &Report) {
    let cause = &report.cause;
    line(text, &safe(&cause.title));
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            line(text, &format!("  {name:<12} {}", safe(&value)));
        }
    };
    field("message", cause.message.clone());
    let kind = if cause.confidence.is_empty() {
        cause.kind.clone()
    } else {
        format!("{} ({})", cause.kind, cause.confidence)
    };
    field("cause", Some(kind));
    field("signal", Some(signal(report)));
    field("instruction", cause.instruction.clone());
    let process = &report.process;
    let executable = process.executable.clone().unwrap_or_default();
    field(
        "process",
        Some(
            format!("{executable} (pid {})", process.pid)
                .trim_start()
                .to_owned(),
        ),
    );
    field("arguments", Some(process.args.join(" ")));
    for evidence in &cause.evidence {
        field("because", Some(evidence.clone()));
    }
}

fn signal(report: &Report) -> String {
    let signal = &report.process.signal;
    let mut text = signal.name.clone();
    if let Some(code) = &signal.code_name {
        let _ = write!(text, " ({code})");
    }
    if let Some(address) = signal.address {
        let _ = write!(text, " at {address}");
    }
    if let Some(sender) = signal.sender_pid {
        let _ = write!(text, " sent by pid {sender}");
    }
    text
}

/// One frame, as gdb writes it: `#1  0x000000000040113a in main () at a.c:5`.
fn frame_text(frame: &Frame) -> String {
    let mut text = format!("#{:<3}", frame.index);
    if frame.signal_trampoline {
        text.push_str("<signal handler called>");
        return text;
    }
    if !frame.inline {
        let _ = write!(text, "{:#018x} in ", frame.pc.0);
    }
    let _ = write!(
        text,
        "{} ()",
        frame
            .function
            .as_deref()
            .map_or_else(|| "??".to_owned(), safe)
    );
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => {
            let _ = write!(text, " at {}:{line}", safe(file));
        }
        (Some(file), None) => {
            let _ = write!(text, " at {}", safe(file));
        }
        _ => {
            if let Some(module) = &frame.module {
                let offset = frame
                    .offset
                    .map(|offset| format!("+{offset}"))
                    .unwrap_or_default();
                let _ = write!(text, " from {}{offset}", safe(module));
            }
        }
    }
    match frame.trust {
        Trust::Scan => text.push_str("  [guess: found on the stack]"),
        Trust::Code => text.push_str("  [by its code]"),
        Trust::FramePointer => text.push_str("  [by frame pointer]"),
        Trust::Context | Trust::Cfi => {}
    }
    text
}

fn variables(text: &mut String, frame: &Frame) {
    for variable in &frame.variables {
        let kind = if variable.argument {
            "argument"
        } else {
            "local"
        };
        let (name, value) = (safe(&variable.name), safe(&variable.value));
        line(text, &format!("        {kind:<8} {name} = {value}"));
    }
}

fn source(text: &mut String, frame: &Frame) {
    for shown in &frame.source {
        let mark = if Some(shown.number) == frame.line {
            '>'
        } else {
            ' '
        };
        line(
            text,
            &format!(
                "    {mark}{:>5} | {}",
                shown.number,
                safe(&shown.text.replace('\t', "    "))
            ),
        );
    }
}

fn modules(text: &mut String, report: &Report) {
    line(text, "\nModules:");
    for module in &report.modules {
        let build_id = module.build_id.as_deref().unwrap_or("no build ID");
        let range = format!("{:#014x}-{:#014x}", module.base.0, module.end.0);
        let (path, image, debug) = (safe(&module.path), safe(&module.image), safe(&module.debug));
        let problem = module
            .problem
            .as_deref()
            .map(|problem| format!(" ({})", safe(problem)));
        let problem = problem.unwrap_or_default();
        line(
            text,
            &format!("  {range}  {image:<8} {debug:<7} {build_id}  {path}{problem}"),
        );
    }
}

/// Text with control characters made visible, also those that reorder what is written.
fn safe(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(safe("a\x1b[2J\n\u{202e}b"), "a\\u{1b}[2J\\u{a}\\u{202e}b");
        assert_eq!(safe("parse_größe<T>"), "parse_größe<T>");
    }
}
