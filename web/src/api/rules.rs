//! Shows rules and scripts, runs them over history, and shows what scripts found.

use super::parameters::{Parameters, Path};
use super::{blocking, resolve_dump};
use crate::App;
use crate::problem::Problem;
use aground_daemon::{RulesOutcome, RulesRun, RulesStatus};
use aground_store::StoreError;
use aground_store::properties::Property;
use axum::Json;
use axum::extract::State;

/// How many dumps scripts look at when nobody says.
const SCRIPTED: usize = 200;
/// The most that can be asked for at once.
const MOST_SCRIPTED: usize = 1000;

/// `GET /api/v1/rules`: every rule and script, and what is wrong with their files.
pub async fn list(State(app): State<App>) -> Result<Json<RulesStatus>, Problem> {
    let daemon = app.daemon.clone();
    Ok(Json(
        tokio::task::spawn_blocking(move || daemon.rules()).await?,
    ))
}

/// `POST /api/v1/rules/run?query=&filter=k=v&rule=&dry_run=true&dumps=N`: rules over all groups,
/// scripts over the newest N dumps.
pub async fn run(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<RulesOutcome>, Problem> {
    parameters.only(&["query", "filter", "rule", "dry_run", "dumps"])?;
    let dry = match parameters.get("dry_run") {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(_) => return Err(Problem::bad_parameter("dry_run is true or false")),
    };
    let only = parameters.get("rule").map(str::to_owned);
    let daemon = app.daemon.clone();
    let known = tokio::task::spawn_blocking(move || daemon.rules()).await?;
    if let Some(name) = &only
        && !known.rules.iter().any(|rule| rule.name == *name)
    {
        return Err(Problem::not_found(format!(
            "no rule or script has the name {name}"
        )));
    }
    let run = RulesRun {
        query: parameters.query(&app)?,
        only,
        dry,
        scripted: parameters
            .number("dumps")?
            .unwrap_or(SCRIPTED)
            .min(MOST_SCRIPTED),
    };
    Ok(Json(app.daemon.run_rules(run).await?))
}

/// `GET /api/v1/dumps/{ref}/properties`: what scripts found.
pub async fn properties(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Result<Json<Vec<Property>>, Problem> {
    let id = resolve_dump(&app, reference).await?;
    let found = blocking::<_, StoreError, _>(&app, move |store| store.properties(&id)).await?;
    Ok(Json(found))
}
