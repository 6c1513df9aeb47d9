//! Looks up what a query stands for in the store: the words that begin with one that was typed, the
//! names of functions, files and modules.
//!
//! Full text that is asked for all words with a beginning reads all places of all of them before
//! it gives the first answer. Asked for each word by name it reads as far as it must.

use super::language::{Field, Query, Test, Words};
use super::pattern::Pattern;
use super::sql;
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Transaction, params, params_from_iter};

/// With more words than these the beginning itself is asked for.
const MOST: usize = 16;

/// With more names than these, what selects them is asked each time.
const MOST_NAMES: usize = 16;

/// A text with a word that fewer crashes have is found soon, however common its other words are;
/// and one of whose words none has so many.
pub(crate) const RARE_AND_COMMON: (i64, i64) = (300, 20_000);

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

/// The query with the words and names that it stands for, where they are few.
pub(crate) fn known(sql: &Transaction<'_>, query: &Query) -> Result<Query, StoreError> {
    let mut query = query.clone();
    for clause in &mut query.clauses {
        match &mut clause.test {
            Test::Words(words, pattern) if *words != Words::Note => {
                if let Some(beginning) = pattern.open_word()
                    && let Some(found) = beginning_with(sql, &beginning)?
                {
                    pattern.end_with(&found);
                }
            }
            Test::Text(Field::Function, pattern) => name(sql, "function", pattern)?,
            Test::Text(Field::File, pattern) => name(sql, "file", pattern)?,
            Test::Text(Field::Module, pattern) => name(sql, "module", pattern)?,
            Test::Text(Field::BuildId, pattern) => name(sql, "build_id", pattern)?,
            _ => {}
        }
    }
    Ok(query)
}

/// Notes the names of a kind that a pattern stands for, when they are few.
fn name(sql: &Transaction<'_>, kind: &str, pattern: &mut Pattern) -> Result<(), StoreError> {
    let names = sql::names(kind, pattern);
    let text = format!("SELECT * FROM ({}) LIMIT {}", names.sql, MOST_NAMES + 1);
    let found = sql
        .prepare_cached(&text)?
        .query_map(params_from_iter(names.parameters), |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    if found.len() <= MOST_NAMES {
        pattern.stand_for(found);
    }
    Ok(())
}

/// Whether a text's words have to be brought together all over a table: each of them is in many
/// crashes, one in very many.
pub(crate) fn is_laborious(
    sql: &Transaction<'_>,
    table: &str,
    pattern: &Pattern,
    (rare, common): (i64, i64),
) -> Result<bool, StoreError> {
    let words = pattern.words();
    // Those with one word are told one after the other.
    if words.len() < 2 {
        return Ok(false);
    }
    let text =
        format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH ?1 LIMIT ?2)");
    let mut statement = sql.prepare_cached(&text)?;
    let mut has = |word: &str, crashes: i64| -> Result<bool, StoreError> {
        let found: i64 =
            statement.query_row(params![format!("\"{word}\""), crashes], |row| row.get(0))?;
        Ok(found == crashes)
    };
    for (word, _) in words.iter().filter(|(_, open)| !open) {
        if !has(word, rare)? {
            return Ok(false);
        }
    }
    for (word, _) in words {
        if has(word, common)? {
            return Ok(true);
        }
    }
    Ok(false)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_words_that_many_have_are_laborious_to_bring_together() {
        let mut connection = crate::database::in_memory().unwrap();
        let sql = connection.transaction().unwrap();
        for number in 0..8 {
            let rare = if number == 0 { "rare" } else { "" };
            let often = if number < 3 { "often" } else { "" };
            sql.execute(
                "INSERT INTO report_words (rowid, title, message, functions, files) VALUES (?1, '', ?2, '', '')",
                params![number, format!("common {rare} {often}")],
            )
            .unwrap();
        }
        let laborious = |text: &str| {
            let query = Query::parse(text).unwrap();
            let clause = query.clauses.first().unwrap();
            let Test::Words(_, pattern) = &clause.test else {
                panic!("{text} has no words");
            };
            is_laborious(&sql, "report_words", pattern, (2, 5)).unwrap()
        };
        assert!(laborious("\"common often\""));
        assert!(laborious("common_often"));
        assert!(laborious("common*often"));
        assert!(!laborious("\"common rare often\""));
        assert!(!laborious("\"often often\""));
        assert!(!laborious("\"common absent\""));
        assert!(!laborious("common"));
    }
}
