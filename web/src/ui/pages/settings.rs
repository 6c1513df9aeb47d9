//! `/settings`: the configuration in force, rules and scripts with their mistakes, and who is told.
//! Nothing is changed here: the file is, and the service reads it when it starts.

use super::error::Trouble;
use super::{Shell, html};
use crate::App;
use crate::ui::view::text::Brief;
use aground_daemon::{RulesStatus, Setting, TargetStatus};
use askama::Template;
use axum::extract::State;
use axum::response::Response;

/// Keys of one section of the file.
#[derive(Clone, Debug)]
struct Section {
    name: String,
    /// What it is about; empty for sections that are not known here.
    about: &'static str,
    rows: Vec<Row>,
    changed: usize,
}

#[derive(Clone, Debug)]
struct Row {
    key: Brief,
    value: Brief,
    usual: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    name: Brief,
    kind: String,
    place: Brief,
    query: Brief,
    does: Brief,
    mistake: Option<Mistake>,
}

#[derive(Clone, Debug)]
struct Mistake {
    what: Brief,
    dump: String,
}

/// The page.
#[derive(Template)]
#[template(path = "settings.html")]
pub struct SettingsPage {
    shell: Shell,
    sections: Vec<Section>,
    changed: usize,
    rules: Vec<Rule>,
    problems: Vec<(Brief, Brief)>,
    targets: Vec<(String, String, Brief)>,
}

impl SettingsPage {
    /// The page.
    pub fn new(settings: &[Setting], rules: &RulesStatus, targets: &[TargetStatus]) -> Self {
        let problem = |problem: &aground_daemon::RuleProblem| {
            let place = format!("{}:{}", problem.place, problem.line);
            (Brief::new(&place, 200), Brief::new(&problem.message, 400))
        };
        let target = |target: &TargetStatus| {
            let place = Brief::new(&target.place, 100);
            (target.name.clone(), target.kind.clone(), place)
        };
        Self {
            shell: Shell::new("settings"),
            sections: sections(settings),
            changed: settings.iter().filter(|setting| !setting.usual).count(),
            rules: rules.rules.iter().map(Rule::new).collect(),
            problems: rules.problems.iter().map(problem).collect(),
            targets: targets.iter().map(target).collect(),
        }
    }
}

/// Sections in the order in which their first keys come, keys of none first.
fn sections(settings: &[Setting]) -> Vec<Section> {
    let mut sections = vec![Section::named("service")];
    for setting in settings {
        let (name, key) = setting
            .key
            .split_once('.')
            .unwrap_or(("service", &setting.key));
        let row = Row {
            key: Brief::new(key, 120),
            value: Brief::new(&setting.value, 300),
            usual: setting.usual,
        };
        if sections.iter().all(|known| known.name != name) {
            sections.push(Section::named(name));
        }
        if let Some(section) = sections.iter_mut().find(|known| known.name == name) {
            section.changed += usize::from(!row.usual);
            section.rows.push(row);
        }
    }
    sections.retain(|section| !section.rows.is_empty());
    sections
}

impl Section {
    fn named(name: &str) -> Self {
        let about = match name {
            "service" => "where it listens, where it keeps things, and what one analysis may take",
            "capture" => "what is kept of which crash",
            "retention" => "how much is kept, and for how long",
            "grouping" => "how crashes are grouped",
            "import" => "directories whose cores are taken in",
            "notify" => "who is told of what changes",
            "rules" => "known bugs, and scripts",
            "runtimes" => "engines that are asked for names",
            "symbols" => "where symbols are fetched, and how much of them is kept",
            "web" => "who may come by TCP, and how much of the service one may use",
            _ => "",
        };
        Self {
            name: name.to_owned(),
            about,
            rows: vec![],
            changed: 0,
        }
    }
}

impl Rule {
    fn new(rule: &aground_daemon::RuleStatus) -> Self {
        let mistake = rule.mistake.as_ref().map(|known| Mistake {
            what: Brief::new(
                &format!(
                    "line {}: {} ({} times)",
                    known.mistake.line, known.mistake.message, known.count
                ),
                400,
            ),
            dump: known.dump.clone(),
        });
        Self {
            name: Brief::new(&rule.name, 80),
            kind: rule.kind.clone(),
            place: Brief::new(&rule.place, 120),
            query: Brief::new(&rule.query, 200),
            does: Brief::new(&rule.does, 200),
            mistake,
        }
    }
}

/// `GET /settings`.
pub async fn page(State(app): State<App>) -> Result<Response, Trouble> {
    let daemon = app.daemon.clone();
    let read = move || (daemon.settings(), daemon.rules(), daemon.targets());
    let (settings, rules, targets) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Trouble::internal(&error))?;
    let settings = settings.map_err(|error| Trouble::internal(&error))?;
    Ok(html(&SettingsPage::new(&settings, &rules, &targets?)))
}
