//! From a variant to the text of a module: the header, what is derived, and the pieces without the defaults that they
//! do not need.

use std::borrow::Cow;

use super::functions::Functions;
use super::prune::{RARE, Values, declared, without_dead_branches};
use super::unroll::unroll;
use super::{Const, Piece, Variant, lanes};
use crate::layout::Slot;

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
        let of_piece = |piece: &Piece| {
            let piece = *piece;
            let named = move |own: &Const| (piece.for_operand(own.name()).into_owned(), *own);
            piece.consts.iter().map(named)
        };
        own.chain(self.pieces.iter().flat_map(of_piece)).collect()
    }

    /// Joins the header and the pieces, without what the constants rule out.
    pub fn compose(&self) -> Source {
        let bound = |piece: &Piece| writable(piece.for_operand(piece.text), &self.shared);
        let texts: Vec<_> = self.pieces.iter().map(bound).collect();
        let mut values: Values = texts.iter().flat_map(|text| declared(text)).collect();
        values.extend(
            self.constants()
                .into_iter()
                .filter_map(|(name, own)| Some((name, own.value()?))),
        );
        for name in RARE {
            values.entry((*name).to_owned()).or_insert(0);
        }
        let mut gone = Vec::new();
        let written: Vec<String> = texts
            .iter()
            .map(|text| {
                let lines = without_dead_branches(text, &values);
                gone.push(lines.iter().map(Option::is_none).collect::<Vec<_>>());
                let kept: String = lines
                    .iter()
                    .flat_map(|line| [line.as_deref().unwrap_or_default(), "\n"])
                    .collect();
                unroll(&kept, &self.consts)
            })
            .collect();
        let mut header = format!("// {}\n", self.label);
        for (name, own) in self.constants() {
            header += &own.declared(&name);
        }
        header += &lanes::derived(&written);
        let unused = Functions::of(&header, &written).unused();
        for own in unused.iter() {
            if let Some(piece) = own.piece {
                gone[piece][own.lines.clone()].fill(true);
            }
        }
        let is_unused = |nth: usize| unused.iter().any(|own| own.piece.is_none() && own.lines.contains(&nth));
        let mut text: String = (header.lines().enumerate())
            .filter(|(nth, _)| !is_unused(*nth))
            .flat_map(|(_, line)| [line, "\n"])
            .collect();
        let mut segments = Vec::new();
        let mut at = text.lines().count() + 1;
        for ((piece, written), gone) in self.pieces.iter().zip(&written).zip(&gone) {
            let lines = || written.lines().zip(gone).enumerate().filter(|(_, (_, gone))| !**gone);
            if lines().all(|(_, (line, _))| line.is_empty() || line.starts_with("//")) {
                continue; // nothing is left but its comments
            }
            let operand = piece
                .operand
                .map_or(String::new(), |slot| format!(", for {}", slot.name()));
            text.push('\n');
            at += 1;
            let mut next = None;
            for (line, (words, _)) in lines() {
                if next != Some(line) {
                    // Whoever reads the text, in a compiler's message too, sees where the next line is from.
                    text += &format!("// shaders/{}:{}{operand}\n", piece.path, line + 1);
                    at += 1;
                    segments.push(Segment {
                        first: at,
                        path: piece.path,
                        line: line + 1,
                    });
                }
                next = Some(line + 1);
                text += words;
                text.push('\n');
                at += 1;
            }
        }
        Source { text, segments }
    }
}

/// A text that binds the slots that it has of these `read_write`.
fn writable<'a>(text: Cow<'a, str>, shared: &[Slot]) -> Cow<'a, str> {
    let declares = |slot: &Slot| format!("@binding({}) var<storage, read> ", *slot as u32);
    shared
        .iter()
        .map(declares)
        .fold(text, |text, own| match text.contains(&own) {
            true => text.replace(&own, &own.replace(", read>", ", read_write>")).into(),
            false => text,
        })
}

impl Const {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::U32(name, _) | Self::Bool(name, _) | Self::Scalar(name, _) => name,
        }
    }

    /// Of those that conditions are made of.
    fn value(&self) -> Option<u32> {
        match self {
            Self::U32(_, value) => Some(*value),
            Self::Bool(_, value) => Some(u32::from(*value)),
            Self::Scalar(..) => None,
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
            shared: Vec::new(),
            label: "label".into(),
            consts: vec![Const::Bool("IS", true)],
            pieces: texts.iter().copied().map(piece).collect(),
        }
    }

    const CALLER: &str = "// Calls.\nfn main() {\n    slot(1u);\n    last();\n}\n";
    const DEFAULTS: &str = concat!(
        "// Of all.\n\n// Nothing.\n// default\nfn slot(x: u32) {\n    deeper(x);\n}\n\n",
        "// Deeper.\n// default\nfn deeper(x: u32) {}\n\n// Never called.\nfn never() {}\nfn last() {}\n"
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
                "// shaders/file.wgsl:15"
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
