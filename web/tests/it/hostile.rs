//! Crashes all of whose texts are hostile: wherever a container can choose one, it did.

use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::record::Record;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A word that runs a script where it is taken for markup, in an attribute or in a link.
pub const SCRIPT: &str =
    "<script>owned=1</script>\"'><img/src=x/onerror=owned=1><a/href=\"javascript:owned=1\">";

/// A kind of malice.
#[derive(Clone, Copy, Debug)]
pub enum Malice {
    /// Markup.
    Script,
    /// Right-to-left override, terminal escapes, NUL, line breaks, what stands for invalid UTF-8,
    /// and letters with a hundred marks upon each other.
    Invisible,
    /// 4 KiB without a place to break.
    Long,
}

impl Malice {
    /// A text of it.
    pub fn text(self) -> String {
        match self {
            Malice::Script => SCRIPT.to_owned(),
            Malice::Invisible => format!(
                "\u{202e}gpj.exe\u{202c}\x1b]0;owned\x07\x1b[2J\0\r\n\t\u{fffd}\u{2066}a{}\u{feff}{{{{7*7}}}}",
                "\u{0301}".repeat(100)
            ),
            Malice::Long => "W".repeat(4096),
        }
    }
}

/// The value with every text replaced that may be any text: where another would not be understood,
/// it stays.
fn poisoned<T: DeserializeOwned>(innocent: &Value, malice: Malice) -> T {
    let mut value = innocent.clone();
    for path in texts(&value) {
        let before = value.pointer(&path).cloned();
        // Of an entry of the environment the value; its name is one in the next test's crash.
        let text = match &before {
            Some(Value::String(text)) if text.contains('=') => format!("NAME={}", malice.text()),
            _ => malice.text(),
        };
        if let Some(place) = value.pointer_mut(&path) {
            *place = Value::String(text);
        }
        if serde_json::from_value::<T>(value.clone()).is_err()
            && let (Some(place), Some(before)) = (value.pointer_mut(&path), before)
        {
            *place = before;
        }
    }
    serde_json::from_value(value).unwrap()
}

/// The places of all texts.
fn texts(value: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        let inside = texts(value).into_iter();
        inside
            .map(move |rest| format!("/{name}{rest}"))
            .collect::<Vec<_>>()
    };
    match value {
        Value::String(_) => vec![String::new()],
        Value::Array(list) => list
            .iter()
            .enumerate()
            .flat_map(|(at, value)| below(&at.to_string(), value))
            .collect(),
        Value::Object(table) => table.iter().flat_map(|(k, v)| below(k, v)).collect(),
        _ => vec![],
    }
}

/// A crash that a container made so.
pub fn record(number: u8, malice: Malice, now_ms: i64) -> Record {
    let id = DumpId::from_bytes([number; 16]);
    let innocent = json!({
        "schema": 1, "id": id, "captured_at_ms": now_ms,
        "signal": { "number": 11, "name": "SIGSEGV" },
        "kernel": { "pid": 1, "tid": 77, "namespace_tid": 9, "pidfd": true },
        "process": {
            "pid": 70, "namespace_pid": 1, "name": "n", "executable": "/n", "cwd": "/n",
            "args": ["n", "n"], "environment": ["A=n", "B=n", "n"],
            "thread_names": { "77": "n" }, "cgroup": ["n"],
            "limits": [{ "name": "n", "soft": "n", "hard": "n" }], "open_files": [[3, "n"]]
        },
        "unit": "n",
        "host": { "hostname": "n", "machine_id": "n", "boot_id": "n", "kernel": "n", "arch": "n", "aground": "n" },
        "capture": {
            "state": "complete", "kept": "partial", "reason": "n", "hold_us": 1500,
            "core_size": 2_000_000, "bytes_seen": 1000, "bytes_kept": 1000, "bytes_stored": 10,
            "truncated": true
        },
        "container": {
            "runtime": "n", "id": format!("{number:02x}").repeat(32), "name": "n", "image": "n",
            "image_id": "n", "image_digests": ["n"], "labels": { "k": "n" }, "hostname": "n",
            "started_at": "n", "log_driver": "n", "pod_namespace": "n", "pod_name": "n",
            "pod_uid": "n", "pod_container": "n", "pod_owner": "n", "sandbox_id": "n",
            "source": "cgroup"
        },
        "modules": [{ "path": "/n", "base": 4096, "end": 8192, "build_id": "n", "missing": "n" }],
        "problems": ["n"]
    });
    let mut record: Record = poisoned(&innocent, malice);
    if let Some(container) = &mut record.container {
        container.labels.insert(malice.text(), malice.text());
    }
    record
        .process
        .environment
        .push(format!("{}=1", malice.text()));
    record
}

/// What analysis could say of it.
pub fn report(malice: Malice, title: &str) -> Report {
    let frame = |index: u32, in_app: bool| {
        json!({
            "index": index, "pc": "0x1000", "function": "n", "module": "/n", "offset": "0x4",
            "file": "/n", "line": 2, "trust": "cfi", "in_app": in_app, "inline": index == 0,
            "source": [{ "number": 2, "text": "n" }],
            "variables": [{ "name": "n", "type_name": "n", "value": "n", "argument": true }]
        })
    };
    let thread = |tid: i32, crashed: bool| {
        json!({
            "tid": tid, "crashed": crashed, "name": "n", "registers": { "rax": "0x1" },
            "waits_for": { "what": "n", "address": "0x1", "owner": 2, "owner_name": "n" },
            "frames": [frame(0, true), frame(1, false)], "incomplete": "n"
        })
    };
    let innocent = json!({
        "schema": 1,
        "core": { "arch": "n", "size": 1, "kept": "full", "truncated": false },
        "process": { "pid": 1, "signal": { "number": 11, "name": "n", "code_name": "n", "address": "0x8" } },
        "cause": {
            "kind": "n", "title": "n", "confidence": "n", "message": "n", "instruction": "n",
            "evidence": ["n"]
        },
        "site": {
            "what": "n", "function": "n",
            "code": [{ "pc": "0x1000", "offset": 4, "bytes": "n", "text": "n", "target": "n", "marked": true }],
            "registers": [{ "name": "n", "value": "0x8", "points_to": "n" }],
            "memory": [
                { "what": "n", "address": "0x1004", "start": "0x1000", "bytes": "n" },
                { "what": "n", "address": "0x8", "start": "0x0", "bytes": "n", "absent": "n" }
            ]
        },
        "threads": [thread(9, true), thread(2, false), thread(3, false)],
        "deadlocks": [[9, 3], [3]],
        "modules": [{ "path": "/n", "build_id": "n", "base": "0x1000", "end": "0x2000", "image": "n",
                      "debug": "n", "problem": "n", "wanted": ["abcd1234", "n"] }],
        "runtimes": [{ "language": "n", "version": "n", "threads": [thread(1, false)] }],
        "signature": { "version": 1, "kind": "symbolic", "title": "n", "hash": "",
                       "frames": [{ "function": "n", "kept": true }, { "function": "n", "kept": false, "rule": "n" }] },
        "warnings": ["n"]
    });
    let mut report: Report = poisoned(&innocent, malice);
    // The signature's hash is ours, and is one for each of them.
    report.signature.hash = format!("{:02x}", title.len()).repeat(32);
    report.cause.title = format!("{title} {}", malice.text());
    report
}
