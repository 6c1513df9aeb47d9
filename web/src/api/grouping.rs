//! Explains groups, compares two, and tries rules.

use super::blocking;
use super::parameters::{Parameters, Path};
use crate::App;
use crate::problem::Problem;
use aground_analyzer::group::{Rules, SAME, align};
use aground_analyzer::report::{Signature, SignatureFrame};
use aground_helper::id::DumpId;
use aground_store::likeness::{Likeness, Weight};
use aground_store::trial::Trial;
use aground_store::{Store, StoreError};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// Other groups that an explanation names.
const NEAR: usize = 5;
/// Crashes that rules are tried on, unless asked otherwise.
pub const TRIED: u32 = 1000;
/// The most crashes that rules are tried on.
pub const MOST_TRIED: u32 = 100_000;

/// Why the crashes of a group are one group: its signature, frame by frame, as its newest crash
/// has it, and how near other groups are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The group's id.
    pub group: String,
    /// The dump whose frames these are.
    pub dump: DumpId,
    /// Version of the rules.
    pub version: u32,
    /// What tells the service's own rules from others; empty without any.
    #[serde(default)]
    pub rules: String,
    /// `symbolic`, `offsets`, `facts`, or `label` where the container's label decides.
    pub kind: String,
    /// What the cause looks like; crashes of other classes are not compared.
    #[serde(default)]
    pub class: String,
    /// Readable signature.
    pub title: String,
    /// SHA-256 that the group is found by.
    pub hash: String,
    /// Every frame that was looked at and what became of it.
    pub frames: Vec<SignatureFrame>,
    /// What each frame weighs; nothing for those that do not count.
    #[serde(default)]
    pub weights: Vec<Option<Weight>>,
    /// So alike a crash must be to one of the group to join it.
    #[serde(default)]
    pub same_from: f64,
    /// The most similar other signature of the group itself, if it has several.
    #[serde(default)]
    pub joined: Option<Likeness>,
    /// The nearest other groups.
    #[serde(default)]
    pub near: Vec<Likeness>,
}

/// `GET /api/v1/groups/{ref}/explain`.
pub async fn explain(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Explanation>, Problem> {
    let group = blocking(&app, move |store| store.resolve_group(&reference)).await?;
    let explained = blocking(&app, move |store| explanation(store, group)).await?;
    explained.map(Json).ok_or_else(no_report)
}

fn no_report() -> Problem {
    Problem::not_found("the newest dump of this group has no report any more")
}

/// Explains a group; nothing when its newest dump has no report.
pub fn explanation(store: &Store, group: String) -> Result<Option<Explanation>, StoreError> {
    let Some((dump, signature)) = newest(store, &group)? else {
        return Ok(None);
    };
    let (own, others): (Vec<Likeness>, Vec<Likeness>) = store
        .like(&dump)?
        .into_iter()
        .partition(|near| near.group == group);
    Ok(Some(Explanation {
        weights: store.weights(&signature)?,
        same_from: SAME,
        joined: own.into_iter().next(),
        near: others.into_iter().take(NEAR).collect(),
        group,
        dump,
        version: signature.version,
        rules: signature.rules,
        kind: signature.kind,
        class: signature.class,
        title: signature.title,
        hash: signature.hash,
        frames: signature.frames,
    }))
}

fn newest(store: &Store, group: &str) -> Result<Option<(DumpId, Signature)>, StoreError> {
    let dump = store.group(group, super::groups::last_day())?.latest;
    let report = store.report(&dump);
    Ok(report.map(|report| (dump, report.signature)))
}

/// Two groups side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// The one and the other.
    pub groups: [Side; 2],
    /// How alike the signatures of their newest crashes are, whatever their classes.
    pub likeness: f64,
    /// So alike they must be to be one group, when they are of one class.
    pub same_from: f64,
    /// Both stacks, aligned.
    pub rows: Vec<[Option<SignatureFrame>; 2]>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The group's id.
    pub group: String,
    /// Its newest dump.
    pub dump: DumpId,
    /// Readable signature.
    pub title: String,
    /// What the cause looks like.
    pub class: String,
}

/// `GET /api/v1/groups/{ref}/diff/{other}`.
pub async fn diff(
    State(app): State<App>,
    Path((one, other)): Path<(String, String)>,
) -> Result<Json<Diff>, Problem> {
    let one = blocking(&app, move |store| store.resolve_group(&one)).await?;
    let other = blocking(&app, move |store| store.resolve_group(&other)).await?;
    let diff = blocking(&app, move |store| compare(store, one, other)).await?;
    diff.map(Json).ok_or_else(no_report)
}

/// Puts two groups side by side; nothing when the newest dump of one has no report.
pub fn compare(store: &Store, one: String, other: String) -> Result<Option<Diff>, StoreError> {
    let (Some(left), Some(right)) = (newest(store, &one)?, newest(store, &other)?) else {
        return Ok(None);
    };
    let side = |group, (dump, signature): &(DumpId, Signature)| Side {
        group,
        dump: dump.clone(),
        title: signature.title.clone(),
        class: signature.class.clone(),
    };
    let rows = align(&left.1.frames, &right.1.frames);
    let row = |(left, right): (Option<&SignatureFrame>, Option<&SignatureFrame>)| {
        [left.cloned(), right.cloned()]
    };
    Ok(Some(Diff {
        groups: [side(one, &left), side(other, &right)],
        likeness: store.likeness(&left.1, &right.1)?,
        same_from: SAME,
        rows: rows.into_iter().map(row).collect(),
    }))
}

/// Rules to be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TryRequest {
    /// The text of a rules file.
    pub rules: String,
    /// On so many crashes, the newest.
    #[serde(default)]
    pub last: Option<u32>,
}

/// `POST /api/v1/groups/try`.
pub async fn try_rules(
    State(app): State<App>,
    parameters: Parameters,
    request: Result<Json<TryRequest>, JsonRejection>,
) -> Result<Json<Trial>, Problem> {
    parameters.only(&[])?;
    let wrong = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad-rules", detail);
    let Json(request) = request.map_err(|rejection| wrong(rejection.body_text()))?;
    let rules = Rules::with_own(&request.rules).map_err(|error| wrong(error.to_string()))?;
    let last = request.last.unwrap_or(TRIED).clamp(1, MOST_TRIED);
    let daemon = app.daemon.clone();
    let trial = blocking(&app, move |store| {
        store.try_rules(&daemon.grouping_rules(), &rules, last)
    });
    Ok(Json(trial.await?))
}
