//! `/groups/{ref}/diff/{other}`: two groups side by side, to be merged or told apart;
//! `/groups/proposals`: the pairs that may be one.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::api::grouping::{Diff, Side, compare};
use crate::api::regroup::page_of;
use crate::ui::view::text::{Brief, LINE};
use crate::ui::view::time::{self, Moment};
use aground_analyzer::report::SignatureFrame;
use aground_store::Store;
use aground_store::proposals::{Proposal, Proposed};
use askama::Template;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;

/// A frame of one of the stacks.
#[derive(Clone, Debug)]
struct Half {
    function: Brief,
    kept: bool,
    /// Why it does not count, or not alone.
    rule: Brief,
}

impl Half {
    fn new(frame: &SignatureFrame) -> Self {
        let rule = frame.rule.as_ref().or(frame.helper.as_ref());
        Self {
            function: Brief::new(&frame.function, LINE),
            kept: frame.kept,
            rule: Brief::new(rule.map_or("", String::as_str), 200),
        }
    }
}

/// A group at the head of its column.
#[derive(Clone, Debug)]
struct Head {
    group: String,
    title: Brief,
    class: Brief,
}

impl Head {
    fn new(side: &Side) -> Self {
        Self {
            group: side.group.clone(),
            title: Brief::new(&side.title, LINE),
            class: Brief::new(&side.class, LINE),
        }
    }
}

#[derive(Template)]
#[template(path = "group_diff.html")]
struct DiffPage {
    shell: Shell,
    heads: [Head; 2],
    /// Whether crashes of both are compared at all.
    one_class: bool,
    likeness: String,
    same_from: String,
    rows: Vec<[Option<Half>; 2]>,
}

impl DiffPage {
    fn new(diff: &Diff) -> Self {
        let [one, other] = &diff.groups;
        let half = |frame: &Option<SignatureFrame>| frame.as_ref().map(Half::new);
        Self {
            shell: Shell::new("groups"),
            heads: [Head::new(one), Head::new(other)],
            one_class: one.class == other.class,
            likeness: format!("{:.2}", diff.likeness),
            same_from: format!("{:.2}", diff.same_from),
            rows: diff
                .rows
                .iter()
                .map(|[left, right]| [half(left), half(right)])
                .collect(),
        }
    }
}

/// `GET /groups/{ref}/diff/{other}`.
pub async fn page(
    State(app): State<App>,
    Path((one, other)): Path<(String, String)>,
) -> Result<Response, Trouble> {
    let read = move |store: &Store| -> Result<Option<Diff>, Trouble> {
        let (one, other) = (store.resolve_group(&one)?, store.resolve_group(&other)?);
        Ok(compare(store, one, other)?)
    };
    let diff = blocking(&app, read).await.map_err(Trouble::of_group)?;
    let gone = "The newest crash of one of these groups has no report any more.";
    let diff = diff.ok_or_else(|| Trouble::not_found(gone.to_owned()))?;
    Ok(html(&DiffPage::new(&diff)))
}

/// One of a pair.
#[derive(Clone, Debug)]
struct Candidate {
    group: String,
    title: Brief,
    crashes: u64,
}

impl Candidate {
    fn new(proposed: &Proposed) -> Self {
        Self {
            group: proposed.group.clone(),
            title: Brief::new(&proposed.title, LINE),
            crashes: proposed.crashes,
        }
    }
}

/// A pair.
#[derive(Clone, Debug)]
struct Pair {
    one: Candidate,
    other: Candidate,
    likeness: String,
    shared: Brief,
    found: Moment,
}

impl Pair {
    fn new(proposal: &Proposal, now_ms: i64) -> Self {
        Self {
            one: Candidate::new(&proposal.one),
            other: Candidate::new(&proposal.other),
            likeness: format!("{:.2}", proposal.likeness),
            shared: Brief::new(&proposal.shared, 200),
            found: Moment::new(proposal.found_at_ms, now_ms),
        }
    }
}

#[derive(Template)]
#[template(path = "proposals.html")]
struct ProposalsPage {
    shell: Shell,
    pairs: Vec<Pair>,
    first: Option<String>,
    next: Option<String>,
}

/// `GET /groups/proposals`.
pub async fn proposals(
    State(app): State<App>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    let all = blocking(&app, |store| store.proposals(usize::MAX)).await?;
    let page = page_of(all, &request.page())?;
    let (first, next) = request.links(&page);
    let now_ms = time::now_ms();
    Ok(html(&ProposalsPage {
        shell: Shell::new("groups"),
        first,
        next,
        pairs: page
            .items
            .iter()
            .map(|proposal| Pair::new(proposal, now_ms))
            .collect(),
    }))
}
