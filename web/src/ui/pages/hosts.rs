//! `/hosts`: what crashes where, and whose hardware is suspect.

use super::dumps::ListRequest;
use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::api::report::HostPage;
use crate::cli::hosts::chance;
use crate::ui::view::text::{self, Brief};
use aground_store::hosts::HostCrashes;
use aground_store::{Store, StoreError};
use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;

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
    first: Option<String>,
    next: Option<String>,
    suspects: usize,
    too_little: Option<String>,
}

impl HostsPage {
    /// A page of hosts, so many of all being suspect.
    pub fn new(request: &ListRequest, hosts: &HostPage, suspects: usize) -> Self {
        let (first, next) = request.links(&hosts.page);
        Self {
            shell: Shell::new("hosts"),
            rows: hosts.page.items.iter().map(Row::new).collect(),
            first,
            next,
            suspects,
            too_little: hosts.too_little.clone(),
        }
    }
}

/// `GET /hosts`.
pub async fn page(
    State(app): State<App>,
    Parameters(request): Parameters<ListRequest>,
) -> Result<Response, Trouble> {
    let wanted = request.page();
    let read = move |store: &Store| {
        let hosts = store.hosts()?;
        let suspects = hosts.hosts.iter().filter(|host| host.suspect).count();
        Ok((HostPage::new(hosts, &wanted)?, suspects))
    };
    let (hosts, suspects) = blocking::<_, StoreError, _>(&app, read).await?;
    Ok(html(&HostsPage::new(&request, &hosts, suspects)))
}
