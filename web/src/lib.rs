//! What people touch: the API, the pages, the client and the command line.
//!
//! This page holds every route of the service. Handlers live in [`api`], one file per resource.

pub mod api;
pub mod cli;
pub mod client;
pub mod guard;
pub mod peer;
pub mod problem;
pub mod serve;
pub mod ui;

use aground_daemon::Daemon;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{delete, get, post, put};
use tokio_util::sync::CancellationToken;

/// What every handler may reach.
#[derive(Clone)]
pub struct App {
    /// The running service.
    pub daemon: Daemon,
    /// Cancelled when the service stops, so that endless answers (event streams) end.
    pub stopping: CancellationToken,
}

impl App {
    /// The state for a running service.
    pub fn new(daemon: Daemon) -> Self {
        Self {
            daemon,
            stopping: CancellationToken::new(),
        }
    }
}

/// All routes, behind the guards that hold for every one of them.
pub fn router(app: App) -> Router {
    use api::{
        cores, decisions, doctor, dumps, events, governor, grouping, groups, health, import,
        modules, notify, prune, report, rules, searches, status, symbols,
    };
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(status::metrics))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/doctor", get(doctor::examine))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/dumps", get(dumps::list))
        .route(
            "/api/v1/dumps/{ref}",
            get(dumps::show).delete(dumps::remove),
        )
        .route("/api/v1/dumps/{ref}/record", get(dumps::record))
        .route("/api/v1/dumps/{ref}/report", get(dumps::report))
        .route("/api/v1/dumps/{ref}/log", get(dumps::log))
        .route("/api/v1/dumps/{ref}/analyze", post(dumps::analyze))
        .route(
            "/api/v1/dumps/{ref}/pin",
            put(dumps::pin).delete(dumps::unpin),
        )
        .route("/api/v1/dumps/{ref}/core", get(cores::download))
        .route(
            "/api/v1/dumps/{ref}/modules/{sha256}",
            get(modules::download),
        )
        .route("/api/v1/import", post(import::import))
        .route("/api/v1/symbols", get(symbols::list).post(symbols::upload))
        .route("/api/v1/symbols/missing", get(symbols::missing))
        .route("/api/v1/symbols/fetch", post(symbols::fetch))
        .route(
            "/api/v1/symbols/{build_id}",
            get(symbols::download).delete(symbols::remove),
        )
        .route("/api/v1/prune", post(prune::prune))
        .route(
            "/api/v1/governor",
            get(governor::list).delete(governor::reset_all),
        )
        .route("/api/v1/governor/{key}", delete(governor::reset_one))
        .route("/api/v1/notify", get(notify::list))
        .route("/api/v1/rules", get(rules::list))
        .route("/api/v1/rules/run", post(rules::run))
        .route("/api/v1/dumps/{ref}/properties", get(rules::properties))
        .route("/api/v1/notify/{name}/test", post(notify::test))
        .route("/api/v1/groups", get(groups::list))
        .route("/api/v1/groups/{ref}", get(groups::show))
        .route("/api/v1/groups/{ref}/dumps", get(groups::dumps))
        .route("/api/v1/groups/{ref}/explain", get(grouping::explain))
        .route("/api/v1/groups/{ref}/diff/{other}", get(grouping::diff))
        .route("/api/v1/groups/try", post(grouping::try_rules))
        .route("/api/v1/groups/{ref}/seen", get(groups::seen))
        .route("/api/v1/report", get(report::report))
        .route("/api/v1/hosts", get(report::hosts))
        .route("/api/v1/searches", get(searches::list))
        .route(
            "/api/v1/searches/{name}",
            put(searches::save).delete(searches::remove),
        )
        .route("/api/v1/groups/{ref}/life", get(decisions::life))
        .route(
            "/api/v1/groups/{ref}/changes",
            get(decisions::history).post(decisions::change_group),
        )
        .merge(ui::routes())
        .fallback(health::no_such_page)
        .method_not_allowed_fallback(health::no_such_method)
        .layer(from_fn(guard::refuse_cross_site_changes))
        .layer(from_fn(guard::harden_responses))
        .with_state(app)
}
