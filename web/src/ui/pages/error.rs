//! What went wrong, as a page in the look of the others.

use super::Shell;
use crate::problem::{Problem, ProblemBody};
use crate::ui::view::text;
use aground_daemon::ImportError;
use aground_store::{QueryError, ResolveError, StoreError};
use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use std::error::Error;

/// What may have happened to what is not there.
const CUT: &str = "It may have been removed, or the link was cut.";

/// Why a page cannot be shown.
#[derive(Clone, Debug)]
pub struct Trouble(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    status: StatusCode,
    title: String,
    detail: String,
    hint: &'static str,
    /// Full ids a reference may mean, and the path they are below.
    candidates: Vec<String>,
    below: &'static str,
    query: Option<WrongQuery>,
    /// Where to sign in with a token that may.
    sign_in: Option<String>,
}

/// A query and the place where it is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct WrongQuery {
    before: String,
    wrong: String,
    after: String,
    /// The query with the nearest word in the place of the wrong one, and its link.
    meant: Option<(String, String)>,
}

impl WrongQuery {
    fn new(text: &str, error: &QueryError) -> Self {
        let (before, rest) = text.split_at(text.floor_char_boundary(error.offset));
        let (wrong, after) = rest.split_at(rest.floor_char_boundary(error.length));
        let meant = error.suggestion.as_ref();
        Self {
            before: before.to_owned(),
            wrong: wrong.to_owned(),
            after: after.to_owned(),
            meant: meant.map(|word| {
                let meant = format!("{before}{word}{after}");
                let link = format!("?query={}", text::url(&meant));
                (meant, link)
            }),
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    trouble: Details,
}

impl Trouble {
    fn new(status: StatusCode, title: &str, detail: String, hint: &'static str) -> Self {
        Self(Box::new(Details {
            status,
            title: title.to_owned(),
            detail,
            hint,
            candidates: Vec::new(),
            below: "/dumps/",
            query: None,
            sign_in: None,
        }))
    }

    /// The service failed: the log knows why, the page does not.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = crate::problem::chain(error), "a page failed");
        let detail = "The service failed to answer. Its log says why.".to_owned();
        let hint = "Reload in a moment; if it stays, look at the status page and the log.";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something broke here",
            detail,
            hint,
        )
    }

    /// A form that cannot be read.
    pub fn bad_upload(detail: &str) -> Self {
        let title = "This upload cannot be read";
        let hint = "Choose a file and send it again.";
        Self::new(StatusCode::BAD_REQUEST, title, detail.to_owned(), hint)
    }

    /// A query that cannot be read.
    pub fn bad_query(text: &str, error: &QueryError) -> Self {
        let title = "This search cannot be read";
        let hint = "The part marked above is what is wrong.";
        let mut trouble = Self::new(StatusCode::BAD_REQUEST, title, error.message.clone(), hint);
        trouble.0.query = Some(WrongQuery::new(text, error));
        trouble
    }

    /// The same, with references of groups.
    #[must_use]
    pub fn of_group(mut self) -> Self {
        self.0.below = "/groups/";
        self
    }

    /// What was asked for is not there.
    pub fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Nothing here", detail, CUT)
    }

    /// A refusal, and where to sign in when that may help.
    pub fn refused(problem: &ProblemBody, status: StatusCode, sign_in: &str) -> Self {
        const ROLES: &str = "Sign in with a token that may. Whoever runs this service makes one \
                             with “aground token create”.";
        let (title, hint) = match problem.code.as_str() {
            "role" | "scope" => ("Not permitted", ROLES),
            "no-token" | "bad-token" => (
                "You are not signed in",
                "Nothing was changed. Sign in, go back, and send it again.",
            ),
            "cross-site" => (
                "This was not sent from a page of ours",
                "Nothing was changed. Do it again from its page here.",
            ),
            "not-found" => ("Nothing here", CUT),
            "too-many" => ("Too much at once", "Wait a moment, then reload."),
            "no-room" => (
                "There is no room",
                "The status page says what the disk is used for.",
            ),
            _ => (problem.title.as_str(), ""),
        };
        let detail = if problem.code == "no-token" {
            "Your session has ended, or there was none.".to_owned()
        } else {
            format!("{}.", text::capital(&text::clip(&problem.detail, 600)))
        };
        let mut trouble = Self::new(status, title, detail, hint);
        let helps = matches!(
            problem.code.as_str(),
            "role" | "scope" | "no-token" | "bad-token"
        );
        trouble.0.sign_in = helps.then(|| sign_in.to_owned());
        trouble
    }

    /// The page itself.
    pub fn page(&self) -> Result<String, askama::Error> {
        let query = self.0.query.as_ref();
        let text = query
            .map(|q| format!("{}{}{}", q.before, q.wrong, q.after))
            .unwrap_or_default();
        let shell = Shell::searching("", &text);
        let trouble = Details::clone(&self.0);
        ErrorPage { shell, trouble }.render()
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self.page() {
            Ok(page) => (self.0.status, Html(page)).into_response(),
            Err(_) => (self.0.status, self.0.detail).into_response(),
        }
    }
}

impl From<ImportError> for Trouble {
    fn from(error: ImportError) -> Self {
        let detail = error.to_string();
        match error {
            ImportError::NotSymbols(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "These are no symbols that can be used",
                detail,
                "Is it the unstripped program or its debug file, with a build ID?",
            ),
            ImportError::NotACore(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "This is no core that can be read",
                detail,
                "Is it the file the kernel wrote, or what a program packed it with?",
            ),
            ImportError::NoRoom(_) => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "There is no room for this file",
                detail,
                "The status page says what the disk is used for.",
            ),
            ImportError::Broken(detail) => Self::bad_upload(&detail),
            ImportError::Store(error) => error.into(),
            ImportError::Stopped | ImportError::Io(_) => Self::internal(&error),
        }
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let hint = "Nothing was changed.";
        let title = match problem.status() {
            StatusCode::INSUFFICIENT_STORAGE => "There is no room",
            status => status.canonical_reason().unwrap_or("Refused"),
        };
        let detail = format!("{}.", text::capital(problem.detail()));
        Self::new(problem.status(), title, detail, hint)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match &error {
            unwritable if unwritable.is_unwritable() => Problem::from(error).into(),
            StoreError::NotFound(what) => Self::not_found(format!("There is no such {what}.")),
            StoreError::BadCursor => {
                let hint = "Start again from the first page of the list.";
                let detail = "The page this link points at does not exist.".to_owned();
                Self::new(StatusCode::BAD_REQUEST, "No such page", detail, hint)
            }
            StoreError::Refused(why) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "This cannot be done",
                format!("{why}."),
                "Nothing was changed.",
            ),
            StoreError::MemoryDropped => Self::new(
                StatusCode::CONFLICT,
                "Nothing to analyze",
                "The memory of this crash was dropped: the report it has is the last.".to_owned(),
                "Its page says why. Pin crashes whose memory must stay.",
            ),
            _ => Self::internal(&error),
        }
    }
}

impl From<ResolveError> for Trouble {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotFound { what, reference } => Self::not_found(format!(
                "No {what} has an id that starts with “{}”.",
                crate::ui::view::text::clip(&reference, 100)
            )),
            ResolveError::Ambiguous {
                reference,
                candidates,
            } => {
                let detail = format!("More than one id starts with “{reference}”.");
                let hint = "Choose one, or type more of the id.";
                let title = "Which one?";
                let mut trouble = Self::new(StatusCode::CONFLICT, title, detail, hint);
                trouble.0.candidates = candidates;
                trouble
            }
            ResolveError::Store(error) => error.into(),
        }
    }
}
