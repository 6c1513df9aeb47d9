//! Light, dark or as the system has it: what somebody chose stays in a cookie, so that it needs no
//! script and no page flashes in the wrong colours first.

use super::visit;
use axum::extract::Form;
use axum::http::{HeaderMap, header};
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

impl Theme {
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

    /// What the cookie says.
    pub fn of(headers: &HeaderMap) -> Self {
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

/// What the button says.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Choice {
    theme: Theme,
}

/// `POST /theme`: keeps the choice, back to the page.
pub async fn choose(headers: HeaderMap, Form(choice): Form<Choice>) -> Response {
    let back = visit::came_from(&headers).unwrap_or_else(|| "/".to_owned());
    let word = choice.theme.as_str();
    let cookie = format!("{COOKIE}={word}; Path=/; Max-Age={SECONDS}; SameSite=Lax; HttpOnly");
    ([(header::SET_COOKIE, cookie)], Redirect::to(&back)).into_response()
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
}
