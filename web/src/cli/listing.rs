//! Prints lists the way Docker does: table, table of chosen columns, JSON lines, template, ids.

use super::human;
use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::template::{self, Format, LABELS, RowTemplate, object};
use super::text::{visible, visible_json};
use crate::client::ClientError;
use aground_store::types::Page;
use gtmpl_ng::Value;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::Write;

/// A field rows have: its name in templates and JSON, and its header in tables.
pub struct Field {
    /// Such as `RunningFor`.
    pub name: &'static str,
    /// Such as `CREATED`.
    pub header: &'static str,
}

/// A kind of list.
pub struct Listing {
    /// All fields; the first is the id.
    pub fields: &'static [Field],
    /// The columns of the plain table.
    pub columns: &'static [&'static str],
}

/// One row: raw texts by field name, made safe where they are shown.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// In the order of [`Listing::fields`].
    pub values: Vec<String>,
    /// For `.Label "key"`.
    pub labels: BTreeMap<String, String>,
    /// A field whose cell is coloured, and how.
    pub style: Option<(&'static str, &'static str)>,
}

impl Listing {
    /// Prints rows as `--format` and `--quiet` say.
    pub fn print(
        &self,
        session: &mut Session,
        rows: &[Row],
        format: &Format,
        quiet: bool,
    ) -> Result<(), Failure> {
        match format {
            _ if quiet => {
                for id in rows.iter().filter_map(|row| row.values.first()) {
                    writeln!(session.out, "{}", visible(id))?;
                }
            }
            Format::Table => {
                let color = session.color;
                table::write(&mut session.out, &self.table(rows), color)?;
            }
            Format::TableOf(columns) => {
                let rows = self.table_of(columns, rows)?;
                table::write(&mut session.out, &rows, false)?;
            }
            Format::Json => {
                for row in rows {
                    let json = serde_json::Value::Object(self.json(row));
                    writeln!(session.out, "{}", visible_json(&json.to_string()))?;
                }
            }
            Format::Template(text) => {
                let template = RowTemplate::parse(text)?;
                for row in rows {
                    writeln!(session.out, "{}", template.expand(self.value(row))?)?;
                }
            }
        }
        Ok(())
    }

    fn table(&self, rows: &[Row]) -> Vec<Vec<Cell>> {
        let index = |column: &&str| self.fields.iter().position(|field| field.name == *column);
        let indices: Vec<usize> = self.columns.iter().filter_map(index).collect();
        let header = indices
            .iter()
            .filter_map(|&i| self.fields.get(i))
            .map(|f| Cell::from(f.header));
        let body = rows
            .iter()
            .map(|row| indices.iter().map(|&i| self.cell(row, i)).collect());
        std::iter::once(header.collect()).chain(body).collect()
    }

    fn cell(&self, row: &Row, index: usize) -> Cell {
        let text = match row.values.get(index).map(String::as_str) {
            None | Some("") => "-".to_owned(),
            Some(text) => visible(text),
        };
        match (row.style, self.fields.get(index)) {
            (Some((name, style)), Some(field)) if field.name == name => Cell::styled(text, style),
            _ => text.into(),
        }
    }

    fn table_of(&self, columns: &str, rows: &[Row]) -> Result<Vec<Vec<Cell>>, Failure> {
        let cells = |line: String| line.split('\t').map(Cell::from).collect();
        let headers = self
            .fields
            .iter()
            .map(|field| (field.name, field.header.into()));
        let header = RowTemplate::parse_header(columns)?.expand(object(headers))?;
        let template = RowTemplate::parse(columns)?;
        let mut table: Vec<Vec<Cell>> = vec![cells(header)];
        for row in rows {
            table.push(cells(template.expand(self.value(row))?));
        }
        Ok(table)
    }

    fn json(&self, row: &Row) -> serde_json::Map<String, serde_json::Value> {
        let pairs = self.fields.iter().zip(&row.values);
        pairs
            .map(|(field, value)| (field.name.to_owned(), value.clone().into()))
            .collect()
    }

    fn value(&self, row: &Row) -> Value {
        let pairs = self.fields.iter().zip(&row.values);
        let pairs = pairs.map(|(field, value)| (field.name, Value::String(visible(value))));
        object(pairs.chain([(LABELS, template::map(&row.labels))]))
    }
}

/// An answer with a page of a list, and perhaps more to say about the list.
pub trait Paged: DeserializeOwned {
    /// What is listed.
    type Item;
    /// The page.
    fn page(&mut self) -> &mut Page<Self::Item>;
}

impl<T: DeserializeOwned> Paged for Page<T> {
    type Item = T;

    fn page(&mut self) -> &mut Page<T> {
        self
    }
}

/// All items of a list, or the first `limit`, page by page.
pub async fn fetch<T: DeserializeOwned>(
    session: &Session,
    path: &str,
    parameters: &str,
    limit: Option<usize>,
) -> Result<Vec<T>, ClientError> {
    let list: Option<Page<T>> = walk(session, path, parameters, limit).await?;
    Ok(list.map(|page| page.items).unwrap_or_default())
}

/// The same with what the last page says about the list; nothing for a limit of 0.
pub async fn walk<P: Paged>(
    session: &Session,
    path: &str,
    parameters: &str,
    limit: Option<usize>,
) -> Result<Option<P>, ClientError> {
    const PAGE: usize = 1000;
    let mut items: Vec<P::Item> = Vec::new();
    let mut last: Option<P> = None;
    let mut cursor = String::new();
    loop {
        let missing = limit.map_or(PAGE, |limit| limit.saturating_sub(items.len()).min(PAGE));
        if missing == 0 {
            break;
        }
        let mut target = format!("{path}?limit={missing}");
        for part in [parameters, &cursor] {
            if !part.is_empty() {
                target = format!("{target}&{part}");
            }
        }
        let mut answer: P = session.client.get(&target).await?;
        items.append(&mut answer.page().items);
        // A page without items may be one of many that were searched for few.
        let next = answer.page().next_cursor.take();
        let searched_to = answer.page().searched_to_ms;
        last = Some(answer);
        let next = next.map(|next| format!("cursor={}", crate::client::encode(&next)));
        if let Some(next) = next.filter(|next| *next != cursor) {
            cursor = next;
            continue;
        }
        if let Some(at) = searched_to {
            let since = human::local_time(at);
            eprintln!("Common words were looked for in crashes since {since} alone.");
        }
        break;
    }
    if let Some(last) = &mut last {
        last.page().items = items;
    }
    Ok(last)
}
