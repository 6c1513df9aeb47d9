//! `/compare?a=&b=`: two crashes side by side.

use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::api::compare::other;
use crate::compare::{Comparison, FramePair, Pair, Place};
use crate::ui::view::crash::Row;
use crate::ui::view::text::{self, Brief};
use crate::ui::view::time;
use aground_store::Store;
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;

/// The most rows of each table; the API has all.
const MOST: usize = 500;

/// Which crashes.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Request {
    /// The first.
    #[serde(default)]
    a: String,
    /// The second; empty: the newest other one of its group.
    #[serde(default)]
    b: String,
}

/// A name and two values.
#[derive(Clone, Debug)]
struct Values {
    name: Brief,
    a: Option<Brief>,
    b: Option<Brief>,
}

impl Values {
    fn new(pair: &Pair) -> Self {
        let value = |value: &Option<String>| value.as_deref().map(|text| Brief::new(text, 240));
        Self {
            name: Brief::new(&pair.name, 120),
            a: value(&pair.a),
            b: value(&pair.b),
        }
    }
}

/// A row of two stacks.
#[derive(Clone, Debug)]
struct Frames {
    a: Option<Place>,
    b: Option<Place>,
    same: bool,
}

impl Frames {
    fn new(pair: &FramePair) -> Self {
        Self {
            a: pair.a.clone(),
            b: pair.b.clone(),
            same: pair.a.is_some() && pair.b.is_some(),
        }
    }
}

/// Two crashes, compared.
#[derive(Clone, Debug)]
struct Compared {
    /// The beginnings of their ids.
    a: String,
    b: String,
    sides: [Row; 2],
    same_group: bool,
    differing: Vec<Values>,
    same: Vec<Values>,
    /// `5 facts are the same`.
    same_words: String,
    stack: Vec<Frames>,
    common: String,
    environment: Vec<Values>,
    environment_same: String,
    environment_left_out: usize,
    modules: Vec<Values>,
    modules_same: String,
    modules_left_out: usize,
    notes: Vec<String>,
}

impl Compared {
    fn new(found: &Comparison, now_ms: i64) -> Self {
        let values = |pairs: &[Pair]| pairs.iter().take(MOST).map(Values::new).collect();
        let (same, differing): (Vec<Pair>, Vec<Pair>) =
            found.facts.iter().cloned().partition(Pair::same);
        let stack: Vec<Frames> = found.stack.iter().map(Frames::new).collect();
        Self {
            a: found.a.id.short().to_owned(),
            b: found.b.id.short().to_owned(),
            sides: [&found.a, &found.b].map(|dump| Row::new(dump, now_ms)),
            same_group: found.same_group,
            differing: values(&differing),
            same_words: same_words(same.len(), "fact", "facts"),
            same: values(&same),
            common: text::count(
                number(stack.iter().filter(|row| row.same).count()),
                "frame",
                "frames",
            ),
            stack,
            environment: values(&found.environment),
            environment_same: same_words(found.environment_same, "variable", "variables"),
            environment_left_out: found.environment.len().saturating_sub(MOST),
            modules: values(&found.modules),
            modules_same: same_words(found.modules_same, "module", "modules"),
            modules_left_out: found.modules.len().saturating_sub(MOST),
            notes: found.notes.clone(),
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn same_words(count: usize, one: &str, many: &str) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb} the same", text::count(number(count), one, many))
}

/// The page.
#[derive(Template)]
#[template(path = "compare.html")]
pub struct ComparePage {
    shell: Shell,
    a: String,
    b: String,
    found: Option<Compared>,
    /// Why there is nothing to see.
    lacking: &'static str,
}

/// `GET /compare?a=&b=`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<Request>,
) -> Result<Response, Trouble> {
    let asked = request.clone();
    let read = move |store: &Store| compare(store, &asked);
    let found = blocking(&app, read).await?;
    let lacking = match (&found, request.a.trim()) {
        (Some(_), _) => "",
        (None, "") => "Which crashes? The beginnings of their ids are enough.",
        (None, _) => "There is no other crash of its group: say which one to compare with.",
    };
    let page = ComparePage {
        shell: Shell::new("compare"),
        b: found
            .as_ref()
            .map_or(request.b, |found| found.b.id.short().to_owned()),
        found: found.map(|found| Compared::new(&found, time::now_ms())),
        a: request.a,
        lacking,
    };
    Ok(html(&page))
}

fn compare(store: &Store, request: &Request) -> Result<Option<Comparison>, Trouble> {
    let (a, b) = (request.a.trim(), request.b.trim());
    if a.is_empty() {
        return Ok(None);
    }
    let a = store.resolve_dump(a)?;
    let b = match b {
        "" => other(store, &a)?,
        b => Some(store.resolve_dump(b)?),
    };
    let Some(b) = b else { return Ok(None) };
    Ok(Some(Comparison::new(&store.dump(&a)?, &store.dump(&b)?)))
}
