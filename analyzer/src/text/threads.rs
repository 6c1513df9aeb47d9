//! Writes threads and their stacks; those with equal stacks as one.

use super::{TextOptions, frame_text, line, safe, source, variables};
use crate::report::{Report, Thread, alike};

/// The crashed thread, those of a deadlock, and all if they are asked for.
pub(super) fn write(text: &mut String, report: &Report, options: TextOptions) {
    let shown = |thread: &&Thread| is_shown(report, thread, options);
    let (crashed, others): (Vec<&Thread>, Vec<&Thread>) = report
        .threads
        .iter()
        .filter(shown)
        .partition(|thread| thread.crashed);
    // What differs between equal stacks is to be seen.
    let apart = options.registers || options.variables;
    let others = if apart {
        others.into_iter().map(|thread| vec![thread]).collect()
    } else {
        alike(others)
    };
    let crashed = crashed.into_iter().map(|thread| vec![thread]);
    for threads in crashed.chain(others) {
        text.push('\n');
        stack(text, &threads, options);
    }
}

fn is_shown(report: &Report, thread: &Thread, options: TextOptions) -> bool {
    let deadlocked = report
        .deadlocks
        .iter()
        .any(|circle| circle.contains(&thread.tid));
    thread.crashed || deadlocked || options.all_threads
}

/// Says how many threads were not written.
pub(super) fn left_out(text: &mut String, report: &Report, options: TextOptions) {
    let left_out: Vec<&Thread> = report
        .threads
        .iter()
        .filter(|thread| !is_shown(report, thread, options))
        .collect();
    let others = left_out.len();
    let stacks = alike(left_out).len();
    match others {
        0 => {}
        1 => line(text, "\n1 other thread is not shown."),
        _ if stacks == others => line(text, &format!("\n{others} other threads are not shown.")),
        _ => {
            let kinds = if stacks == 1 {
                "with the same stack".to_owned()
            } else {
                format!("with {stacks} different stacks")
            };
            line(
                text,
                &format!("\n{others} other threads, {kinds}, are not shown."),
            );
        }
    }
}

/// What run times of languages keep beside threads; with all threads, their stacks.
pub(super) fn managed(text: &mut String, report: &Report, options: TextOptions) {
    for runtime in &report.runtimes {
        let version = runtime.version.as_deref().unwrap_or_default();
        let kinds = alike(&runtime.threads);
        let what = if runtime.language == "go" {
            "goroutines"
        } else {
            "threads"
        };
        let (count, different) = (runtime.threads.len(), kinds.len());
        let title = format!("{count} {what} of {} {version}", runtime.language);
        let title = safe(title.trim_end());
        if !options.all_threads {
            line(
                text,
                &format!("\n{title}, {different} different, are not shown."),
            );
            continue;
        }
        line(text, &format!("\n{title}:"));
        for threads in kinds {
            text.push('\n');
            stack(text, &threads, options);
        }
    }
}

/// The stack of one thread, or of several that have the same.
fn stack(text: &mut String, threads: &[&Thread], options: TextOptions) {
    let Some(first) = threads.first() else {
        return;
    };
    let labels: Vec<String> = threads.iter().map(|thread| label(thread)).collect();
    if threads.len() == 1 {
        line(text, &format!("Thread {}:", labels.join("")));
    } else {
        let count = threads.len();
        line(
            text,
            &format!("{count} threads like this: {}:", labels.join(", ")),
        );
    }
    for thread in threads {
        if let Some(wait) = &thread.waits_for {
            let who = if threads.len() == 1 {
                String::new()
            } else {
                format!("{} ", thread.tid)
            };
            line(text, &format!("    {who}{}", safe(&wait.to_string())));
        }
    }
    for frame in &first.frames {
        line(text, &frame_text(frame));
        source(text, frame);
        if options.variables {
            variables(text, frame);
        }
    }
    if let Some(reason) = &first.incomplete {
        line(
            text,
            &format!("    (the stack goes on, but {})", safe(reason)),
        );
    }
    if options.registers {
        for (name, value) in &first.registers {
            line(text, &format!("    {name:<8} {value}"));
        }
    }
}

fn label(thread: &Thread) -> String {
    let name = thread
        .name
        .as_deref()
        .map(|name| format!(" \"{}\"", safe(name)))
        .unwrap_or_default();
    let crashed = if thread.crashed { " (crashed)" } else { "" };
    format!("{}{name}{crashed}", thread.tid)
}
