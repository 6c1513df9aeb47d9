//! Decides about groups: states, merges and splits, words, theories; shows what was decided.

use super::parameters::{Parameters, Path};
use super::{blocking, paging};
use crate::App;
use crate::cli::moment;
use crate::peer::By;
use crate::problem::Problem;
use aground_store::Store;
use aground_store::lifecycle::{
    Actor, Change, Changed, Entry, Evidence, ImageMark, Life, Split, Until, Verdict,
};
use aground_store::types::Page;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What somebody decides about a group. References are ids or beginnings of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decision {
    /// Its cause is no more: everywhere, or in an image and later ones.
    Resolve {
        /// Reference (`shop/api:1.4`), reference with digest, or the beginning of a digest that a
        /// crash has shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<String>,
    },
    /// Not to be told of it, for good or until one of these.
    Ignore {
        /// So many more crashes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        crashes: Option<u64>,
        /// A date (`2026-12-01`), Unix seconds, or a duration from now (`7d`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// Open again. Not a unit: serde would let fields pass that nobody knows.
    Reopen {},
    /// Its crashes, those to come too, belong to another group.
    Merge {
        /// That one.
        into: String,
    },
    /// It is another bug than another group's: nobody proposes to merge them any more.
    Distinct {
        /// That one.
        from: String,
    },
    /// Some of its crashes, those to come too, become a group of their own.
    Split {
        /// Those with the signatures of these dumps.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dumps: Vec<String>,
        /// Those that match.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
    /// A change is taken back.
    Undo {
        /// Which; the last without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<i64>,
    },
    /// A word to find it by.
    Tag {
        /// The word.
        tag: String,
    },
    /// No longer that word.
    Untag {
        /// The word.
        tag: String,
    },
    /// Where it is worked on.
    Ticket {
        /// A link or a name.
        ticket: String,
    },
    /// No longer there.
    Unticket {
        /// The link or name.
        ticket: String,
    },
    /// Who looks after it; nobody without a name.
    Owner {
        /// Their name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    /// Something worth knowing.
    Note {
        /// The text.
        text: String,
    },
    /// What the cause may be.
    Theory {
        /// The text.
        text: String,
    },
    /// What speaks for or against a theory: one of these.
    Evidence {
        /// The theory's number.
        theory: i64,
        /// A crash.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dump: Option<String>,
        /// A remark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// Something elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<String>,
    },
    /// What became of a theory.
    Verdict {
        /// The theory's number.
        theory: i64,
        /// `proposed`, `proven` or `disproven`.
        verdict: Verdict,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
}

/// Fields of forms that are numbers.
const NUMBERS: [&str; 3] = ["crashes", "change", "theory"];

impl Decision {
    /// Reads a form. Empty fields are as if they were not there; `dumps` are separated by spaces.
    pub fn from_form(fields: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut object = Map::new();
        for (name, text) in fields {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            let value = match name.as_str() {
                "dumps" => text.split_whitespace().collect(),
                number if NUMBERS.contains(&number) => text
                    .parse::<i64>()
                    .map(Value::from)
                    .map_err(|_| Problem::bad_parameter(format!("{name} is not a number")))?,
                _ => Value::from(text),
            };
            object.insert(name, value);
        }
        let object = Value::Object(object);
        serde_json::from_value(object).map_err(|error| Problem::bad_parameter(error.to_string()))
    }
}

/// Carries a decision out on the group that a reference names.
pub fn decide(
    store: &Store,
    by: &Actor,
    reference: &str,
    decision: Decision,
) -> Result<Changed, Problem> {
    let group = store.resolve_group(reference)?;
    let change = match decision {
        Decision::Split { dumps, query } => {
            let split = split(store, &dumps, query)?;
            return Ok(store.split_group(by, &group, split)?);
        }
        Decision::Undo { change } => return Ok(store.undo_group_change(by, &group, change)?),
        other => change(store, other)?,
    };
    Ok(store.change_group(by, &group, change)?)
}

fn split(store: &Store, dumps: &[String], query: Option<String>) -> Result<Split, Problem> {
    match (dumps, query) {
        ([], Some(query)) => Ok(Split::Query(query)),
        ([_, ..], None) => {
            let mut signatures = vec![];
            for dump in dumps {
                signatures.push(store.signature_of(&store.resolve_dump(dump)?)?);
            }
            signatures.sort();
            signatures.dedup();
            Ok(Split::Signatures(signatures))
        }
        _ => Err(Problem::bad_parameter(
            "a split needs either dumps, whose signatures part, or a query",
        )),
    }
}

fn change(store: &Store, decision: Decision) -> Result<Change, Problem> {
    Ok(match decision {
        Decision::Resolve { image } => Change::Resolve {
            image: image
                .map(|image| store.meant_image(&image))
                .transpose()?
                .filter(|mark: &ImageMark| !mark.reference.is_empty()),
        },
        Decision::Ignore { crashes, until } => Change::Ignore {
            until: ignored_until(crashes, until)?,
        },
        Decision::Reopen {} => Change::Reopen { why: None },
        Decision::Merge { into } => Change::Merge {
            into: store.resolve_group(&into)?,
        },
        Decision::Distinct { from } => Change::Distinct {
            from: store.resolve_group(&from)?,
        },
        Decision::Tag { tag } => Change::Tag { tag },
        Decision::Untag { tag } => Change::Untag { tag },
        Decision::Ticket { ticket } => Change::Ticket { ticket },
        Decision::Unticket { ticket } => Change::Unticket { ticket },
        Decision::Owner { owner } => Change::Owner { owner },
        Decision::Note { text } => Change::Note { text },
        Decision::Theory { text } => Change::Theory { text },
        Decision::Evidence {
            theory,
            dump,
            note,
            link,
        } => Change::Evidence {
            theory,
            evidence: evidence(store, dump, note, link)?,
        },
        Decision::Verdict {
            theory,
            verdict,
            why,
        } => Change::Verdict {
            theory,
            verdict,
            why,
        },
        Decision::Split { .. } | Decision::Undo { .. } => {
            return Err(Problem::bad_parameter("this is not one change"));
        }
    })
}

fn ignored_until(crashes: Option<u64>, until: Option<String>) -> Result<Until, Problem> {
    match (crashes, until) {
        (None, None) => Ok(Until::Reopened),
        (Some(crashes), None) => Ok(Until::Crashes(crashes)),
        (None, Some(text)) => {
            let now = Timestamp::now();
            let bad = |error: moment::InvalidMoment| Problem::bad_parameter(error.to_string());
            let moment = moment::parse(&text, now, &TimeZone::system()).map_err(bad)?;
            // A duration means the time to come here: `7d` is a week from now.
            let until = if is_duration(&text) {
                now.as_millisecond() * 2 - moment.as_millisecond()
            } else {
                moment.as_millisecond()
            };
            if until <= now.as_millisecond() {
                return Err(Problem::bad_parameter(format!(
                    "until \"{text}\" is in the past"
                )));
            }
            Ok(Until::Date(until))
        }
        (Some(_), Some(_)) => Err(Problem::bad_parameter(
            "a group is ignored until so many crashes or until a date, not both",
        )),
    }
}

/// As `moment::parse` takes it: it ends in a unit.
fn is_duration(text: &str) -> bool {
    let unit = text.trim().ends_with(|c: char| c.is_ascii_lowercase());
    unit && !text.contains(['T', 'Z'])
}

fn evidence(
    store: &Store,
    dump: Option<String>,
    note: Option<String>,
    link: Option<String>,
) -> Result<Evidence, Problem> {
    match (dump, note, link) {
        (Some(dump), None, None) => Ok(Evidence::Dump(store.resolve_dump(&dump)?)),
        (None, Some(note), None) => Ok(Evidence::Note(note)),
        (None, None, Some(link)) => Ok(Evidence::Link(link)),
        _ => Err(Problem::bad_parameter(
            "evidence is one of dump, note and link",
        )),
    }
}

/// `POST /api/v1/groups/{ref}/changes` with a [`Decision`]. What is so already changes nothing.
pub async fn change_group(
    State(app): State<App>,
    By(by): By,
    Path(reference): Path<String>,
    decision: Result<Json<Decision>, JsonRejection>,
) -> Result<Json<Changed>, Problem> {
    let Json(decision) = decision.map_err(|error| Problem::bad_parameter(error.body_text()))?;
    let changed = blocking(&app, move |store| decide(store, &by, &reference, decision)).await?;
    Ok(Json(changed))
}

/// `GET /api/v1/groups/{ref}/life`: what was decided, so far as it holds.
pub async fn life(
    State(app): State<App>,
    Path(reference): Path<String>,
    parameters: Parameters,
) -> Result<Json<Life>, Problem> {
    parameters.only(&[])?;
    let id = blocking(&app, move |store| store.resolve_group(&reference)).await?;
    Ok(Json(blocking(&app, move |store| store.life(&id)).await?))
}

/// `GET /api/v1/groups/{ref}/changes?limit=&cursor=`: every change, oldest first.
pub async fn history(
    State(app): State<App>,
    Path(reference): Path<String>,
    parameters: Parameters,
) -> Result<Json<Page<Entry>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let page = parameters.page()?;
    let id = blocking(&app, move |store| store.resolve_group(&reference)).await?;
    let entries = blocking(&app, move |store| store.group_history(&id)).await?;
    let place = |entry: &Entry| entry.sequence;
    Ok(Json(paging::page("changes", entries, place, &page)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Result<Decision, String> {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Decision::from_form(fields).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn forms_say_what_bodies_say() {
        assert_eq!(
            form(&[("kind", "ignore"), ("crashes", " 10 "), ("until", "")]),
            Ok(Decision::Ignore {
                crashes: Some(10),
                until: None
            })
        );
        assert_eq!(
            form(&[("kind", "resolve"), ("image", "")]),
            Ok(Decision::Resolve { image: None })
        );
        assert_eq!(
            form(&[("kind", "split"), ("dumps", "ab cd")]),
            Ok(Decision::Split {
                dumps: vec!["ab".into(), "cd".into()],
                query: None
            })
        );
        for (fields, expected) in [
            (vec![("kind", "explode")], "unknown variant `explode`"),
            (vec![("kind", "tag")], "missing field `tag`"),
            (
                vec![("kind", "undo"), ("change", "x")],
                "change is not a number",
            ),
            (
                vec![("kind", "tag"), ("tag", "a"), ("colour", "b")],
                "unknown field `colour`",
            ),
        ] {
            let error = form(&fields).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_duration_until_which_is_ignored_lies_ahead() {
        let now = Timestamp::now().as_millisecond();
        let until = |text: &str| match ignored_until(None, Some(text.to_owned())) {
            Ok(Until::Date(at)) => Ok(at),
            Ok(other) => panic!("{other:?}"),
            Err(problem) => Err(problem.detail().to_owned()),
        };
        let week = until("7d").unwrap() - now;
        assert!((week - 7 * 86_400_000).abs() < 60_000, "{week}");
        assert!(until("2099-01-01").unwrap() > now);
        assert!(until("2001-01-01").unwrap_err().contains("in the past"));
        assert!(until("soon").is_err());
    }
}
