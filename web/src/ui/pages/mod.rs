//! A file per page: its handler, and the data its template shows.

pub mod audit;
pub mod compare;
pub mod dump;
pub mod dump_forms;
pub mod dumps;
pub mod error;
pub mod group;
pub mod group_diff;
pub mod group_life;
pub mod group_seen;
pub mod groups;
pub mod hosts;
pub mod images;
pub mod import;
pub mod investigations;
pub mod overview;
pub mod report;
pub mod rules_try;
pub mod settings;
pub mod sign_in;
pub mod status;
pub mod symbols;
pub mod tokens;

use super::assets;
use super::theme::Theme;
use super::visit::{self, May};
use crate::App;
use aground_store::Store;
use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use error::Trouble;

/// The parts of the site: word, address, name.
pub const PARTS: [(&str, &str, &str); 10] = [
    ("overview", "/", "Overview"),
    ("groups", "/groups", "Groups"),
    ("dumps", "/dumps", "Crashes"),
    ("images", "/images", "Images"),
    ("hosts", "/hosts", "Hosts"),
    ("symbols", "/symbols", "Symbols"),
    ("report", "/report", "Report"),
    ("investigations", "/investigations", "Investigations"),
    ("settings", "/settings", "Settings"),
    ("status", "/status", "Status"),
];

/// What surrounds every page.
#[derive(Clone, Debug, Default)]
pub struct Shell {
    /// The part of the site, a word of [`PARTS`], or nothing.
    pub part: &'static str,
    /// Text of the search box.
    pub query: String,
}

impl Shell {
    /// Around a page of a part.
    pub fn new(part: &'static str) -> Self {
        Self::searching(part, "")
    }

    /// The same with a query in the search box.
    pub fn searching(part: &'static str, query: &str) -> Self {
        Self {
            part,
            query: query.to_owned(),
        }
    }

    /// Where the search box leads.
    pub fn search_action(&self) -> &'static str {
        if self.part == "dumps" {
            "/dumps"
        } else {
            "/groups"
        }
    }

    /// The parts of the site that the reader may see.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let may = self.may();
        PARTS.into_iter().filter(move |(part, ..)| match *part {
            "overview" | "symbols" | "investigations" | "status" => may.read_all(),
            "settings" => may.admin_all(),
            _ => !visit::signed_out(),
        })
    }

    /// What the reader may.
    pub fn may(&self) -> May {
        May
    }

    /// Whether nobody has signed in, and that is needed.
    pub fn signed_out(&self) -> bool {
        visit::signed_out()
    }

    /// The page whose form is being answered.
    pub fn back(&self) -> Option<String> {
        visit::back()
    }

    /// The look that was chosen.
    pub fn theme(&self) -> Theme {
        visit::theme()
    }

    /// The token that the reader signed in with.
    pub fn signed_in(&self) -> Option<String> {
        visit::signed_in()
    }

    /// File name of the style sheet.
    pub fn style(&self) -> &'static str {
        assets::style()
    }

    /// File name of the icon.
    pub fn icon(&self) -> &'static str {
        assets::icon()
    }

    /// File name of the keyboard script.
    pub fn keys(&self) -> &'static str {
        assets::keys()
    }

    /// File name of the script that keeps pages fresh.
    pub fn live(&self) -> &'static str {
        assets::live()
    }
}

/// A page as an answer.
pub fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => Trouble::internal(&error).into_response(),
    }
}

/// Runs a call that blocks on disk where it does not hold up other requests.
pub async fn blocking<T, E, F>(app: &App, call: F) -> Result<T, Trouble>
where
    T: Send + 'static,
    E: Into<Trouble> + Send + 'static,
    F: FnOnce(&Store) -> Result<T, E> + Send + 'static,
{
    let daemon = app.daemon.clone();
    tokio::task::spawn_blocking(move || call(daemon.store()))
        .await
        .map_err(|error| Trouble::internal(&error))?
        .map_err(Into::into)
}
