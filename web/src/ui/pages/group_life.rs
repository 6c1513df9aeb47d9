//! The part of a group's page that decides about it, and `POST /groups/{ref}/changes`.

use super::error::Trouble;
use crate::App;
use crate::api::decisions::{Decision, decide};
use crate::cli::decide::{shown, state, told};
use crate::peer::By;
use crate::ui::view::text::{self, Brief, LINE};
use crate::ui::view::time::Moment;
use aground_store::lifecycle::{Change, Entry, Evidence, Life, Theory, is_link};
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

/// The most changes that are shown; the API has all.
const MOST: usize = 200;

/// What was decided about a group.
#[derive(Clone, Debug)]
pub struct LifeView {
    /// The group's id.
    pub id: String,
    /// Its state's word.
    pub word: &'static str,
    /// Its state with reasons.
    pub state: Brief,
    /// Who looks after it.
    pub owner: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Where it is worked on.
    pub tickets: Vec<Link>,
    /// Ids of groups merged into it.
    pub merged: Vec<String>,
    /// Ids of groups that are other bugs, however alike they are.
    pub distinct: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<Said>,
    /// What the cause may be.
    pub theories: Vec<TheoryView>,
    /// Every change, newest first.
    pub history: Vec<Done>,
    /// Changes that are not shown.
    pub left_out: usize,
}

/// A text that is a link when a browser may follow it.
#[derive(Clone, Debug)]
pub struct Link {
    /// What is shown.
    pub text: Brief,
    /// As it was entered.
    pub whole: String,
    /// Where it leads.
    pub leads: bool,
}

impl Link {
    fn new(text: &str) -> Self {
        Self {
            text: Brief::new(text, 80),
            whole: text.to_owned(),
            leads: is_link(text),
        }
    }
}

/// A text somebody wrote.
#[derive(Clone, Debug)]
pub struct Said {
    /// Who.
    pub by: String,
    /// When.
    pub at: Moment,
    /// What, line by line.
    pub lines: Vec<String>,
}

/// A theory.
#[derive(Clone, Debug)]
pub struct TheoryView {
    /// Its number.
    pub id: i64,
    /// What it says.
    pub said: Said,
    /// `proposed`, `proven` or `disproven`.
    pub verdict: &'static str,
    /// Why, and who says so.
    pub why: Option<(Brief, String)>,
    /// Evidence and who brought it: a crash's id, or a text.
    pub evidence: Vec<Exhibit>,
}

/// A piece of evidence.
#[derive(Clone, Debug)]
pub struct Exhibit {
    /// A crash's id.
    pub dump: Option<String>,
    /// What else.
    pub link: Link,
    /// Who.
    pub by: String,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its number.
    pub change: i64,
    /// When.
    pub at: Moment,
    /// Who.
    pub by: Brief,
    /// What.
    pub what: Brief,
    /// Whether it was taken back.
    pub undone: bool,
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

impl TheoryView {
    /// The theory, seen from `now_ms`.
    pub fn new(theory: &Theory, now_ms: i64) -> Self {
        Self {
            id: theory.id,
            said: Said {
                by: theory.by.to_string(),
                at: Moment::new(theory.at_ms, now_ms),
                lines: lines(&theory.text),
            },
            verdict: theory.verdict.as_str(),
            why: theory.why.as_deref().map(|why| {
                let judge = theory.judged_by.as_ref().map(ToString::to_string);
                (Brief::new(why, 600), judge.unwrap_or_default())
            }),
            evidence: theory
                .evidence
                .iter()
                .map(|exhibit| Exhibit {
                    dump: match &exhibit.evidence {
                        Evidence::Dump(id) => Some(id.to_string()),
                        _ => None,
                    },
                    link: Link::new(&shown(&exhibit.evidence)),
                    by: exhibit.by.to_string(),
                })
                .collect(),
        }
    }
}

impl LifeView {
    /// What holds of a group, and how it came to.
    pub fn new(life: &Life, history: &[Entry], now_ms: i64) -> Self {
        let done = |entry: &Entry| Done {
            change: entry.sequence,
            at: Moment::new(entry.at_ms, now_ms),
            by: Brief::new(&entry.by.to_string(), 60),
            what: Brief::new(&told(&entry.change), LINE),
            undone: entry.undone,
        };
        Self {
            id: life.group.clone(),
            word: life.state.as_str(),
            state: Brief::new(&state(life), LINE),
            owner: life.owner.clone().unwrap_or_default(),
            tags: life.tags.clone(),
            tickets: life.tickets.iter().map(|text| Link::new(text)).collect(),
            merged: life.merged.clone(),
            distinct: life.distinct.clone(),
            notes: life
                .notes
                .iter()
                .map(|note| Said {
                    by: note.by.to_string(),
                    at: Moment::new(note.at_ms, now_ms),
                    lines: lines(&note.text),
                })
                .collect(),
            theories: life
                .theories
                .iter()
                .map(|theory| TheoryView::new(theory, now_ms))
                .collect(),
            history: history.iter().rev().take(MOST).map(done).collect(),
            left_out: history.len().saturating_sub(MOST),
        }
    }
}

/// `POST /groups/{ref}/changes`: carries out what a form says, then back to the page of the group
/// that came of it.
pub async fn change(
    State(app): State<App>,
    By(by): By,
    Path(reference): Path<String>,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Trouble> {
    let Form(fields) = form.map_err(|error| Trouble::bad_upload(&error.body_text()))?;
    let decision = Decision::from_form(fields)?;
    let carry_out = move |store: &aground_store::Store| decide(store, &by, &reference, decision);
    let changed = super::blocking(&app, carry_out)
        .await
        .map_err(Trouble::of_group)?;
    // An undone merge gives the group back that somebody looks for.
    let group = match changed
        .entry
        .as_ref()
        .map(|entry| (&entry.change, &entry.group))
    {
        Some((Change::Undo { .. }, group)) => group,
        _ => &changed.life.group,
    };
    let page = format!("/groups/{}#decided", text::clip(group, 64));
    Ok(Redirect::to(&page).into_response())
}
