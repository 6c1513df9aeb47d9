//! How lists are narrowed: `--filter`, `--since`, `--until` and query words.

use super::moment;
use super::session::Failure;
use crate::client::ClientError;
use clap::Args;

/// `-f/--filter`, `--since` and `--until`, query words: how lists are narrowed.
#[derive(Args, Clone, Debug, Default)]
pub struct Narrowing {
    /// Filter output based on conditions provided, such as image=api*, signal=SIGSEGV, label=k=v
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,
    /// Show crashes since a time (2026-11-20T15:04) or duration back (24h)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Show crashes before a time or duration back
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show what a saved search asks for, and the query besides (aground searches)
    #[arg(long, value_name = "NAME")]
    pub saved: Option<String>,
    /// Query: field:value terms and words, such as image:api* panic
    #[arg(value_name = "QUERY")]
    pub words: Vec<String>,
}

impl Narrowing {
    /// What the words ask: a query.
    pub fn text(&self) -> String {
        self.words.join(" ")
    }

    /// A failure of a request that had these parameters, with the place where the query is wrong.
    pub fn explain(&self, failure: ClientError) -> Failure {
        match failure {
            ClientError::Refused(problem)
                if problem
                    .query
                    .as_ref()
                    .is_some_and(|wrong| wrong.parameter == "query") =>
            {
                Failure::Query {
                    text: self.text(),
                    problem,
                }
            }
            other => other.into(),
        }
    }

    /// The parameters of a list request: `query=…&filter=…`.
    pub fn parameters(&self) -> Result<String, Failure> {
        let mut parameters = Vec::new();
        if !self.words.is_empty() {
            parameters.push(("query", self.text()));
        }
        if let Some(name) = &self.saved {
            parameters.push(("saved", name.clone()));
        }
        for filter in &self.filters {
            parameters.push(("filter", checked_filter(filter)?));
        }
        let (now, zone) = (jiff::Timestamp::now(), jiff::tz::TimeZone::system());
        for (key, moment) in [("since", &self.since), ("until", &self.until)] {
            if let Some(moment) = moment {
                let time = moment::parse(moment, now, &zone)
                    .map_err(|error| Failure::Message(format!("--{key}: {error}")))?;
                parameters.push(("filter", format!("{key}={time:.3}")));
            }
        }
        let encoded = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", crate::client::encode(value)));
        Ok(encoded.collect::<Vec<_>>().join("&"))
    }
}

/// Docker's manners: the key in lower case, the value trimmed.
pub(super) fn checked_filter(filter: &str) -> Result<String, Failure> {
    let split = filter
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty());
    let Some((key, value)) = split else {
        let message = format!("bad format of filter \"{filter}\" (expected name=value)");
        return Err(Failure::Message(message));
    };
    Ok(format!("{}={}", key.trim().to_lowercase(), value.trim()))
}
