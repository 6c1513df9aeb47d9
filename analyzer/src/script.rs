//! Runs scripts that look at a dump: record and report in, properties out.
//!
//! The language is Rhai without modules, time, `eval` and anything that reaches outside; operations,
//! depth and sizes are limited here, memory and processor time by the worker that runs this.

use rhai::packages::{Package, StandardPackage};
use rhai::{Dynamic, Engine, EvalAltResult, Map, Position, Scope};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cell::RefCell;
use std::rc::Rc;

/// The most steps of one script: a second or two.
const MOST_OPERATIONS: u64 = 5_000_000;
/// The most properties of one script.
const MOST_PROPERTIES: usize = 50;
/// The most bytes of a property's key.
const LONGEST_KEY: usize = 64;
/// The most bytes of a property's value, or of an error.
const LONGEST_VALUE: usize = 300;
/// The longest list that a script is shown, such as the frames of a thread.
const LONGEST_LIST: usize = 1000;
/// The longest text that a script is shown or makes, bytes.
const LONGEST_TEXT: usize = 256 << 10;

/// A script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a worker is asked: scripts, and the dump they look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The scripts.
    pub scripts: Vec<Script>,
    /// `{"record": …, "report": …}`.
    pub dump: Value,
    /// Further dumps that the same scripts look at.
    #[serde(default)]
    pub more: Vec<Value>,
}

/// What came of one script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The script's name.
    pub script: String,
    /// Which dump of the task it looked at; 0 is the first.
    #[serde(default)]
    pub dump: usize,
    /// What it found, in its order, a key once.
    pub properties: Vec<(String, String)>,
    /// Why it ended early; what it had found until then is kept.
    pub error: Option<Mistake>,
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// What, on one line.
    pub message: String,
    /// Line, from 1; 0: not known.
    pub line: usize,
    /// Column, from 1; 0: not known.
    pub column: usize,
}

impl Mistake {
    fn new(message: &str, position: Position) -> Self {
        let flat: String = message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Self {
            message: clip(&flat, LONGEST_VALUE),
            line: position.line().unwrap_or(0),
            column: position.position().unwrap_or(0),
        }
    }
}

/// Runs each script on each dump. A mistake of one does not touch the others.
pub fn run(task: &Task) -> Vec<Answer> {
    let mut answers = vec![];
    for (number, dump) in std::iter::once(&task.dump).chain(&task.more).enumerate() {
        let dump = dynamic(dump);
        for script in &task.scripts {
            answers.push(Answer {
                dump: number,
                ..run_one(script, dump.clone())
            });
        }
    }
    answers
}

/// Says what is wrong with a script's grammar.
pub fn check(text: &str) -> Result<(), Mistake> {
    match engine(&Rc::default()).compile(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Mistake::new(
            &error.err_type().to_string(),
            error.position(),
        )),
    }
}

type Found = Rc<RefCell<Vec<(String, String)>>>;

fn run_one(script: &Script, dump: Dynamic) -> Answer {
    let found: Found = Rc::default();
    let engine = engine(&found);
    let mut scope = Scope::new();
    scope.push_constant_dynamic("dump", dump);
    let result = engine.run_with_scope(&mut scope, &script.text);
    let error = result.err().map(|error| {
        let position = error.position();
        let mut inner = *error;
        inner.clear_position();
        Mistake::new(&inner.to_string(), position)
    });
    Answer {
        script: script.name.clone(),
        dump: 0,
        properties: found.take(),
        error,
    }
}

fn engine(found: &Found) -> Engine {
    let mut engine = Engine::new_raw();
    StandardPackage::new().register_into_engine(&mut engine);
    engine
        .set_max_operations(MOST_OPERATIONS)
        .set_max_call_levels(32)
        .set_max_expr_depths(64, 32)
        .set_max_variables(200)
        .set_max_functions(100)
        .set_max_string_size(LONGEST_TEXT)
        .set_max_array_size(10_000)
        .set_max_map_size(10_000)
        .disable_symbol("eval")
        .on_print(|_| {})
        .on_debug(|_, _, _| {});
    let found = Rc::clone(found);
    engine.register_fn(
        "property",
        move |key: &str, value: Dynamic| -> Result<(), Box<EvalAltResult>> {
            note(&mut found.borrow_mut(), key, &value.to_string()).map_err(Into::into)
        },
    );
    engine
}

/// Notes a property; another of the same key takes its place.
fn note(found: &mut Vec<(String, String)>, key: &str, value: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.is_empty() || key.len() > LONGEST_KEY || !key.chars().all(plain) {
        return Err("a property's key is up to 64 letters, digits, - _ .".to_owned());
    }
    let value = clip(value.trim(), LONGEST_VALUE).replace(char::is_control, " ");
    if let Some((_, known)) = found.iter_mut().find(|(known, _)| known == key) {
        *known = value;
        return Ok(());
    }
    if found.len() >= MOST_PROPERTIES {
        return Err(format!("more than {MOST_PROPERTIES} properties"));
    }
    found.push((key.to_owned(), value));
    Ok(())
}

fn clip(text: &str, limit: usize) -> String {
    text.get(..text.floor_char_boundary(limit))
        .unwrap_or_default()
        .to_owned()
}

/// JSON as a script sees it. Numbers beyond 63 bits become inexact; long lists and texts are cut.
fn dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => clip(text, LONGEST_TEXT).into(),
        Value::Array(list) => {
            let list: rhai::Array = list.iter().take(LONGEST_LIST).map(dynamic).collect();
            list.into()
        }
        Value::Object(object) => {
            let map: Map = object
                .iter()
                .take(LONGEST_LIST)
                .map(|(key, value)| (key.as_str().into(), dynamic(value)))
                .collect();
            map.into()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn run_text(text: &str) -> Answer {
        let task = Task {
            scripts: vec![Script {
                name: "s".to_owned(),
                text: text.to_owned(),
            }],
            dump: json!({
                "record": { "process": { "name": "srv" }, "big": u64::MAX },
                "report": { "modules": [{ "path": "/lib/libc.so.6" }, { "path": null }] },
            }),
            more: vec![],
        };
        run(&task).pop().unwrap()
    }

    #[test]
    fn each_dump_of_a_task_is_answered_by_its_number() {
        let script = |name: &str, text: &str| Script {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let task = Task {
            scripts: vec![
                script("says", "property(\"n\", dump.record.n);"),
                script("fails", "if dump.record.n == 2 { throw \"two\" }"),
            ],
            dump: json!({ "record": { "n": 1 } }),
            more: vec![
                json!({ "record": { "n": 2 } }),
                json!({ "record": { "n": 3 } }),
            ],
        };
        let told: Vec<_> = run(&task)
            .into_iter()
            .map(|answer| {
                (
                    answer.dump,
                    answer.script,
                    answer.properties,
                    answer.error.is_some(),
                )
            })
            .collect();
        for (number, of_one) in told.chunks(2).enumerate() {
            let n = (number + 1).to_string();
            assert_eq!(
                of_one,
                [
                    (number, "says".to_owned(), vec![property("n", &n)], false),
                    (number, "fails".to_owned(), vec![], n == "2"),
                ]
            );
        }
        assert_eq!(told.len(), 6);
    }

    fn found(text: &str) -> Vec<(String, String)> {
        let answer = run_text(text);
        assert_eq!(answer.error, None, "{text}");
        answer.properties
    }

    fn property(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn scripts_see_the_dump_and_say_properties() {
        assert_eq!(
            found(
                "property(\"name\", dump.record.process.name); property(\"n\", dump.report.modules.len())"
            ),
            [property("name", "srv"), property("n", "2")]
        );
        assert_eq!(
            found(
                "for m in dump.report.modules { if m.path != () && m.path.contains(\"libc\") { property(\"libc\", true) } }"
            ),
            [property("libc", "true")]
        );
        assert_eq!(
            found("let x = dump.record.nothing; property(\"x\", x == ())"),
            [property("x", "true")]
        );
        assert_eq!(
            found("property(\"a\", 1); property(\"a\", \"2\\n3\")"),
            [property("a", "2 3")]
        );
    }

    #[test]
    fn mistakes_have_a_place_and_lose_nothing_found_before() {
        let answer = run_text("property(\"a\", 1);\n  nonsense(1)");
        assert_eq!(answer.properties, [property("a", "1")]);
        let error = answer.error.unwrap();
        assert_eq!((error.line, error.column), (2, 3));
        assert!(error.message.contains("nonsense"), "{error:?}");
        let error = check("let x = ;").unwrap_err();
        assert_eq!(error.line, 1);
        assert!(check("property(\"a\", 1)").is_ok());
    }

    #[test]
    fn nothing_runs_for_ever_grows_or_reaches_outside() {
        for text in [
            "loop { }",
            "let s = \"x\"; loop { s += s; }",
            "let a = [1]; loop { a += a; }",
            "fn f(n) { f(n + 1) } f(0)",
            "eval(\"1\")",
            "import \"x\" as y;",
            "let f = open(\"/etc/passwd\");",
            "for i in 0..100 { property(`k${i}`, 1) }",
            "property(\"bad key\", 1)",
            "throw \"no\\nmore\"",
        ] {
            let error = run_text(text).error;
            let error = error.unwrap_or_else(|| panic!("{text}"));
            assert!(!error.message.contains('\n'), "{error:?}");
        }
    }
}
