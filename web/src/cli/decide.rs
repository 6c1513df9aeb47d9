//! `groups resolve|ignore|merge|…`: decides about groups, and shows what was decided.

use super::human;
use super::listing::fetch;
use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{visible, visible_json};
use crate::api::decisions::Decision;
use crate::client::encode;
use aground_store::lifecycle::{
    Change, Changed, Entry, Evidence, Life, Split, State, Until, Verdict,
};
use std::io::Write;

/// What can be decided.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Mark a group as resolved: when it crashes again, it is a regression
    #[command(help_template = super::HELP)]
    Resolve {
        #[command(flatten)]
        group: Group,
        /// In this image and later ones; older ones may still crash (reference or digest)
        #[arg(long = "in", value_name = "IMAGE")]
        image: Option<String>,
    },
    /// Hear no more of a group, for good or for a while
    #[command(help_template = super::HELP)]
    Ignore {
        #[command(flatten)]
        group: Group,
        /// Until it crashed so many more times
        #[arg(long, value_name = "N", conflicts_with = "until")]
        crashes: Option<u64>,
        /// Until a date, or for a duration such as 7d
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Open a group again
    #[command(help_template = super::HELP)]
    Reopen {
        #[command(flatten)]
        group: Group,
    },
    /// Make groups one: crashes and ids of GROUP belong to the other from then on
    #[command(help_template = super::HELP)]
    Merge {
        /// Group IDs or beginnings of them
        #[arg(value_name = "GROUP", required = true)]
        groups: Vec<String>,
        /// The group they become
        #[arg(long, value_name = "GROUP")]
        into: String,
    },
    /// Say that two groups are two bugs: nobody proposes to merge them any more
    #[command(help_template = super::HELP)]
    Distinct {
        #[command(flatten)]
        group: Group,
        /// The group that it is not
        #[arg(value_name = "GROUP")]
        from: String,
    },
    /// Make some crashes of a group, and those to come that are like them, a group of their own
    #[command(help_template = super::HELP)]
    Split {
        #[command(flatten)]
        group: Group,
        /// Crashes whose signatures part from the group
        #[arg(
            value_name = "DUMP",
            required_unless_present = "query",
            conflicts_with = "query"
        )]
        dumps: Vec<String>,
        /// What tells the crashes apart, such as image:api:2*
        #[arg(long = "where", value_name = "QUERY")]
        query: Option<String>,
    },
    /// Take a change back, the last one without a number
    #[command(help_template = super::HELP)]
    Undo {
        #[command(flatten)]
        group: Group,
        /// Its number (groups history)
        #[arg(value_name = "CHANGE")]
        change: Option<i64>,
    },
    /// Give a group words to find it by
    #[command(help_template = super::HELP)]
    Tag {
        #[command(flatten)]
        group: Group,
        /// The words
        #[arg(value_name = "TAG", required = true)]
        tags: Vec<String>,
        /// Take them away
        #[arg(long)]
        remove: bool,
    },
    /// Note something about a group
    #[command(help_template = super::HELP)]
    Note {
        #[command(flatten)]
        group: Group,
        /// The text
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Link a group to where it is worked on
    #[command(help_template = super::HELP)]
    Ticket {
        #[command(flatten)]
        group: Group,
        /// The link, or the ticket's name
        #[arg(value_name = "TICKET")]
        ticket: String,
        /// Take it away
        #[arg(long)]
        remove: bool,
    },
    /// Say who looks after a group
    #[command(help_template = super::HELP)]
    Owner {
        #[command(flatten)]
        group: Group,
        /// Their name; nobody without one
        #[arg(value_name = "NAME")]
        owner: Option<String>,
    },
    /// Propose what the cause may be
    #[command(help_template = super::HELP)]
    Theory {
        #[command(flatten)]
        group: Group,
        /// The text
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Add what speaks for or against a theory
    #[command(help_template = super::HELP)]
    #[command(group(clap::ArgGroup::new("what").required(true)))]
    Evidence {
        #[command(flatten)]
        group: Group,
        /// The theory's number (groups show)
        #[arg(value_name = "THEORY")]
        theory: i64,
        /// A crash
        #[arg(long, value_name = "DUMP", group = "what")]
        dump: Option<String>,
        /// A remark
        #[arg(long, value_name = "TEXT", group = "what")]
        note: Option<String>,
        /// A link
        #[arg(long, value_name = "URL", group = "what")]
        link: Option<String>,
    },
    /// Judge a theory, so that nobody tests it twice
    #[command(help_template = super::HELP)]
    Verdict {
        #[command(flatten)]
        group: Group,
        /// The theory's number (groups show)
        #[arg(value_name = "THEORY")]
        theory: i64,
        /// What became of it
        #[arg(value_name = "VERDICT", value_parser = ["proposed", "proven", "disproven"])]
        verdict: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Show what was decided about a group
    #[command(help_template = super::HELP, alias = "life")]
    Show(Shown),
    /// Show every change of a group, by whom and when
    #[command(help_template = super::HELP)]
    History(Shown),
}

/// The group that something is decided about.
#[derive(clap::Args)]
pub(super) struct Group {
    /// Group ID or the beginning of one
    #[arg(value_name = "GROUP")]
    group: String,
}

/// What is shown, and how.
#[derive(clap::Args)]
pub(super) struct Shown {
    /// Group ID or the beginning of one
    #[arg(value_name = "GROUP")]
    group: String,
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Decides, or shows.
pub(super) async fn run(verb: Verb, session: &mut Session) -> Result<(), Failure> {
    let (group, decisions) = match verb {
        Verb::Show(shown) => return show(&shown, session).await,
        Verb::History(shown) => return history(&shown, session).await,
        Verb::Merge { groups, into } => {
            for group in groups {
                let into = into.clone();
                decide(&group, &Decision::Merge { into }, session).await?;
            }
            return Ok(());
        }
        Verb::Tag {
            group,
            tags,
            remove,
        } => {
            let decision = |tag| {
                if remove {
                    Decision::Untag { tag }
                } else {
                    Decision::Tag { tag }
                }
            };
            (group, tags.into_iter().map(decision).collect())
        }
        Verb::Resolve { group, image } => (group, vec![Decision::Resolve { image }]),
        Verb::Ignore {
            group,
            crashes,
            until,
        } => (group, vec![Decision::Ignore { crashes, until }]),
        Verb::Distinct { group, from } => (group, vec![Decision::Distinct { from }]),
        Verb::Reopen { group } => (group, vec![Decision::Reopen {}]),
        Verb::Split {
            group,
            dumps,
            query,
        } => (group, vec![Decision::Split { dumps, query }]),
        Verb::Undo { group, change } => (group, vec![Decision::Undo { change }]),
        Verb::Note { group, text } => (group, vec![Decision::Note { text }]),
        Verb::Ticket {
            group,
            ticket,
            remove: false,
        } => (group, vec![Decision::Ticket { ticket }]),
        Verb::Ticket { group, ticket, .. } => (group, vec![Decision::Unticket { ticket }]),
        Verb::Owner { group, owner } => (group, vec![Decision::Owner { owner }]),
        Verb::Theory { group, text } => (group, vec![Decision::Theory { text }]),
        Verb::Evidence {
            group,
            theory,
            dump,
            note,
            link,
        } => {
            let decision = Decision::Evidence {
                theory,
                dump,
                note,
                link,
            };
            (group, vec![decision])
        }
        Verb::Verdict {
            group,
            theory,
            verdict,
            why,
        } => {
            let verdict = match verdict.as_str() {
                "proven" => Verdict::Proven,
                "disproven" => Verdict::Disproven,
                _ => Verdict::Proposed,
            };
            let decision = Decision::Verdict {
                theory,
                verdict,
                why,
            };
            (group, vec![decision])
        }
    };
    for decision in &decisions {
        decide(&group.group, decision, session).await?;
    }
    Ok(())
}

/// Has the daemon carry it out, and says in a line what that came to.
async fn decide(group: &str, decision: &Decision, session: &mut Session) -> Result<(), Failure> {
    let target = format!("/api/v1/groups/{}/changes", encode(group));
    let changed: Changed = session.client.post_json(&target, decision).await?;
    let life = &changed.life;
    let line = match &changed.entry {
        Some(entry) => format!(
            "{} {} (change {})",
            entry.group,
            told(&entry.change),
            entry.sequence
        ),
        None => format!("{} it is so already", life.group),
    };
    writeln!(session.out, "{}", visible(&line))?;
    Ok(())
}

/// A change in words that follow the group's id.
pub fn told(change: &Change) -> String {
    match change {
        Change::Known(_) => "became known".to_owned(),
        Change::Resolve { image: None } => "resolved".to_owned(),
        Change::Resolve { image: Some(image) } => {
            format!("resolved in {} and later", image.reference)
        }
        Change::Ignore {
            until: Until::Reopened,
        } => "ignored".to_owned(),
        Change::Ignore {
            until: Until::Crashes(more),
        } => format!("ignored until {more} more crashes"),
        Change::Ignore {
            until: Until::Date(at_ms),
        } => format!("ignored until {}", date(*at_ms)),
        Change::Reopen { why: None } => "opened again".to_owned(),
        Change::Reopen { why: Some(why) } => format!("opened again: {why}"),
        Change::Regress { dump, why } => format!("regressed with crash {dump}: {why}"),
        Change::Merge { into } => format!("merged into {into}"),
        Change::Distinct { from } => format!("is another bug than {from}"),
        Change::Split { into, split } => match split {
            Split::Signatures(list) => {
                format!("split: crashes of signature {} are {into}", list.join(", "))
            }
            Split::Query(query) => format!("split: crashes that match {query} are {into}"),
        },
        Change::Tag { tag } => format!("tagged {tag}"),
        Change::Untag { tag } => format!("no longer tagged {tag}"),
        Change::Ticket { ticket } => format!("has ticket {ticket}"),
        Change::Unticket { ticket } => format!("no longer has ticket {ticket}"),
        Change::Owner { owner: Some(owner) } => format!("is looked after by {owner}"),
        Change::Owner { owner: None } => "is looked after by nobody".to_owned(),
        Change::Note { text } => format!("noted: {text}"),
        Change::Theory { text } => format!("theory: {text}"),
        Change::Evidence { theory, evidence } => {
            format!("evidence for theory {theory}: {}", shown(evidence))
        }
        Change::Verdict {
            theory,
            verdict,
            why,
        } => {
            let why = why.as_ref().map(|why| format!(": {why}"));
            let verdict = verdict.as_str();
            format!("theory {theory} is {verdict}{}", why.unwrap_or_default())
        }
        Change::Undo { change } => format!("change {change} undone"),
    }
}

/// Evidence in words.
pub fn shown(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Dump(id) => format!("crash {id}"),
        Evidence::Note(text) | Evidence::Link(text) => text.clone(),
    }
}

/// A moment to the minute, UTC.
fn date(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(
        |_| at_ms.to_string(),
        |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

/// A group's state in words.
pub fn state(life: &Life) -> String {
    match (life.state, &life.resolved_in, life.ignored) {
        (State::Resolved, Some(image), _) => format!("resolved in {} and later", image.reference),
        (State::Ignored, _, Some(Until::Crashes(more))) => {
            format!(
                "ignored until {more} more crashes, {} so far",
                life.ignored_seen
            )
        }
        (State::Ignored, _, Some(Until::Date(at_ms))) => format!("ignored until {}", date(at_ms)),
        (state, _, _) => match &life.why {
            Some(why) => format!("{}: {why}", state.as_str()),
            None => state.as_str().to_owned(),
        },
    }
}

async fn show(shown: &Shown, session: &mut Session) -> Result<(), Failure> {
    let target = format!("/api/v1/groups/{}/life", encode(&shown.group));
    let life: Life = session.client.get(&target).await?;
    if shown.format == "json" {
        return json(&life, session);
    }
    let none = || "none".to_owned();
    let list = |words: &[String]| Some(words.join(", ")).filter(|text| !text.is_empty());
    for (name, value) in [
        ("Group", life.group.clone()),
        ("State", state(&life)),
        ("Owner", life.owner.clone().unwrap_or_else(none)),
        ("Tags", list(&life.tags).unwrap_or_else(none)),
        ("Tickets", list(&life.tickets).unwrap_or_else(none)),
        ("Merged", list(&life.merged).unwrap_or_else(none)),
        ("Not", list(&life.distinct).unwrap_or_else(none)),
    ] {
        writeln!(session.out, "{name:<9}{}", visible(&value))?;
    }
    for note in &life.notes {
        let when = human::ago(note.at_ms, session.now_ms);
        writeln!(
            session.out,
            "\nNote {} by {}, {when}",
            note.change,
            visible(&note.by.to_string())
        )?;
        paragraph(&note.text, session)?;
    }
    for theory in &life.theories {
        let when = human::ago(theory.at_ms, session.now_ms);
        let verdict = theory.verdict.as_str().to_uppercase();
        let by = visible(&theory.by.to_string());
        writeln!(
            session.out,
            "\nTheory {} ({verdict}) by {by}, {when}",
            theory.id
        )?;
        paragraph(&theory.text, session)?;
        for exhibit in &theory.evidence {
            let by = visible(&exhibit.by.to_string());
            writeln!(
                session.out,
                "  - {} ({by})",
                visible(&self::shown(&exhibit.evidence))
            )?;
        }
        if let Some(why) = &theory.why {
            let judge = theory.judged_by.as_ref().map(ToString::to_string);
            let judge = visible(&judge.unwrap_or_default());
            writeln!(
                session.out,
                "  {}: {} ({judge})",
                theory.verdict.as_str(),
                visible(why)
            )?;
        }
    }
    Ok(())
}

fn paragraph(text: &str, session: &mut Session) -> Result<(), Failure> {
    for line in text.lines() {
        writeln!(session.out, "  {}", visible(line))?;
    }
    Ok(())
}

async fn history(shown: &Shown, session: &mut Session) -> Result<(), Failure> {
    let target = format!("/api/v1/groups/{}/changes", encode(&shown.group));
    let entries: Vec<Entry> = fetch(session, &target, "", None).await?;
    if shown.format == "json" {
        return json(&entries, session);
    }
    let header = ["CHANGE", "WHEN", "WHO", "GROUP", "WHAT"];
    let mut rows: Vec<Vec<Cell>> = vec![header.map(Cell::from).to_vec()];
    for entry in &entries {
        let undone = if entry.undone { " (undone)" } else { "" };
        let what = format!("{}{undone}", told(&entry.change));
        rows.push(vec![
            entry.sequence.to_string().into(),
            human::ago(entry.at_ms, session.now_ms).into(),
            visible(&entry.by.to_string()).into(),
            visible(&entry.group).into(),
            visible(&what).into(),
        ]);
    }
    table::write(&mut session.out, &rows, false)?;
    Ok(())
}

fn json(value: &impl serde::Serialize, session: &mut Session) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    writeln!(session.out, "{}", visible_json(&json))?;
    Ok(())
}
