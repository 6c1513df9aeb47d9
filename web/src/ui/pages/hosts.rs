//! `/hosts`: what crashes where, and whose hardware is suspect.

use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::cli::hosts::chance;
use crate::ui::view::text::{self, Brief};
use aground_store::hosts::{HostCrashes, Hosts};
use aground_store::{Store, StoreError};
use askama::Template;
use axum::extract::State;
use axum::response::Response;

/// The most rows; the command line shows all.
const MOST: usize = 500;

#[derive(Clone, Debug)]
struct Row {
    host: Brief,
    link: String,
    crashes: String,
    groups: String,
    alone: String,
    usual: String,
    executables: String,
    chance: String,
    suspect: bool,
}

impl Row {
    fn new(host: &HostCrashes) -> Self {
        Self {
            host: Brief::named(&host.host, 120),
            link: text::url(&format!("host:{}", text::query_value(&host.host))),
            crashes: text::grouped(host.crashes),
            groups: text::grouped(host.groups),
            alone: text::grouped(host.alone),
            usual: format!("{:.1}", host.usual),
            executables: text::grouped(host.executables),
            chance: chance(host.p),
            suspect: host.suspect,
        }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "hosts.html")]
pub struct HostsPage {
    shell: Shell,
    rows: Vec<Row>,
    left_out: usize,
    suspects: usize,
    too_little: Option<String>,
}

impl HostsPage {
    /// The page of all hosts.
    pub fn new(hosts: &Hosts) -> Self {
        Self {
            shell: Shell::new("hosts"),
            rows: hosts.hosts.iter().take(MOST).map(Row::new).collect(),
            left_out: hosts.hosts.len().saturating_sub(MOST),
            suspects: hosts.hosts.iter().filter(|host| host.suspect).count(),
            too_little: hosts.too_little.clone(),
        }
    }
}

/// `GET /hosts`.
pub async fn page(State(app): State<App>) -> Result<Response, Trouble> {
    let hosts = blocking::<_, StoreError, _>(&app, Store::hosts).await?;
    Ok(html(&HostsPage::new(&hosts)))
}
