//! Aligned columns. Widths count characters as shown, not escape sequences.

use super::Paint;

/// Rows under a heading, aligned when printed.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    pub fn new(heading: &[&str], paint: Paint) -> Self {
        Self {
            rows: vec![heading.iter().map(|name| paint.dim(name)).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Takes columns away, in this order, until every line fits into `room` characters or none of them is left.
    pub fn fit(&mut self, room: usize, least: &[usize]) {
        let mut least = least.to_vec();
        while !least.is_empty() && self.lines().iter().any(|line| width(line) > room) {
            let gone = least.remove(0);
            for row in &mut self.rows {
                if gone < row.len() {
                    row.remove(gone);
                }
            }
            for index in &mut least {
                *index -= usize::from(*index > gone);
            }
        }
    }

    /// Every line, heading first, two spaces between columns and none at the end.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        self.rows.iter().map(|row| line(row, &widths)).collect()
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, wide) in row.iter().zip(widths) {
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', wide - width(cell) + 2));
    }
    text.trim_end().to_owned()
}

/// Characters as shown: escape sequences (`ESC [ … m`) take no room.
fn width(text: &str) -> usize {
    let mut shown = 0;
    let mut escape = false;
    for c in text.chars() {
        match c {
            '\u{1b}' => escape = true,
            'm' if escape => escape = false,
            _ if escape => {}
            _ => shown += 1,
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_goes_first_where_there_is_little_room() {
        let table = |room| {
            let mut table = Table::new(&["A", "B", "C", "D"], Paint(true));
            table.row(vec![
                "aaaa".into(),
                "bbbb".into(),
                "cccc".into(),
                "dddd".into(),
            ]);
            table.fit(room, &[1, 3, 2]);
            table.lines()[1].clone()
        };
        assert_eq!(table(22), "aaaa  bbbb  cccc  dddd");
        assert_eq!(table(21), "aaaa  cccc  dddd");
        assert_eq!(table(10), "aaaa  cccc");
        assert_eq!(table(1), "aaaa");
    }

    #[test]
    fn columns_line_up_whatever_their_colours() {
        for paint in [Paint(false), Paint(true)] {
            let mut table = Table::new(&["NAME", "STATE"], paint);
            table.row(vec!["shop".into(), paint.bold("fresh")]);
            table.row(vec!["warehouse".into(), "due".into()]);
            let lines = table.lines();
            assert_eq!(width(&lines[1]), "shop       fresh".len());
            assert_eq!(lines[2], "warehouse  due");
        }
    }
}
