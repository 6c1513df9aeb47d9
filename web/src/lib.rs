//! What people touch: the API, the pages, the client and the command line.
//!
//! [`routes`] holds every route of the service. Handlers live in [`api`], one file per resource.

pub mod access;
pub mod api;
pub mod cli;
pub mod client;
pub mod compare;
pub mod guard;
pub mod passed;
pub mod peer;
pub mod problem;
pub mod profile;
pub mod routes;
pub mod serve;
pub mod tls;
pub mod ui;

use access::Gate;
use access::front::{Front, enter};
use aground_daemon::Daemon;
use api::feed::Feed;
use axum::Router;
use axum::middleware::from_fn;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What every handler may reach.
#[derive(Clone)]
pub struct App {
    /// The running service.
    pub daemon: Daemon,
    /// Cancelled when the service stops, so that endless answers (event streams) end.
    pub stopping: CancellationToken,
    /// What is asked of who asks.
    pub gate: Arc<Gate>,
    /// What those who follow events share.
    pub feed: Arc<Feed>,
}

impl App {
    /// The state for a running service that is open to this machine.
    pub fn new(daemon: Daemon) -> Self {
        Self::behind(daemon, Gate::default())
    }

    /// The same behind a gate.
    pub fn behind(daemon: Daemon, gate: Gate) -> Self {
        Self {
            daemon,
            stopping: CancellationToken::new(),
            gate: Arc::new(gate),
            feed: Arc::default(),
        }
    }
}

/// All routes, behind the guards that hold for every one of them.
pub fn router(app: App) -> Router {
    Router::new()
        .fallback(enter)
        .with_state(Arc::new(Front::new(app)))
        .layer(from_fn(guard::refuse_cross_site_changes))
        .layer(from_fn(ui::refused::as_page))
        .layer(from_fn(ui::visit::remember))
        .layer(from_fn(guard::harden_responses))
        .layer(from_fn(guard::name_in_log))
}
