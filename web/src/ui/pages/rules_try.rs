//! `/groups/try`: what rules of grouping would change, on crashes that are there.

use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::api::grouping::{MOST_TRIED, TRIED};
use crate::ui::view::text::{Brief, LINE, lines};
use aground_analyzer::group::Rules;
use aground_store::trial::{Regrouped, Trial};
use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::response::Response;
use serde::Deserialize;

/// A group that would part, or that would be made of several.
#[derive(Clone, Debug)]
struct Changed {
    group: Option<String>,
    title: Brief,
    parts: Vec<(Brief, u64)>,
}

impl Changed {
    fn new(regrouped: &Regrouped) -> Self {
        let part = |(title, crashes): &(String, u64)| (Brief::new(title, LINE), *crashes);
        Self {
            group: regrouped.group.clone(),
            title: Brief::new(&regrouped.title, LINE),
            parts: regrouped.parts.iter().map(part).collect(),
        }
    }
}

/// What came of a trial.
struct Outcome {
    dumps: u64,
    signatures: u64,
    before: u64,
    after: u64,
    changes: [(&'static str, &'static str, Vec<Changed>); 2],
}

impl Outcome {
    fn new(trial: &Trial) -> Self {
        let changed = |groups: &[Regrouped]| groups.iter().map(Changed::new).collect();
        Self {
            dumps: trial.dumps,
            signatures: trial.signatures,
            before: trial.before,
            after: trial.after,
            changes: [
                ("Would part", "into", changed(&trial.split)),
                ("Would become one", "of", changed(&trial.merged)),
            ],
        }
    }
}

#[derive(Template)]
#[template(path = "rules_try.html")]
struct TryPage {
    shell: Shell,
    /// As they were typed, line by line.
    rules: Vec<String>,
    last: u32,
    most: u32,
    /// The line that is no rule.
    wrong: Option<String>,
    outcome: Option<Outcome>,
}

impl TryPage {
    fn new(rules: &str, last: u32) -> Self {
        Self {
            shell: Shell::new("groups"),
            rules: lines(rules),
            last,
            most: MOST_TRIED,
            wrong: None,
            outcome: None,
        }
    }
}

/// `GET /groups/try`.
pub async fn page() -> Response {
    html(&TryPage::new("", TRIED))
}

/// The form.
#[derive(Deserialize)]
pub struct Fields {
    #[serde(default)]
    rules: String,
    #[serde(default)]
    last: Option<u32>,
}

/// `POST /groups/try`: nothing is kept, the answer is the page.
pub async fn try_rules(
    State(app): State<App>,
    form: Result<Form<Fields>, FormRejection>,
) -> Result<Response, Trouble> {
    let Form(fields) = form.map_err(|error| Trouble::bad_upload(&error.body_text()))?;
    let last = fields.last.unwrap_or(TRIED).clamp(1, MOST_TRIED);
    let mut page = TryPage::new(&fields.rules, last);
    match Rules::with_own(&fields.rules) {
        Err(error) => page.wrong = Some(error.to_string()),
        Ok(rules) => {
            let in_force = app.daemon.grouping_rules();
            let trial =
                move |store: &aground_store::Store| store.try_rules(&in_force, &rules, last);
            page.outcome = Some(Outcome::new(&blocking(&app, trial).await?));
        }
    }
    Ok(html(&page))
}
