//! Text that fits the terminal: tables, lists of entries, paragraphs. In pipes and files it is as wide as it comes.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

#[derive(Clone, Copy, PartialEq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// The columns of the terminal on a stream, where it is one.
pub fn columns(stream: Stream) -> Option<usize> {
    let mut table = Table::new();
    if stream == Stream::Stderr {
        table.use_stderr();
    }
    // Some terminals do not know theirs, and say 0.
    table.width().map(usize::from).filter(|&columns| columns > 0)
}

/// A table without lines: the first `left` columns to the left, the others to the right. Where the terminal is too
/// narrow, words wrap within their cells; where it is too narrow for the words, each row is a list.
pub fn table(header: &[&str], rows: &[Vec<String>], left: usize) -> String {
    table_within(header, rows, left, columns(Stream::Stdout))
}

/// Names with their texts, which begin in one column.
pub fn entries(list: &[[String; 2]], names: usize) -> String {
    entries_within(list, ("  ", names), columns(Stream::Stdout))
}

/// A text whose lines break where the terminal ends, or as ours do.
pub fn paragraph(text: &str) -> String {
    let columns = columns(Stream::Stdout).map_or(LINE, |columns| columns.min(LINE));
    wrapped(text, columns).join("\n")
}

const LINE: usize = 120;
/// Spaces between columns.
const GAP: usize = 2;
/// Texts that have less room beside their names go below them.
const ROOM: usize = 24;

fn table_within(header: &[&str], rows: &[Vec<String>], left: usize, columns: Option<usize>) -> String {
    let plain = arranged(header, rows, left, None);
    let Some(columns) = columns.filter(|&columns| plain.lines().any(|line| length(line) > columns)) else {
        return plain;
    };
    let word = |text: &str| text.split_whitespace().map(length).max().unwrap_or_default();
    let words: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(nth, name)| {
            let cells = rows.iter().filter_map(|row| row.get(nth));
            cells.map(|cell| word(cell)).fold(word(name), usize::max)
        })
        .collect();
    if words.iter().sum::<usize>() + GAP * words.len() <= columns + GAP {
        return arranged(header, rows, left, Some((columns, &words)));
    }
    let names = header.iter().map(|name| length(name)).max().unwrap_or_default();
    let list = |row: &Vec<String>| {
        let cells = header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let cells: Vec<[String; 2]> = cells
            .map(|(name, cell)| [(*name).to_owned(), cell.trim().to_owned()])
            .collect();
        entries_within(&cells, ("", names), Some(columns))
    };
    rows.iter().map(list).collect::<Vec<_>>().join("\n\n")
}

/// `within`: the columns of the terminal, and the longest word of each of the table's.
fn arranged(header: &[&str], rows: &[Vec<String>], left: usize, within: Option<(usize, &[usize])>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header)
        .add_rows(rows);
    if let Some((columns, _)) = within {
        // The gap behind the last column is cut.
        let columns = u16::try_from(columns + GAP).unwrap_or(u16::MAX);
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(columns);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, GAP as u16));
        if index >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if let Some(&word) = within.and_then(|(_, words)| words.get(index)) {
            let word = u16::try_from(word + GAP).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(word)));
        }
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn entries_within(list: &[[String; 2]], (indent, names): (&str, usize), columns: Option<usize>) -> String {
    let entry = |[name, text]: &[String; 2]| {
        let beside = format!("{indent}{name:<names$} ");
        let begin = length(&beside);
        let columns = columns.unwrap_or(usize::MAX);
        if begin + length(text) <= columns {
            return beside + text;
        }
        if columns >= begin + ROOM {
            return beside + &wrapped(text, columns - begin).join(&format!("\n{:begin$}", ""));
        }
        let mut lines = wrapped(text, columns.saturating_sub(indent.len() + 2));
        lines.iter_mut().for_each(|line| line.insert_str(0, "  "));
        if !name.is_empty() {
            lines.insert(0, name.clone());
        }
        indent.to_owned() + &lines.join(&format!("\n{indent}"))
    };
    list.iter().map(entry).collect::<Vec<_>>().join("\n")
}

/// Lines of so many columns; a word that is longer has one of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if length(line) + 1 + length(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        let rows = [["mse", "the mean of squares", "1.25"], ["cross_entropy", "", "10.5"]];
        rows.map(|row| row.map(String::from).to_vec()).to_vec()
    }

    #[test]
    fn tables_are_as_wide_as_the_terminal() {
        let at = |columns| table_within(&["loss", "what", "ms"], &rows(), 2, columns);
        let plain = "loss           what                   ms\n\
                     mse            the mean of squares  1.25\n\
                     cross_entropy                       10.5";
        for columns in [None, Some(200), Some(40)] {
            assert_eq!(at(columns), plain, "{columns:?}");
        }
        for columns in 28..40 {
            let text = at(Some(columns));
            assert!(text.lines().all(|line| line.len() <= columns), "{columns}:\n{text}");
            assert!(
                text.starts_with("loss") && text.contains("squares"),
                "{columns}:\n{text}"
            );
        }
        let list = "loss mse\nwhat\n  the mean of\n  squares\nms   1.25\n\nloss cross_entropy\nms   10.5";
        assert_eq!(at(Some(18)), list);
    }

    #[test]
    fn texts_stand_beside_their_names_or_below() {
        let list = [
            ["--gamma", "how little easy elements count, at least 0"],
            ["--x", "one"],
        ];
        let list = list.map(|entry| entry.map(String::from));
        let at = |columns| entries_within(&list, ("  ", 10), columns);
        assert_eq!(
            at(None),
            "  --gamma    how little easy elements count, at least 0\n  --x        one"
        );
        assert_eq!(
            at(Some(40)),
            "  --gamma    how little easy elements\n             count, at least 0\n  --x        one"
        );
        assert_eq!(
            at(Some(20)),
            "  --gamma\n    how little easy\n    elements count,\n    at least 0\n  --x        one"
        );
    }
}
