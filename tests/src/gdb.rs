//! Asks gdb for the backtrace that ours must equal.

use crate::programs::Image;
use crate::run::finish;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What two debuggers can agree on about a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Function without parameters, template and generic arguments; `None` when unknown.
    pub function: Option<String>,
    /// Last component of the source file's name.
    pub file: Option<String>,
    /// Line.
    pub line: Option<u64>,
}

impl Frame {
    /// A frame of a name in full and a source file's path.
    pub fn new(function: Option<&str>, file: Option<&str>, line: Option<u64>) -> Self {
        Frame {
            function: function.map(plain_name),
            file: file.map(base_name),
            line,
        }
    }
}

/// `gdb -batch -ex bt` on a core, with the image's own files and nobody else's.
#[track_caller]
pub fn backtrace(core: &Path, image: &Image) -> Vec<Frame> {
    let root = image.root.display();
    let mut gdb = Command::new("gdb");
    gdb.args([
        "-nx",
        "-batch",
        "-iex",
        "set auto-load off",
        "-iex",
        "set debuginfod enabled off",
    ]);
    gdb.args(["-iex", &format!("set sysroot {root}")]);
    gdb.args([
        "-iex",
        &format!("set debug-file-directory {root}/usr/lib/debug"),
    ]);
    // One frame a line, and parameters that cannot be taken for part of the name.
    gdb.args([
        "-ex",
        "set width 0",
        "-ex",
        "set print frame-arguments presence",
        "-ex",
        "bt",
    ]);
    gdb.arg(format!("{root}{}", image.executable)).arg(core);
    gdb.env_remove("DEBUGINFOD_URLS").env("LC_ALL", "C.UTF-8");
    let text = finish(&mut gdb).ok();
    let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    // gdb shows the innermost frame once when it has loaded the core, before it is asked.
    if lines.get(1).is_some_and(|line| line.starts_with("#0 ")) {
        lines.remove(0);
    }
    let frames: Vec<Frame> = lines.into_iter().map(parse).collect();
    assert!(!frames.is_empty(), "gdb shows no frames:\n{text}");
    frames
}

/// The frames of a report's crashed thread, in the same form.
pub fn reported(report: &Value) -> Vec<Frame> {
    let threads = report["threads"].as_array().expect("threads");
    let crashed = threads
        .iter()
        .find(|thread| thread["crashed"] == true)
        .expect("a crashed thread");
    crashed["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .map(of_report)
        .collect()
}

/// Whether any frame of a report has values of variables.
pub fn has_values(report: &Value) -> bool {
    let threads = report["threads"].as_array().into_iter().flatten();
    let frames = threads.flat_map(|thread| thread["frames"].as_array().into_iter().flatten());
    frames
        .filter_map(|frame| frame["variables"].as_array())
        .any(|values| !values.is_empty())
}

fn of_report(frame: &Value) -> Frame {
    Frame::new(
        frame["function"].as_str(),
        frame["file"].as_str(),
        frame["line"].as_u64(),
    )
}

/// `#1  0x0000 in search::Index::load (...) at /src/search/search.cc:40`
fn parse(line: &str) -> Frame {
    let rest = line
        .trim_start_matches(|c: char| c == '#' || c.is_ascii_digit())
        .trim_start();
    let rest = match rest.split_once(" in ") {
        Some((address, rest)) if address.starts_with("0x") => rest,
        _ => rest,
    };
    let (rest, place) = match rest.rsplit_once(") at ") {
        Some((rest, place)) => (rest, Some(place)),
        None => (
            rest.rsplit_once(") from ").map_or(rest, |(rest, _)| rest),
            None,
        ),
    };
    let name = rest.rsplit_once(" (").map_or(rest, |(name, _)| name);
    let (file, line) = match place.and_then(|place| place.rsplit_once(':')) {
        Some((file, line)) => (Some(base_name(file)), line.trim().parse().ok()),
        None => (None, None),
    };
    Frame {
        function: (name != "??").then(|| plain_name(name)),
        file,
        line,
    }
}

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// A name without what debuggers write differently: C++ parameters and return types, template and
/// generic arguments, Rust's hash, the compiler's marks of parts of a function. Go's
/// `main.(*gateway).route` stays whole.
fn plain_name(name: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0_usize;
    let name = name
        // rustc's debug information numbers closures, its symbol names do not.
        .replace("{{closure}}", "{closure#0}")
        .replace("(anonymous namespace)", "{anonymous}")
        .replace("operator()", "operator{call}")
        .replace("operator->", "operator{arrow}")
        .replace("->", "{arrow}");
    for character in name.chars() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            other if depth == 0 => plain.push(other),
            _ => {}
        }
    }
    let parameters = plain
        .find('(')
        .filter(|at| *at > 0 && !plain[..*at].ends_with('.'));
    let plain = parameters.map_or(plain.as_str(), |at| &plain[..at]);
    let plain = without_part(plain.split(" [clone").next().unwrap_or(plain).trim());
    let typed = plain
        .rsplit_once(' ')
        .filter(|(before, _)| !before.ends_with("operator"));
    let plain = typed.map_or(plain, |(_, name)| name);
    plain.trim_end_matches("::").to_owned()
}

/// `sort.part.0` and `sort.cold` are parts of `sort`.
fn without_part(name: &str) -> &str {
    const PARTS: [&str; 5] = [".part", ".cold", ".isra", ".constprop", ".lto_priv"];
    let ends = PARTS.iter().filter_map(|part| name.find(part));
    ends.min().map_or(name, |end| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, function: Option<&str>, place: Option<(&str, u64)>) {
        let frame = parse(line);
        assert_eq!(frame.function.as_deref(), function, "{line}");
        assert_eq!(frame.file.as_deref().zip(frame.line), place, "{line}");
    }

    #[test]
    fn lines_of_gdb_are_read() {
        check(
            "#0  host_length (...) at /src/shop-api/http.c:25",
            Some("host_length"),
            Some(("http.c", 25)),
        );
        check("#1  0x00007f12 in ?? () from /lib/libc.so.6", None, None);
        check(
            "#2  0x00007f12 in abort () from /lib/x86_64-linux-gnu/libc.so.6",
            Some("abort"),
            None,
        );
        check(
            "#3  0x7f in std::terminate() () from /lib/libstdc++.so.6",
            Some("std::terminate"),
            None,
        );
        check(
            "#4  0x5 in search::open_index<std::vector<unsigned char, std::allocator<unsigned char> > > (...) at /s/a.cc:7",
            Some("search::open_index"),
            Some(("a.cc", 7)),
        );
        check(
            "#5  0x5 in main.(*gateway).route (...) at /src/gateway/gateway.go:25",
            Some("main.(*gateway).route"),
            Some(("gateway.go", 25)),
        );
        check("#7  0x1 in msort.part.0 () from /l", Some("msort"), None);
        check(
            "#8  0x1 in shop::(anonymous namespace)::Counter::operator()(int) const (...) at /s/a.cc:7",
            Some("shop::{anonymous}::Counter::operator{call}"),
            Some(("a.cc", 7)),
        );
        check(
            "#9  0x1 in v8::Result v8::Stringifier::Serialize_<false>(v8::Handle) ()",
            Some("v8::Stringifier::Serialize_"),
            None,
        );
        check("#6  main () at a.c:1", Some("main"), Some(("a.c", 1)));
    }
}
