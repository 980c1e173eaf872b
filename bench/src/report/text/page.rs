//! A page for a terminal: headings, aligned columns, a little colour.

use crate::report::words;
use std::fmt::Write as _;

/// What is written so far.
pub(super) struct Page {
    text: String,
    colour: bool,
}

/// How a piece of text looks.
#[derive(Clone, Copy)]
pub(super) enum Look {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
}

/// A cell of a table: text and look.
pub(super) type Cell = (String, Look);

/// A cell that looks like any other.
pub(super) fn plain(text: impl Into<String>) -> Cell {
    (text.into(), Look::Plain)
}

/// A count that should be none: red if it is not.
pub(super) fn unwanted(count: u64) -> Cell {
    (crate::units::grouped(count), if count == 0 { Look::Plain } else { Look::Bad })
}

impl Page {
    pub(super) fn new(colour: bool) -> Self {
        Self { text: String::new(), colour }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// An empty line and a heading, with a remark behind it.
    pub(super) fn heading(&mut self, title: &str, remark: &str) {
        let title = self.painted(title, Look::Bold);
        let remark = self.painted(remark, Look::Dim);
        let gap = if remark.is_empty() { "" } else { "  " };
        let _ = writeln!(self.text, "\n{title}{gap}{remark}");
    }

    /// One line, indented.
    pub(super) fn line(&mut self, text: &str, look: Look) {
        let text = self.painted(text, look);
        let _ = writeln!(self.text, "  {text}");
    }

    /// A sentence over as many lines as it needs, all of them behind so many spaces.
    pub(super) fn sentence(&mut self, indent: usize, text: &str, look: Look) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && indent + length(&line) + length(word) > LINE_MAX {
                self.line(&format!("{:indent$}{line}", ""), look);
                line.clear();
            }
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
        self.line(&format!("{:indent$}{line}", ""), look);
    }

    /// One line at the margin.
    pub(super) fn top(&mut self, text: &str, look: Look) {
        let text = self.painted(text, look);
        let _ = writeln!(self.text, "{text}");
    }

    /// Rows of cells in columns that line up: the first to the left, the others
    /// to the right, but for a last one that is a sentence.
    pub(super) fn table(&mut self, rows: &[Vec<Cell>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| length(&cell.0)).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in rows {
            let mut line = String::from(" ");
            for (column, (text, look)) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column].saturating_sub(length(text)));
                let painted = self.painted(text, *look);
                let last = column + 1 == columns;
                let sentence = last && widths[column] > SENTENCE;
                line.push_str(if column == 0 { " " } else { "  " });
                line.push_str(&match column {
                    0 => format!("{painted}{pad}"),
                    _ if sentence => painted,
                    _ => format!("{pad}{painted}"),
                });
            }
            let _ = writeln!(self.text, "{}", line.trim_end());
        }
    }

    fn painted(&self, text: &str, look: Look) -> String {
        let text = words::clean(text);
        let code = match look {
            _ if !self.colour || text.is_empty() => return text,
            Look::Plain => return text,
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Good => "32",
            Look::Bad => "31;1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Sentences are broken here: what most terminals show in one line.
const LINE_MAX: usize = 96;

/// A last column wider than this holds sentences, which begin at one place.
const SENTENCE: usize = 24;
