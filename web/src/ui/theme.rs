//! Light, dark or as the system has it: what somebody chose stays in a cookie, so that it needs no
//! script and no page flashes in the wrong colours first.

use axum::extract::{Form, Request};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

const COOKIE: &str = "aground-theme";
/// A year.
const SECONDS: u32 = 31_536_000;

/// A look of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// As the system has it.
    #[default]
    Auto,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

tokio::task_local! {
    /// What the one wants whose request is being answered.
    static CURRENT: Theme;
}

impl Theme {
    /// That of the request being answered.
    pub fn current() -> Self {
        CURRENT.try_with(|theme| *theme).unwrap_or_default()
    }

    /// Its word, in the cookie and in pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// What the button leads to.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Theme::Auto => Theme::Dark,
            Theme::Dark => Theme::Light,
            Theme::Light => Theme::Auto,
        }
    }

    fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter();
        let texts = cookies.filter_map(|value| value.to_str().ok());
        let mut pairs = texts.flat_map(|text| text.split(';'));
        let own = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        match own {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _ => Theme::Auto,
        }
    }
}

/// Lets what answers a request know the theme.
pub async fn remember(request: Request, next: Next) -> Response {
    let theme = Theme::of(request.headers());
    CURRENT.scope(theme, next.run(request)).await
}

/// What the button says.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Choice {
    theme: Theme,
}

/// `POST /theme`: keeps the choice, back to the page.
pub async fn choose(headers: HeaderMap, Form(choice): Form<Choice>) -> Response {
    let back = back(&headers);
    let word = choice.theme.as_str();
    let cookie = format!("{COOKIE}={word}; Path=/; Max-Age={SECONDS}; SameSite=Lax; HttpOnly");
    ([(header::SET_COOKIE, cookie)], Redirect::to(&back)).into_response()
}

/// Where the browser came from, as far as it is a page of ours.
fn back(headers: &HeaderMap) -> String {
    let home = "/".to_owned();
    let referer = headers.get(header::REFERER).and_then(|v| v.to_str().ok());
    let Some(uri) = referer.and_then(|text| text.parse::<Uri>().ok()) else {
        return home;
    };
    // Two slashes would lead to another host.
    match uri.path_and_query().map(PathAndQuery::as_str) {
        Some(path) if path.starts_with('/') && !path.starts_with("//") => path.to_owned(),
        _ => home,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_choice_is_read_from_its_own_cookie() {
        for (cookies, theme) in [
            ("", Theme::Auto),
            ("aground-theme=dark", Theme::Dark),
            ("a=b; aground-theme=light", Theme::Light),
            ("not-aground-theme=dark; aground-themes=dark", Theme::Auto),
            ("aground-theme=<script>", Theme::Auto),
        ] {
            assert_eq!(
                Theme::of(&headers(header::COOKIE, cookies)),
                theme,
                "{cookies}"
            );
        }
    }

    #[test]
    fn the_way_back_stays_here() {
        for (referer, expected) in [
            ("http://localhost:7400/dumps?query=a", "/dumps?query=a"),
            ("http://localhost:7400", "/"),
            ("http://localhost:7400//evil.example/x", "/"),
            ("javascript:alert(1)", "/"),
            ("nonsense of a referer", "/"),
        ] {
            assert_eq!(
                back(&headers(header::REFERER, referer)),
                expected,
                "{referer}"
            );
        }
        assert_eq!(back(&HeaderMap::new()), "/");
    }
}
