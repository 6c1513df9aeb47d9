//! Compares two crashes.

use super::parameters::Parameters;
use super::{blocking, resolve_dump};
use crate::App;
use crate::compare::Comparison;
use crate::problem::Problem;
use aground_helper::id::DumpId;
use aground_store::types::PageRequest;
use aground_store::{Query, Store, StoreError};
use axum::Json;
use axum::extract::State;

/// `GET /api/v1/compare?a=DUMP&b=DUMP`; without `b`, with the newest other crash of its group.
pub async fn compare(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Comparison>, Problem> {
    parameters.only(&["a", "b"])?;
    let named = |name: &str| parameters.get(name).filter(|text| !text.is_empty());
    let a = named("a")
        .ok_or_else(|| Problem::bad_parameter("a is missing: which crash?".to_owned()))?;
    let a = resolve_dump(&app, a.to_owned()).await?;
    let b = if let Some(b) = named("b") {
        resolve_dump(&app, b.to_owned()).await?
    } else {
        let id = a.clone();
        let other = blocking::<_, StoreError, _>(&app, move |store| other(store, &id)).await?;
        other.ok_or_else(|| {
            Problem::not_found("there is no other crash of its group: say which, b=DUMP".to_owned())
        })?
    };
    let read = move |store: &Store| Ok(Comparison::new(&store.dump(&a)?, &store.dump(&b)?));
    Ok(Json(blocking::<_, StoreError, _>(&app, read).await?))
}

/// The newest other crash of a dump's group.
pub fn other(store: &Store, id: &DumpId) -> Result<Option<DumpId>, StoreError> {
    let Some(group) = store.dump(id)?.summary.group else {
        return Ok(None);
    };
    let query = Query::default()
        .with_filter(&format!("group={group}"))
        .map_err(|error| StoreError::Refused(error.message))?;
    let two = PageRequest {
        limit: 2,
        cursor: None,
    };
    let found = store.dumps(&query, &two)?.items.into_iter();
    Ok(found.map(|dump| dump.id).find(|other| other != id))
}
