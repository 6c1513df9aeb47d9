//! Which crashes somebody sees: a condition of the query language on labels, namespaces and images.
//!
//! A scope is one more thing that must be true, never one of several: a query for another image
//! does not widen it. [`super::views`] is where it holds.

use crate::query::{Query, QueryError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a scope may speak of: facts about a container that its crashes cannot choose later.
const FIELDS: [&str; 3] = ["label", "namespace", "image"];
/// More conditions are a mistake.
const MOST: usize = 50;

/// Which crashes somebody sees; without conditions all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Scope(Vec<String>);

/// Why conditions are no scope, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// It is about something else.
    #[error("a scope is of label=, namespace= and image=, not of \"{0}\"")]
    Field(String),
    /// A condition is wrong.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// There are too many.
    #[error("a scope of more than {MOST} conditions")]
    TooLong,
}

impl Scope {
    /// From `label=team=core`, `namespace=prod`, `image=shop/*`. Of one field any may be true
    /// (each label's key is a field of its own), different fields must all be.
    pub fn new(conditions: Vec<String>) -> Result<Self, InvalidScope> {
        if conditions.len() > MOST {
            return Err(InvalidScope::TooLong);
        }
        let mut query = Query::default();
        for condition in &conditions {
            let field = condition.split('=').next().unwrap_or_default();
            if !FIELDS.contains(&field) {
                return Err(InvalidScope::Field(condition.chars().take(60).collect()));
            }
            query = query.with_filter(condition)?;
        }
        Ok(Self(conditions))
    }

    /// Whether it lets everything through.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Its conditions as they were given.
    pub fn conditions(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn query(&self) -> Result<Query, QueryError> {
        self.0
            .iter()
            .try_fold(Query::default(), |query, condition| {
                query.with_filter(condition)
            })
    }
}

impl TryFrom<Vec<String>> for Scope {
    type Error = InvalidScope;

    fn try_from(conditions: Vec<String>) -> Result<Self, InvalidScope> {
        Self::new(conditions)
    }
}

impl From<Scope> for Vec<String> {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.pad("everything");
        }
        f.pad(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn scopes_are_of_labels_namespaces_and_images() {
        let scope = |conditions: &[&str]| {
            let conditions = conditions.iter().map(ToString::to_string).collect();
            Scope::new(conditions).map_err(|error| error.to_string())
        };
        assert!(scope(&[]).unwrap().is_everything());
        let some = scope(&["label=team=core", "namespace=prod", "image=shop/*"]).unwrap();
        assert_eq!(
            some.to_string(),
            "label=team=core namespace=prod image=shop/*"
        );
        for (wrong, why) in [
            (
                "host=box",
                "a scope is of label=, namespace= and image=, not of \"host=box\"",
            ),
            (
                "namespace",
                "invalid filter \"namespace\": key=value expected",
            ),
            (
                "image!=x",
                "a scope is of label=, namespace= and image=, not of \"image!=x\"",
            ),
        ] {
            assert_eq!(scope(&[wrong]).unwrap_err(), why);
        }
        let json = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<Scope>(&json).unwrap(), some);
        assert!(serde_json::from_str::<Scope>("[\"host=box\"]").is_err());
    }
}
