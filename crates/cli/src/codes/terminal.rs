//! Pages of codes in a terminal.

use tenure_core::Code;
use tenure_diagnose::catalogue::{self, Lang, Meaning};

use super::reason;
use crate::output::Paint;

/// How wide text is set.
const WIDTH: usize = 92;
/// How many of the server errors are shown unless all are wanted.
const ERRORS_SHOWN: usize = 12;

/// The page of a code, line by line.
pub fn page(code: Code, lang: Lang, all: bool, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rows = 0;
    for line in catalogue::page(code, lang).lines() {
        if let Some(row) = line.strip_prefix("| ") {
            rows += 1;
            // The first row is the table's head.
            if rows > 1 && (all || rows <= ERRORS_SHOWN + 1) {
                lines.push(error_line(row, paint));
            }
        } else if !line.starts_with("|---") {
            if rows > ERRORS_SHOWN + 1 && !all {
                lines.push(paint.dim(more(rows - 1 - ERRORS_SHOWN, code, lang)));
            }
            rows = 0;
            lines.extend(text_line(line, paint));
        }
    }
    lines
}

fn more(left: usize, code: Code, lang: Lang) -> String {
    match lang {
        Lang::En => format!("  and {left} more: tenure explain {code} --all"),
        Lang::Nl => format!("  en nog {left}: tenure explain {code} --all --lang nl"),
    }
}

fn error_line(row: &str, paint: Paint) -> String {
    let cells: Vec<String> = row
        .trim_end_matches('|')
        .replace("\\|", "\u{1}")
        .split(" | ")
        .map(|cell| cell.replace('\u{1}', "|").trim().to_owned())
        .collect();
    let cell = |at: usize| cells.get(at).map_or("", String::as_str);
    format!(
        "  {} {}  {}",
        paint.dim(format_args!("{}:", cell(0))),
        cell(1).replace('`', ""),
        paint.dim(cell(2).replace('`', "").replace('_', " ")),
    )
}

fn text_line(line: &str, paint: Paint) -> Vec<String> {
    if let Some(title) = line.strip_prefix("# ") {
        return vec![paint.bold(title)];
    }
    if let Some(title) = line.strip_prefix("## ") {
        return vec![paint.bold(title)];
    }
    let text = line.trim_end();
    let indent = match text.find(". ") {
        Some(at) if text[..at].bytes().all(|byte| byte.is_ascii_digit()) && at > 0 => at + 2,
        _ if text.starts_with("- ") => 2,
        _ => 0,
    };
    wrap(&plain_links(text), indent)
        .into_iter()
        .map(|line| inline(&line, paint))
        .collect()
}

/// `[API02007](API02007.md)` is `API02007`.
fn plain_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let link = after
            .split_once("](")
            .and_then(|(label, tail)| Some((label, tail.split_once(')')?.1)));
        if let Some((label, tail)) = link {
            out.push_str(label);
            rest = tail;
        } else {
            out.push('[');
            rest = after;
        }
    }
    out + rest
}

/// Words in lines; lines after the first are indented.
fn wrap(text: &str, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// `**bold**` and `` `code` `` as the terminal can show them.
fn inline(line: &str, paint: Paint) -> String {
    let bold: String = line
        .split("**")
        .enumerate()
        .map(|(at, part)| {
            if at % 2 == 1 {
                paint.bold(part)
            } else {
                part.to_owned()
            }
        })
        .collect();
    if paint.0 {
        bold.split('`')
            .enumerate()
            .map(|(at, part)| {
                if at % 2 == 1 {
                    paint.color(anstyle::AnsiColor::Cyan, part)
                } else {
                    part.to_owned()
                }
            })
            .collect()
    } else {
        bold
    }
}

/// What was found for a query, and how to read on.
pub fn found(query: &str, meaning: &Meaning, lang: Lang, paint: Paint) -> Vec<String> {
    let (can_mean, read) = match lang {
        Lang::En => ("can mean:", "Read on with `tenure explain CODE`."),
        Lang::Nl => (
            "kan betekenen:",
            "Lees verder met `tenure explain CODE --lang nl`.",
        ),
    };
    let mut lines = Vec::new();
    if let Some(other) = meaning.other {
        let said = wrap(&format!("{query}: {other}"), 0);
        lines.extend(said.into_iter().map(|line| inline(&line, paint)));
        if meaning.found.is_empty() {
            return lines;
        }
        lines.push(String::new());
    }
    lines.push(format!("{} {can_mean}", paint.bold(query)));
    for one in &meaning.found {
        lines.push(String::new());
        lines.push(format!(
            "{} {}",
            paint.bold(one.code),
            paint.bold(catalogue::title(one.code, lang))
        ));
        lines.push(format!("  {}", catalogue::summary(one.code, lang)));
        for hit in &one.hits {
            let reason = wrap(&reason(hit, lang), 2);
            let mark = |(at, line): (usize, String)| {
                format!("  {} {line}", if at == 0 { "-" } else { " " })
            };
            lines.extend(reason.into_iter().enumerate().map(mark));
        }
    }
    lines.push(String::new());
    lines.push(inline(read, paint));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_set_for_reading() {
        for code in Code::ALL {
            for lang in Lang::ALL {
                let lines = page(*code, lang, false, Paint(false));
                for line in &lines {
                    assert!(!line.contains("]("), "{code}: {line}");
                    assert!(!line.starts_with('|'), "{code}: {line}");
                    assert!(!line.contains("**"), "{code}: {line}");
                }
            }
        }
    }

    #[test]
    fn words_are_kept_when_lines_are_broken() {
        let text = "word ".repeat(60);
        let lines = wrap(text.trim(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        let words: usize = lines
            .iter()
            .map(|line| line.split_whitespace().count())
            .sum();
        assert_eq!(words, 60);
    }
}
