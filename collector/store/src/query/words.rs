//! Finds the words of the store that begin with one that was typed.
//!
//! Full text that is asked for all words with a beginning reads all places of all of them before
//! it gives the first answer. Asked for each word by name it reads as far as it must.

use super::language::{Query, Test, Words};
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Transaction};

/// With more words than these the beginning itself is asked for.
const MOST: usize = 16;

/// The words of the tables that texts are searched in, each at each place it has, so that the next
/// one is found without reading the places of the last.
const TABLES: [(&str, &str); 2] = [
    ("record_terms", "record_words"),
    ("report_terms", "report_words"),
];

/// Makes the tables of words, which a connection has for itself.
pub(crate) fn open(sql: &Connection) -> rusqlite::Result<()> {
    for (terms, words) in TABLES {
        sql.execute_batch(&format!(
            "CREATE VIRTUAL TABLE temp.{terms} USING fts5vocab('main', '{words}', 'instance')"
        ))?;
    }
    Ok(())
}

/// The query with the words that its beginnings of words stand for, where they are few.
pub(crate) fn known(sql: &Transaction<'_>, query: &Query) -> Result<Query, StoreError> {
    let mut query = query.clone();
    for clause in &mut query.clauses {
        if let Test::Words(words, pattern) = &mut clause.test
            && *words != Words::Note
            && let Some(beginning) = pattern.open_word()
            && let Some(found) = beginning_with(sql, &beginning)?
        {
            pattern.end_with(&found);
        }
    }
    Ok(query)
}

/// Words with a beginning, itself included; `None` when they are many.
fn beginning_with(
    sql: &Transaction<'_>,
    beginning: &str,
) -> Result<Option<Vec<String>>, StoreError> {
    let mut found = vec![beginning.to_owned()];
    for (terms, _) in TABLES {
        // Words have no control characters: this is the least after it.
        let mut least = format!("{beginning}\u{1}");
        let text = format!("SELECT term FROM temp.{terms} WHERE term >= ?1 LIMIT 1");
        let mut statement = sql.prepare_cached(&text)?;
        loop {
            let next: Option<String> =
                statement.query_row([&least], |row| row.get(0)).optional()?;
            let Some(next) = next.filter(|next| next.starts_with(beginning)) else {
                break;
            };
            least = format!("{next}\u{1}");
            if !found.contains(&next) {
                found.push(next);
            }
            if found.len() > MOST {
                return Ok(None);
            }
        }
    }
    Ok(Some(found))
}
