//! Scripts in the worker: what comes with the program on what they look at, and what wants too much.
#![allow(clippy::unwrap_used)]

use aground_analyzer::script::{Answer, Script, Task};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn worker(task: &Task) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aground-analyzer"))
        .args(["script", "--memory", "268435456", "--seconds", "5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let json = serde_json::to_vec(task).unwrap();
    child.stdin.take().unwrap().write_all(&json).unwrap();
    child.wait_with_output().unwrap()
}

fn answers(scripts: &[(&str, &str)], dump: Value) -> Vec<Answer> {
    let scripts = scripts
        .iter()
        .map(|(name, text)| Script {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
        })
        .collect();
    let output = worker(&Task {
        scripts,
        dump,
        more: vec![],
    });
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const SHIPPED: [(&str, &str); 3] = [
    (
        "libc",
        include_str!("../../collector/daemon/rules/libc.rhai"),
    ),
    (
        "allocator",
        include_str!("../../collector/daemon/rules/allocator.rhai"),
    ),
    (
        "memory",
        include_str!("../../collector/daemon/rules/memory.rhai"),
    ),
];

fn properties(dump: Value) -> Vec<String> {
    let mut found = vec![];
    for answer in answers(&SHIPPED, dump) {
        assert_eq!(answer.error, None, "{}", answer.script);
        found.extend(
            answer
                .properties
                .iter()
                .map(|(key, value)| format!("{key}={value}")),
        );
    }
    found
}

fn dump(modules: &[&str], resources: &Value) -> Value {
    let modules: Vec<Value> = modules.iter().map(|path| json!({ "path": path })).collect();
    json!({
        "record": { "context": { "resources": resources } },
        "report": { "modules": modules },
    })
}

#[test]
fn what_comes_with_the_program_finds_what_it_says() {
    let none = json!({});
    let check = |modules: &[&str], resources: &Value, expected: &[&str]| {
        assert_eq!(properties(dump(modules, resources)), expected);
    };
    check(&["/app", "/lib/ld-musl-x86_64.so.1"], &none, &["libc=musl"]);
    check(&["/lib/x86_64-linux-gnu/libc.so.6"], &none, &["libc=glibc"]);
    check(
        &["/lib/x86_64-linux-gnu/libc-2.31.so"],
        &none,
        &["libc=glibc 2.31"],
    );
    check(
        &["/usr/lib/libjemalloc.so.2", "/usr/lib/libasan.so.8"],
        &none,
        &["allocator=jemalloc", "sanitizer=address"],
    );
    check(
        &[],
        &json!({ "memory_max": 1000, "memory_current": 960 }),
        &["memory=at-limit"],
    );
    check(
        &[],
        &json!({ "memory_max": 1000, "memory_current": 850 }),
        &["memory=near-limit"],
    );
    check(
        &[],
        &json!({ "memory_max": 1000, "memory_current": 100, "oom_kills": 2 }),
        &["oom-kills=2"],
    );
    check(&[], &json!({ "memory_max": null }), &[]);
    // A crash without a report.
    assert_eq!(properties(json!({ "record": {}, "report": null })), [""; 0]);
}

#[test]
fn a_script_that_wants_too_much_ends_and_the_next_runs() {
    let greedy = [
        ("endless", "loop { }"),
        ("large", "let a = []; loop { a.push(\"x\".to_upper()); }"),
        ("outside", "open(\"/etc/passwd\")"),
        ("good", "property(\"ok\", true)"),
    ];
    let answers = answers(&greedy, json!({}));
    assert!(
        answers[..3].iter().all(|answer| answer.error.is_some()),
        "{answers:?}"
    );
    assert_eq!(
        answers[3].properties,
        [("ok".to_owned(), "true".to_owned())]
    );
    assert!(
        !worker(&Task {
            scripts: vec![],
            dump: Value::Null,
            more: vec![],
        })
        .stdout
        .is_empty()
    );
}
