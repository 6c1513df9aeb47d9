//! Finds the source line of an address as debuggers show it.
//!
//! Optimised code gives one address several rows: the statement a person would stop at, and views
//! of it that are none (DWARF 5, 6.2.2, `is_stmt`). gdb takes the last statement among them
//! (gdb/symtab.c, `find_pc_sect_line`) and so do we, so that both name one line; without a
//! statement the last row counts. Example: gcc -O2 moves `int each = cents / pieces` under the
//! address of the `return` after it.

use gimli::{AttributeValue, LineRow, Reader, UnitRef};

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Option<String>,
    pub(super) line: u32,
    pub(super) column: Option<u32>,
}

/// Longest path put together, bytes.
const PATH_MAX: usize = 4096;

/// The place of an address in its unit.
pub(super) fn at<R: Reader>(unit: UnitRef<'_, R>, address: u64) -> Option<Place> {
    let program = unit.line_program.clone()?;
    let mut rows = program.rows();
    let mut best: Option<LineRow> = None;
    while let Some((_, row)) = rows.next_row().ok()? {
        // Rows of one sequence ascend: the first one past the address ends the search in it.
        if row.address() > address || row.end_sequence() {
            match best.take() {
                Some(best) if row.address() > address => return place(unit, &best),
                _ => continue,
            }
        }
        if row.line().is_some() && best.as_ref().is_none_or(|best| is_better(row, best)) {
            best = Some(*row);
        }
    }
    None
}

/// Whether a later row at the same or a higher address takes the earlier one's place.
fn is_better(row: &LineRow, best: &LineRow) -> bool {
    row.address() != best.address() || row.is_stmt() || !best.is_stmt()
}

fn place<R: Reader>(unit: UnitRef<'_, R>, row: &LineRow) -> Option<Place> {
    let column = match row.column() {
        gimli::ColumnType::LeftEdge => None,
        gimli::ColumnType::Column(column) => u32::try_from(column.get()).ok(),
    };
    Some(Place {
        file: file(unit, row),
        line: u32::try_from(row.line()?.get()).ok()?,
        column,
    })
}

/// The file's name below its directory below the unit's, as far as each is relative.
fn file<R: Reader>(unit: UnitRef<'_, R>, row: &LineRow) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let entry = row.file(header)?;
    let mut path = text(unit, entry.path_name())?;
    // Directory 0 is the unit's own, which DWARF 5 lists too (6.2.4, `directories`).
    let below = (entry.directory_index() != 0).then(|| entry.directory(header));
    let above = [
        below.flatten().and_then(|name| text(unit, name)),
        unit.comp_dir
            .as_ref()
            .and_then(|name| Some(name.to_string_lossy().ok()?.into_owned())),
    ];
    for directory in above.into_iter().flatten() {
        if path.starts_with('/') || directory.len() > PATH_MAX {
            break;
        }
        path = format!("{}/{path}", directory.trim_end_matches('/'));
    }
    (path.len() <= PATH_MAX).then_some(path)
}

fn text<R: Reader>(unit: UnitRef<'_, R>, name: AttributeValue<R>) -> Option<String> {
    Some(
        unit.attr_string(name)
            .ok()?
            .to_string_lossy()
            .ok()?
            .into_owned(),
    )
}
