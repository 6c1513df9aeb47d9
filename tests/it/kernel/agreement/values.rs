//! Holds the values of variables against gdb's: numbers and addresses, frame by frame.

use super::compare::Placed;
use super::explained::value_explanation;
use serde_json::Value;
use std::fmt::Write as _;

/// A variable and its value; `None` where the compiler kept it nowhere.
pub type Known = (String, Option<i128>);

/// Variables of frames that both debuggers show.
#[derive(Default)]
pub struct Values {
    /// Those that gdb knows, or knows to be optimized out.
    pub all: usize,
    /// Those of which ours says the same.
    pub same: usize,
    /// Those of which both say something, and not the same, without an explanation.
    pub wrong: Vec<String>,
    /// Those that differ for a known reason.
    pub explained: Vec<String>,
    /// Those that gdb knows and ours does not.
    pub missed: Vec<String>,
    /// Those that ours knows and gdb does not.
    pub found: Vec<String>,
}

impl Values {
    pub fn add(&mut self, crash: &str, gdb: &Placed, ours: &Placed) {
        let once = |variables: &[Known], name: &str| {
            let mut found = variables.iter().filter(|(known, _)| known == name);
            let first = found.next().map(|(_, value)| *value);
            first.filter(|_| found.next().is_none())
        };
        for (name, theirs) in &gdb.variables {
            let pair = once(&gdb.variables, name).zip(once(&ours.variables, name));
            let Some((_, own)) = pair else { continue };
            self.all += 1;
            let function = gdb.frame.function.as_deref().unwrap_or("??");
            match (theirs, own) {
                (theirs, own) if *theirs == own => self.same += 1,
                (Some(_), None) => self.missed.push(format!("{name} in {function}")),
                (None, _) => self.found.push(format!("{name} in {function}")),
                (Some(theirs), Some(own)) => {
                    let text = format!("{name} in {function}: gdb {theirs:#x}, ours {own:#x}");
                    match value_explanation(crash, function) {
                        Some(why) => self.explained.push(format!("{text}: {why}")),
                        None => self.wrong.push(text),
                    }
                }
            }
        }
    }

    pub fn write(&self, crash: &str, text: &mut String) {
        let lists = [
            ("differs without an explanation", &self.wrong),
            ("differs", &self.explained),
            ("not known to ours", &self.missed),
            ("not known to gdb", &self.found),
        ];
        for (what, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            let _ = writeln!(text, "{crash}: {what}: {}", list.join(", "));
        }
    }
}

/// What `frames.py` writes.
pub fn of_gdb(variables: &Value) -> Vec<Known> {
    let known = |pair: &Value| {
        let value = pair[1].to_string().parse().ok();
        (pair[0].as_str().unwrap_or_default().to_owned(), value)
    };
    variables
        .as_array()
        .map(|all| all.iter().map(known).collect())
        .unwrap_or_default()
}

/// The variables of a report's frame, as far as they begin with a number.
pub fn of_report(variables: &Value) -> Vec<Known> {
    let known = |variable: &Value| {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        (name, number(variable["value"].as_str().unwrap_or_default()))
    };
    variables
        .as_array()
        .map(|all| all.iter().map(known).collect())
        .unwrap_or_default()
}

fn number(text: &str) -> Option<i128> {
    let word = text.split(' ').next()?;
    match word {
        "true" => Some(1),
        "false" => Some(0),
        word => match word.strip_prefix("0x") {
            Some(digits) => i128::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        },
    }
}
