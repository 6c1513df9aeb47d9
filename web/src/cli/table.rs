//! Aligns columns as Docker does: Go's tabwriter with cells at least 10 wide and 3 spaces between.

use super::text::width;
use std::io;

const MIN_WIDTH: usize = 10;
const PADDING: usize = 3;

/// One cell: what it shows and how, when colours are on.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Option<&'static str>,
}

impl Cell {
    /// A cell that is coloured with an SGR sequence's parameters, such as `31` for red.
    pub fn styled(text: impl Into<String>, style: &'static str) -> Self {
        Self {
            text: text.into(),
            style: Some(style),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: None,
        }
    }
}

/// Writes rows of cells. Every cell but a row's last is padded to its column's width; texts must
/// be free of line ends and tabs ([`super::text::visible`]).
pub fn write(out: &mut dyn io::Write, rows: &[Vec<Cell>], color: bool) -> io::Result<()> {
    let widths = column_widths(rows);
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            match cell.style {
                Some(style) if color => write!(out, "\x1b[{style}m{}\x1b[0m", cell.text)?,
                _ => out.write_all(cell.text.as_bytes())?,
            }
            if column + 1 < row.len() {
                let wide = widths.get(column).copied().unwrap_or(MIN_WIDTH);
                let gap = wide.saturating_sub(width(&cell.text));
                write!(out, "{:gap$}", "")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A row's last cell belongs to no column (tabwriter: cells are tab-terminated).
fn column_widths(rows: &[Vec<Cell>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        let terminated = row.len().saturating_sub(1);
        for (column, cell) in row.iter().take(terminated).enumerate() {
            let wide = (width(&cell.text) + PADDING).max(MIN_WIDTH);
            match widths.get_mut(column) {
                Some(known) => *known = wide.max(*known),
                None => widths.push(wide),
            }
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&[&str]]) -> String {
        let cells = |row: &&[&str]| row.iter().map(|&text| Cell::from(text)).collect();
        let mut out = Vec::new();
        let rows: Vec<Vec<Cell>> = rows.iter().map(cells).collect();
        assert!(write(&mut out, &rows, false).is_ok());
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn columns_are_docker_wide() {
        assert_eq!(table(&[&["A", "B"]]), "A         B\n");
        assert_eq!(
            table(&[
                &["DUMP ID", "IMAGE", "X"],
                &["0123456789ab", "app:1", "last is free"]
            ]),
            "DUMP ID        IMAGE     X\n0123456789ab   app:1     last is free\n"
        );
        assert_eq!(
            table(&[&["日本", "B"], &["a", "B"]]),
            "日本      B\na         B\n"
        );
    }
}
