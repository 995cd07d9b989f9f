//! From a variant to the text of a module: the header, what is derived, and the pieces without the defaults that they
//! do not need.

use std::collections::HashSet;

use super::unroll::unroll;
use super::{Const, Variant, lanes};

/// A module's text, and where each of its lines came from.
#[derive(Clone, Debug)]
pub struct Source {
    pub text: String,
    /// In order. Lines before the first are of the header.
    pub segments: Vec<Segment>,
}

/// Lines of a module that come from one file, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first of them in the module, counted from 1.
    pub first: usize,
    /// The file below `shaders/`.
    pub path: &'static str,
    /// The first of them in the file, counted from 1.
    pub line: usize,
}

impl Source {
    /// `shaders/driver/row.wgsl:12` for a line of the module.
    pub fn locate(&self, line: usize) -> String {
        match self.segments.iter().rev().find(|own| own.first <= line) {
            Some(own) => format!("shaders/{}:{}", own.path, line - own.first + own.line),
            None => format!("header:{line}"),
        }
    }
}

impl Variant {
    /// The constants of the header by the names that they have there: the variant's, then those that its pieces ask
    /// for.
    pub fn constants(&self) -> Vec<(String, Const)> {
        let own = self.consts.iter().map(|own| (own.name().to_owned(), *own));
        let of_piece = |piece: &super::Piece| {
            let piece = *piece;
            let named = move |own: &Const| (piece.for_operand(own.name()).into_owned(), *own);
            piece.consts.iter().map(named)
        };
        own.chain(self.pieces.iter().flat_map(of_piece)).collect()
    }

    /// Joins the header and the pieces.
    pub fn compose(&self) -> Source {
        let written: Vec<String> = self
            .pieces
            .iter()
            .map(|piece| unroll(&piece.for_operand(piece.text), &self.consts))
            .collect();
        let unused = unused_defaults(&written);
        let mut text = format!("// {}\n", self.label);
        for (name, own) in self.constants() {
            text += &own.declared(&name);
        }
        text += &lanes::derived(&written);
        let mut segments = Vec::new();
        let mut at = text.lines().count() + 1;
        for (nth, (piece, written)) in self.pieces.iter().zip(&written).enumerate() {
            let mut is_open = false;
            let operand = piece
                .operand
                .map_or(String::new(), |slot| format!(", for {}", slot.name()));
            text.push('\n');
            at += 1;
            for (line, words) in written.lines().enumerate() {
                if unused.iter().any(|own| own.piece == nth && own.lines.contains(&line)) {
                    is_open = false;
                    continue;
                }
                if !is_open {
                    is_open = true;
                    // Whoever reads the text, in a compiler's message too, sees where the next line is from.
                    text += &format!("// shaders/{}:{}{operand}\n", piece.path, line + 1);
                    at += 1;
                    segments.push(Segment {
                        first: at,
                        path: piece.path,
                        line: line + 1,
                    });
                }
                text += words;
                text.push('\n');
                at += 1;
            }
        }
        Source { text, segments }
    }
}

impl Const {
    fn name(&self) -> &'static str {
        match self {
            Self::U32(name, _) | Self::Bool(name, _) | Self::Scalar(name, _) => name,
        }
    }

    fn declared(&self, name: &str) -> String {
        match self {
            Self::U32(_, value) => format!("const {name}: u32 = {value}u;\n"),
            Self::Bool(_, value) => format!("const {name}: bool = {value};\n"),
            Self::Scalar(_, place) => format!("fn {name}() -> f32 {{ return {place}; }}\n"),
        }
    }
}

/// What a function marked as a default takes of its file, with the comment above it.
struct Provided<'a> {
    piece: usize,
    lines: std::ops::Range<usize>,
    name: &'a str,
    text: String,
}

/// The mark above a function that stands only where it is called and no other file has one of that name.
const MARK: &str = "// default";

/// The name that a line begins to define.
fn defined(line: &str) -> Option<&str> {
    line.strip_prefix("fn ")
        .and_then(|rest| rest.split_once('('))
        .map(|(name, _)| name)
}

fn unused_defaults(written: &[String]) -> Vec<Provided<'_>> {
    let mut defaults: Vec<Provided<'_>> = Vec::new();
    let mut rest = String::new();
    let mut names = HashSet::new();
    for (piece, text) in written.iter().enumerate() {
        let lines: Vec<&str> = text.lines().collect();
        let mut own: Vec<Provided<'_>> = (0..lines.len())
            .filter_map(|mark| default_at(piece, &lines, mark))
            .collect();
        for (at, line) in lines.iter().enumerate() {
            if !own.iter().any(|own| own.lines.contains(&at)) {
                names.extend(defined(line));
                rest += line;
                rest.push('\n');
            }
        }
        defaults.append(&mut own);
    }
    // One that is called may call others.
    let is_used =
        |own: &Provided<'_>, rest: &str, names: &HashSet<&str>| !names.contains(own.name) && calls(rest, own.name);
    while let Some(at) = defaults.iter().position(|own| is_used(own, &rest, &names)) {
        let used = defaults.remove(at);
        names.insert(used.name);
        rest += &used.text;
    }
    defaults
}

/// The default whose mark is at a line.
fn default_at<'a>(piece: usize, lines: &[&'a str], mark: usize) -> Option<Provided<'a>> {
    if lines[mark] != MARK {
        return None;
    }
    let name = lines.get(mark + 1).copied().and_then(defined)?;
    let is_end = |line: &&str| **line == *"}" || line.starts_with("fn ") && line.ends_with('}');
    let end = (mark + 1..lines.len()).find(|&at| is_end(&lines[at]))? + 1;
    let comment = lines[..mark]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("//"))
        .count();
    // With the empty line behind it.
    let end = end + usize::from(lines.get(end).is_some_and(|line| line.is_empty()));
    Some(Provided {
        piece,
        lines: mark - comment..end,
        name,
        text: lines[mark + 1..end].join("\n") + "\n",
    })
}

/// A text calls a function.
fn calls(text: &str, name: &str) -> bool {
    let word = format!("{name}(");
    text.match_indices(&word).any(|(at, _)| {
        let before = &text[..at];
        !before.ends_with("fn ") && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shader::Piece;

    fn variant(texts: &[&'static str]) -> Variant {
        let piece = |text| Piece {
            path: "file.wgsl",
            text,
            operand: None,
            consts: &[],
        };
        Variant {
            label: "label".into(),
            consts: vec![Const::Bool("IS", true)],
            pieces: texts.iter().copied().map(piece).collect(),
        }
    }

    const CALLER: &str = "// Calls.\nfn main() {\n    slot(1u);\n}\n";
    const DEFAULTS: &str = concat!(
        "// Of all.\n\n// Nothing.\n// default\nfn slot(x: u32) {\n    deeper(x);\n}\n\n",
        "// Deeper.\n// default\nfn deeper(x: u32) {}\n\n// Never called.\n// default\nfn never() {}\nfn last() {}\n"
    );

    #[test]
    fn a_default_stands_where_it_is_called_and_nobody_else_has_it() {
        let text = variant(&[CALLER, DEFAULTS]).compose().text;
        assert!(
            text.contains("fn slot(x: u32) {\n    deeper(x);")
                && text.contains("fn deeper")
                && text.contains("fn last")
        );
        assert!(!text.contains("never") && !text.contains("Never"));
    }

    #[test]
    fn a_definition_takes_the_place_of_a_default_and_of_what_that_alone_calls() {
        let text = variant(&[CALLER, DEFAULTS, "fn slot(x: u32) {}\n"]).compose().text;
        assert_eq!(text.matches("fn slot").count(), 1);
        assert!(!text.contains("deeper") && !text.contains("Deeper"), "{text}");
    }

    #[test]
    fn every_line_knows_its_file_and_number() {
        let source = variant(&[CALLER, DEFAULTS]).compose();
        let marks = source.text.lines().filter(|line| line.starts_with("// shaders/"));
        assert_eq!(
            marks.collect::<Vec<_>>(),
            [
                "// shaders/file.wgsl:1",
                "// shaders/file.wgsl:1",
                "// shaders/file.wgsl:16"
            ]
        );
        for (at, line) in source.text.lines().enumerate() {
            if line.starts_with("// shaders/") {
                continue;
            }
            let place = source.locate(at + 1);
            if let Some(number) = place.strip_prefix("shaders/file.wgsl:").filter(|_| !line.is_empty()) {
                let number: usize = number.parse().unwrap();
                let stands = |text: &str| text.lines().nth(number - 1) == Some(line);
                assert!(stands(CALLER) || stands(DEFAULTS), "line {} is at {place}", at + 1);
            } else {
                assert!(line.is_empty() || at < 2, "{line}: {place}");
            }
        }
        assert_eq!(source.locate(1), "header:1");
    }
}
