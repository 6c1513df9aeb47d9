//! Makes the words of a record searchable: what the process was, and the container's last lines.
//! What analysis says is the business of [`crate::names`].

use crate::admit::command;
use crate::database::column_text;
use crate::files;
use crate::store::StoreError;
use aground_helper::layout;
use aground_helper::record::Record;
use rusqlite::{Transaction, params};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// So much of the end of a log is searched, bytes.
const SEARCHED_LOG: u64 = 16 << 10;
/// So much of a command line is searched, bytes.
const SEARCHED_COMMAND: usize = 8 << 10;

/// The end of the log that was kept with a dump; empty when none was.
pub(crate) fn log_tail(dump: &Path) -> Result<String, StoreError> {
    let path = dump.join(layout::LOG);
    let Some(mut file) = files::open_optional(&path)? else {
        return Ok(String::new());
    };
    let read = |file: &mut File| -> std::io::Result<Vec<u8>> {
        let start = file.metadata()?.len().saturating_sub(SEARCHED_LOG);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = vec![];
        file.take(SEARCHED_LOG).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read(&mut file).map_err(files::failed("cannot read", &path))?;
    Ok(column_text(&String::from_utf8_lossy(&bytes)))
}

/// Indexes a dump that has just got its row.
pub(crate) fn index_record(
    sql: &Transaction<'_>,
    dump: i64,
    record: &Record,
    log: &str,
) -> Result<(), StoreError> {
    let mut command = command(record);
    let end = command.floor_char_boundary(SEARCHED_COMMAND);
    command.truncate(end);
    let mut about = vec![
        command.as_str(),
        &record.process.name,
        &record.host.hostname,
    ];
    about.extend(record.process.executable.as_deref());
    about.extend(record.unit.as_deref());
    if let Some(container) = &record.container {
        let names = [
            &container.name,
            &container.image,
            &container.pod_name,
            &container.pod_namespace,
            &container.pod_owner,
        ];
        about.extend(names.into_iter().filter_map(|name| name.as_deref()));
    }
    sql.prepare_cached("INSERT INTO record_words (rowid, about, log) VALUES (?1, ?2, ?3)")?
        .execute(params![dump, column_text(&about.join(" ")), log])?;
    Ok(())
}
