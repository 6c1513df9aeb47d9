//! Gives up dumps or their memory: what the limits demand, or what somebody asks for.

use super::parameters::Parameters;
use crate::App;
use crate::problem::Problem;
use aground_daemon::{Prune, Share, What};
use aground_helper::units::Span;
use aground_store::Query;
use aground_store::retention::{Action, Limits, Plan};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What was given up, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Bytes freed.
    pub frees: u64,
    /// The steps, and whether the limits hold after them.
    #[serde(flatten)]
    pub plan: Plan,
}

const PARAMETERS: [&str; 10] = [
    "dry_run",
    "memory",
    "query",
    "filter",
    "saved",
    "max_bytes",
    "min_free",
    "max_age",
    "memory_age",
    "per_group",
];

/// `POST /api/v1/prune`: what the configured limits demand now. With limits as parameters
/// (`max_bytes=5GiB`, `min_free=`, `max_age=30d`, `memory_age=`, `per_group=`) those count instead
/// of the configured ones of the same name. With `query=`, `saved=` or `filter=` only dumps that match are
/// touched, and without limits all of them: deleted, or with `memory=true` their memory dropped.
/// `dry_run=true` only says what would be done.
pub async fn prune(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Pruned>, Problem> {
    parameters.only(&PARAMETERS)?;
    let (dry_run, memory) = (flag(&parameters, "dry_run")?, flag(&parameters, "memory")?);
    let query = parameters.query(&app)?;
    let daemon = app.daemon.clone();
    let (disk, configured) = tokio::task::spawn_blocking(move || {
        Ok::<_, Problem>((daemon.disk_bytes()?, daemon.limits()?))
    })
    .await??;
    let what = match overridden(&parameters, disk, &configured)? {
        Some(_) if memory => {
            let detail = "memory=true drops all memory of what matches: it goes with no limits";
            return Err(Problem::bad_parameter(detail));
        }
        Some(limits) => What::Limits(limits),
        None if memory => What::All(Action::DropMemory),
        None if query != Query::default() => What::All(Action::Delete),
        None => What::Configured,
    };
    let request = Prune { query, what };
    let plan = if dry_run {
        app.daemon.plan_prune(&request).await?
    } else {
        app.daemon.prune(request).await?
    };
    Ok(Json(Pruned {
        dry_run,
        frees: plan.frees(),
        plan,
    }))
}

/// The configured limits with those given in their place; `None` when none is given.
fn overridden(
    parameters: &Parameters,
    disk: u64,
    configured: &Limits,
) -> Result<Option<Limits>, Problem> {
    let mut limits = configured.clone();
    let mut given = false;
    let share =
        |name| Ok::<_, Problem>(value::<Share>(parameters, name)?.map(|share| share.of(disk)));
    let age = |name| {
        let age = value::<Span>(parameters, name)?;
        Ok::<_, Problem>(age.map(|age| u64::try_from(age.0.as_millis()).unwrap_or(u64::MAX)))
    };
    if let Some(bytes) = share("max_bytes")? {
        (limits.max_bytes, given) = (Some(bytes), true);
    }
    if let Some(bytes) = share("min_free")? {
        (limits.min_free, given) = (bytes, true);
    }
    if let Some(milliseconds) = age("max_age")? {
        (limits.max_age_ms, given) = (Some(milliseconds), true);
    }
    if let Some(milliseconds) = age("memory_age")? {
        (limits.memory_age_ms, given) = (Some(milliseconds), true);
    }
    if let Some(dumps) = value::<u64>(parameters, "per_group")? {
        (limits.per_group, given) = (dumps, true);
    }
    Ok(given.then_some(limits))
}

fn value<T: FromStr<Err: std::fmt::Display>>(
    parameters: &Parameters,
    name: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = parameters.get(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bad = |error: T::Err| Problem::bad_parameter(format!("{name}: {error}"));
    text.parse().map(Some).map_err(bad)
}

fn flag(parameters: &Parameters, name: &str) -> Result<bool, Problem> {
    match parameters.get(name) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some(_) => Err(Problem::bad_parameter(format!("{name} is true or false"))),
    }
}
