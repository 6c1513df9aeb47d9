//! Reads path and query parameters; what is wrong with them is a problem, and so is a parameter
//! nobody knows (a mistyped `filer=` must not list everything).

use crate::App;
use crate::problem::Problem;
use aground_store::Query;
use aground_store::types::PageRequest;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// Parameters of the path, as [`axum::extract::Path`] with problems.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await?;
        Ok(Self(path.0))
    }
}

/// The parameters after `?`, in order.
pub struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query.0))
    }
}

impl Parameters {
    /// Checks that there are only parameters of these names.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self
            .0
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            None => Ok(()),
            Some((name, _)) if known.is_empty() => Err(Problem::bad_parameter(format!(
                "unknown parameter \"{name}\": there are none here"
            ))),
            Some((name, _)) => {
                let known = known.join(", ");
                Err(Problem::bad_parameter(format!(
                    "unknown parameter \"{name}\": there are {known}"
                )))
            }
        }
    }

    /// The last value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// What `saved=NAME` asks, `query=` and every `filter=k=v`, joined into one query.
    pub fn query(&self, app: &App) -> Result<Query, Problem> {
        let mut query = Query::parse(self.get("query").unwrap_or(""))?;
        if let Some(name) = self.get("saved").filter(|name| !name.is_empty()) {
            let search = app.daemon.store().search(name)?;
            query = query.and(Query::parse(&search.query)?)?;
        }
        for (_, filter) in self.0.iter().filter(|(name, _)| name == "filter") {
            query = query.with_filter(filter).map_err(|mut error| {
                error.message = format!("filter \"{filter}\": {}", error.message);
                Problem::bad_query("filter", error)
            })?;
        }
        Ok(query)
    }

    /// `limit=` and `cursor=`.
    pub fn page(&self) -> Result<PageRequest, Problem> {
        let limit = self.number("limit")?.unwrap_or(0);
        let cursor = self
            .get("cursor")
            .filter(|c| !c.is_empty())
            .map(ToOwned::to_owned);
        Ok(PageRequest { limit, cursor })
    }

    /// A parameter that is a whole number.
    pub fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let bad = |_| Problem::bad_parameter(format!("{name}=\"{text}\" is not a whole number"));
        text.parse().map(Some).map_err(bad)
    }
}
