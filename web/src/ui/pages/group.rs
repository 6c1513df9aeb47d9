//! `/groups/{ref}`: one cause, where and when it strikes, and why its crashes are one group.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::group_life::LifeView;
use super::group_seen::SeenView;
use super::groups::{GroupRow, WINDOWS, Window};
use super::{Shell, blocking, html};
use crate::App;
use crate::api::grouping::{Explanation as Explained, explanation};
use crate::ui::view::crash::{Row, rows};
use crate::ui::view::svg::{Bars, Share, shares};
use crate::ui::view::text::{self, Brief, LINE};
use crate::ui::view::time;
use aground_analyzer::report::SignatureFrame;
use aground_store::history::History;
use aground_store::lifecycle::{Entry, Life};
use aground_store::likeness::{Likeness, Weight};
use aground_store::types::{Dump, DumpSummary, GroupSummary, Page};
use aground_store::{Query, QueryError, Store};
use askama::Template;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;

/// One frame of the signature.
#[derive(Clone, Debug)]
pub struct SignatureRow {
    /// Normalized function.
    pub function: Brief,
    /// Whether it counts.
    pub kept: bool,
    /// The rule that dropped it, or that says that its caller must be the same too.
    pub rule: Option<String>,
    /// What it weighs.
    pub weight: Option<String>,
}

/// Another group that is much alike.
#[derive(Clone, Debug)]
pub struct NearRow {
    /// Its id.
    pub group: String,
    /// Its signature.
    pub title: Brief,
    /// How alike, from 0 to 1.
    pub likeness: String,
    /// Whether somebody said that they are two bugs.
    pub distinct: bool,
}

/// Why crashes are in this group.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The frames.
    pub frames: Vec<SignatureRow>,
    /// What kind of signature.
    pub kind: &'static str,
    /// Version of the rules.
    pub version: u32,
    /// SHA-256.
    pub hash: String,
    /// So alike a crash must be to join.
    pub same_from: String,
    /// The nearest other groups.
    pub near: Vec<NearRow>,
}

impl Explanation {
    fn new(explained: &Explained) -> Self {
        let weights = explained
            .weights
            .iter()
            .copied()
            .chain(std::iter::repeat(None));
        let row = |(frame, weight): (&SignatureFrame, Option<Weight>)| SignatureRow {
            function: Brief::new(&frame.function, LINE),
            kept: frame.kept,
            rule: frame
                .rule
                .as_ref()
                .or(frame.helper.as_ref())
                .map(|rule| text::clip(rule, 200)),
            weight: weight.map(|weight| format!("{:.2}", weight.weight)),
        };
        let near = |near: &Likeness| NearRow {
            group: near.group.clone(),
            title: Brief::new(&near.title, LINE),
            likeness: format!("{:.2}", near.likeness),
            distinct: near.distinct,
        };
        let kind = match explained.kind.as_str() {
            "symbolic" => "the same functions were on the crashed thread's stack",
            "offsets" => "the same places in the same builds were on the stack (no symbols)",
            "label" => "the container's label aground.group says so",
            _ => "executable and signal are the same (no usable stack)",
        };
        Self {
            frames: explained.frames.iter().zip(weights).map(row).collect(),
            kind,
            version: explained.version,
            hash: text::clip(&explained.hash, 64),
            same_from: format!("{:.2}", explained.same_from),
            near: explained.near.iter().map(near).collect(),
        }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "group.html")]
pub struct GroupPage {
    shell: Shell,
    row: GroupRow,
    life: LifeView,
    seen: SeenView,
    bars: Bars,
    window: Window,
    windows: [Window; 3],
    images: Vec<Share>,
    containers: Vec<Share>,
    hosts: Vec<Share>,
    executables: Vec<Share>,
    latest: String,
    message: Option<Brief>,
    explanation: Option<Explanation>,
    dumps: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

/// What the page is made of.
pub struct Contents {
    /// The group, its histogram finer than in lists.
    pub group: GroupSummary,
    /// Its newest dump, if it is still there.
    pub latest: Option<Dump>,
    /// A page of its dumps.
    pub dumps: Page<DumpSummary>,
    /// What was decided about it.
    pub life: Life,
    /// How that came.
    pub history: Vec<Entry>,
    /// Why its crashes are one group.
    pub explained: Option<Explained>,
    /// Where and since when it was seen.
    pub seen: History,
}

impl GroupPage {
    /// The page of a group.
    pub fn new(request: &ListRequest, contents: &Contents, now_ms: i64) -> Self {
        let Contents {
            group,
            latest,
            dumps,
            life,
            history,
            explained,
            seen,
        } = contents;
        let window = Window::named(&request.window);
        let report = latest.as_ref().and_then(|dump| dump.report.as_ref());
        let message = report
            .and_then(|report| report.cause.message.as_deref())
            .filter(|text| !group.cause_title.contains(*text));
        let (first, next) = request.links(dumps);
        Self {
            shell: Shell::new("groups"),
            row: GroupRow::new(group, window, now_ms),
            life: LifeView::new(life, history, now_ms),
            seen: SeenView::new(seen, now_ms),
            bars: window.bars(&group.histogram),
            window,
            windows: WINDOWS,
            images: shares("image", &group.images),
            containers: shares("container", &group.containers),
            hosts: shares("host", &group.hosts),
            executables: shares("exe", &group.executables),
            latest: group.latest.as_str().to_owned(),
            message: message.map(|message| Brief::new(message, 600)),
            explanation: explained.as_ref().map(Explanation::new),
            dumps: rows(&dumps.items, now_ms),
            first,
            next,
        }
    }

    fn wheres(&self) -> [(&'static str, &[Share]); 4] {
        [
            ("Images", &self.images),
            ("Containers", &self.containers),
            ("Hosts", &self.hosts),
            ("Executables", &self.executables),
        ]
    }
}

/// `GET /groups/{ref}?window=&cursor=`.
pub async fn page(
    State(app): State<App>,
    Path(reference): Path<String>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    let now_ms = time::now_ms();
    let asked = request.clone();
    let read = move |store: &Store| contents(store, &reference, &asked, now_ms);
    let contents = blocking(&app, read).await.map_err(Trouble::of_group)?;
    Ok(html(&GroupPage::new(&request, &contents, now_ms)))
}

fn contents(
    store: &Store,
    reference: &str,
    request: &ListRequest,
    now_ms: i64,
) -> Result<Contents, Trouble> {
    let id = store.resolve_group(reference)?;
    let window = Window::named(&request.window);
    let group = store.group(&id, window.histogram(now_ms, true))?;
    let failed = |error: QueryError| Trouble::internal(&error);
    let query = Query::default()
        .with_filter(&format!("group={id}"))
        .map_err(failed)?;
    Ok(Contents {
        explained: explanation(store, id.clone())?,
        latest: store.dump(&group.latest).ok(),
        dumps: store.dumps(&query, &request.page())?,
        life: store.life(&id)?,
        history: store.group_history(&id)?,
        seen: store.history(&id)?,
        group,
    })
}
