//! Reads what is held, and plans on it.

use super::{Action, Held, HeldDump, Limits, Plan, Scope, asked, plan};
use crate::database::from_sql;
use crate::dumps::{JOIN, id_column};
use crate::query::sql::Condition;
use crate::store::{Store, StoreError, now_ms};
use aground_helper::record::Kept;
use rusqlite::{Row, Transaction, params_from_iter};
use std::collections::HashMap;

impl Store {
    /// What must go for the limits to hold. Cheap while they do.
    pub fn plan_retention(&self, limits: &Limits, scope: &Scope) -> Result<Plan, StoreError> {
        let (_, free) = self.disk()?;
        let needless = self
            .inner
            .database
            .read(|sql| Totals::read(sql).map(|totals| totals.fit(limits, free)))?;
        if let Some(held) = needless {
            return Ok(Plan {
                held,
                ..Plan::default()
            });
        }
        Ok(plan(&self.held(free, scope)?, limits))
    }

    /// The same for everything in scope, whatever the limits.
    pub fn plan_prune(&self, action: Action, scope: &Scope) -> Result<Plan, StoreError> {
        let (_, free) = self.disk()?;
        Ok(asked(&self.held(free, scope)?, action))
    }

    fn held(&self, free: u64, scope: &Scope) -> Result<Held, StoreError> {
        self.inner.database.read(|sql| {
            let mut held = Held {
                now_ms: now_ms(),
                free,
                ..Held::default()
            };
            let keys = read_dumps(sql, scope, &mut held)?;
            read_modules(sql, &keys, &mut held)?;
            Ok(held)
        })
    }
}

/// What all dumps together hold, and the oldest of what could go.
struct Totals {
    bytes: u64,
    oldest: Option<i64>,
    oldest_memory: Option<i64>,
    traces: bool,
}

impl Totals {
    fn read(sql: &Transaction<'_>) -> Result<Self, StoreError> {
        let text = "SELECT (SELECT stored_bytes FROM totals) + (SELECT coalesce(sum(bytes), 0) FROM modules),
             (SELECT crashed_at_ms FROM dumps WHERE pinned = 0 ORDER BY crashed_at_ms LIMIT 1),
             (SELECT crashed_at_ms FROM dumps WHERE pinned = 0 AND memory_bytes > 0 ORDER BY crashed_at_ms LIMIT 1),
             EXISTS (SELECT 1 FROM dumps WHERE pinned = 0 AND trace AND memory_bytes > 0
                 AND status IN ('analyzed', 'failed'))";
        Ok(sql.prepare_cached(text)?.query_row([], |row| {
            Ok(Self {
                bytes: from_sql(row.get(0)?),
                oldest: row.get(1)?,
                oldest_memory: row.get(2)?,
                traces: row.get(3)?,
            })
        })?)
    }

    /// The bytes held when nothing must go.
    fn fit(&self, limits: &Limits, free: u64) -> Option<u64> {
        let now = now_ms();
        let young = |oldest: Option<i64>, age: Option<u64>| match (oldest, age) {
            (Some(oldest), Some(age)) => from_sql(now.saturating_sub(oldest)) <= age,
            _ => true,
        };
        let fits = limits.max_bytes.is_none_or(|most| self.bytes <= most)
            && free >= limits.min_free
            && young(self.oldest, limits.max_age_ms)
            && young(self.oldest_memory, limits.memory_age_ms)
            && !self.traces;
        fits.then_some(self.bytes)
    }
}

/// Returns the dumps' keys in the same order.
fn read_dumps(
    sql: &Transaction<'_>,
    scope: &Scope,
    held: &mut Held,
) -> Result<HashMap<i64, usize>, StoreError> {
    let Condition {
        sql: condition,
        parameters,
    } = Condition::of(&scope.query);
    let text = format!(
        "SELECT coalesce(({condition}), 0), d.key, d.id, d.crashed_at_ms, d.pinned, d.kept, d.memory_bytes, d.stored_bytes,
             d.trace AND d.status IN ('analyzed', 'failed'),
             coalesce(d.group_id, coalesce(c.image, c.container_id, d.unit, '') || ' ' || coalesce(d.executable, d.name))
         FROM {JOIN}"
    );
    let mut statement = sql.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(&parameters))?;
    let mut keys = HashMap::new();
    while let Some(row) = rows.next()? {
        keys.insert(row.get(1)?, held.dumps.len());
        held.dumps.push(read_dump(row, scope)?);
    }
    Ok(keys)
}

fn read_dump(row: &Row<'_>, scope: &Scope) -> Result<HeldDump, StoreError> {
    let id = id_column(row, 2)?;
    let memory = from_sql(row.get(6)?);
    let kept: String = row.get(5)?;
    Ok(HeldDump {
        group: row.get(9)?,
        crashed_at_ms: row.get(3)?,
        pinned: row.get(4)?,
        eligible: row.get(0)?,
        kept: match kept.as_str() {
            "full" => Kept::Full,
            "lean" => Kept::Lean,
            "partial" => Kept::Partial,
            _ => Kept::None,
        },
        thinnable: scope.thin && !scope.unthinnable.contains(&id),
        expired: row.get(8)?,
        memory,
        rest: from_sql(row.get(7)?).saturating_sub(memory),
        modules: vec![],
        id,
    })
}

fn read_modules(
    sql: &Transaction<'_>,
    keys: &HashMap<i64, usize>,
    held: &mut Held,
) -> Result<(), StoreError> {
    let mut indices: HashMap<i64, usize> = HashMap::new();
    let mut statement = sql.prepare_cached("SELECT key, bytes FROM modules")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        indices.insert(row.get(0)?, held.modules.len());
        held.modules.push(from_sql(row.get(1)?));
    }
    let mut statement = sql.prepare_cached("SELECT dump, module FROM dump_modules")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let dump = keys.get(&row.get(0)?).copied();
        let module = indices.get(&row.get(1)?).copied();
        if let (Some(dump), Some(module)) = (dump, module)
            && let Some(dump) = held.dumps.get_mut(dump)
        {
            dump.modules.push(module);
        }
    }
    Ok(())
}
