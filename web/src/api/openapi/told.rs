//! Reads `told.txt`: what each route is for, what it takes and what it answers.

const TOLD: &str = include_str!("told.txt");

/// What is told of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Names in [`super::schemas::query_parameter`].
    pub(super) query: Vec<&'static str>,
    /// Headers of the request; `!` after those that it must have.
    pub(super) headers: Vec<&'static str>,
    /// Headers of the answer.
    pub(super) answered: Vec<&'static str>,
    /// What the body is: a shape, `bytes`, `piece`, or empty.
    pub(super) body: &'static str,
    /// What the answer is: a shape, `[shape]`, `any`, `text`, `text:json`, `bytes`, `events`, or
    /// empty.
    pub(super) answer: &'static str,
    /// Statuses of answers, the usual one first.
    pub(super) successes: Vec<u16>,
    /// Statuses of problems, besides those that every route of its kind has.
    pub(super) problems: Vec<u16>,
}

/// All lines.
pub(super) fn all() -> impl Iterator<Item = Told> {
    let lines = TOLD.lines().filter(|line| !line.starts_with('#'));
    lines.map(told)
}

fn told(line: &'static str) -> Told {
    let (words, summary) = line.split_once(" | ").unwrap_or((line, ""));
    let mut words = words.split_whitespace();
    let mut told = Told {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        summary,
        ..Told::default()
    };
    for word in words {
        if let Some(names) = word.strip_prefix('?') {
            told.query = names.split(',').flat_map(parameters).collect();
        } else if let Some(names) = word.strip_prefix('@') {
            told.headers = names.split(',').collect();
        } else if let Some(names) = word.strip_prefix('+') {
            told.answered = names.split(',').collect();
        } else if let Some(body) = word.strip_prefix('<') {
            told.body = body;
        } else if let Some(answer) = word.strip_prefix('>') {
            told.answer = answer;
        } else if let Ok(status) = word.parse() {
            if status < 400 {
                told.successes.push(status);
            } else {
                told.problems.push(status);
            }
        }
    }
    if told.successes.is_empty() {
        told.successes.push(200);
    }
    told
}

fn parameters(name: &'static str) -> Vec<&'static str> {
    match name {
        "find" => vec!["query", "filter", "saved"],
        "page" => vec!["limit", "cursor"],
        name => vec![name],
    }
}
