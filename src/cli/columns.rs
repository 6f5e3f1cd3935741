//! Rows under headings, three blanks between two columns, as kubectl has them.

use super::printer::{HEADING, paint, plain};

/// What could not be had.
pub(super) const UNKNOWN: &str = "?";

/// A table. What others wrote is made safe for a terminal.
pub(super) fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([head[at].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let mut text = paint(HEADING, &line(&head)) + "\n";
    for row in &rows {
        text += &(line(row) + "\n");
    }
    text
}

/// The value, or the mark of what is unknown.
pub(super) fn or_unknown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}
