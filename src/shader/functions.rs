//! The functions of a module: which of several of one name stands, and which are called at all.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// The mark above a function that stands only where no other file has one of its name.
const MARK: &str = "// default";

/// A function, with the comment above it.
#[derive(Debug)]
pub(super) struct Function<'a> {
    /// The text that it is in; none for the header.
    pub piece: Option<usize>,
    pub lines: Range<usize>,
    name: &'a str,
    is_default: bool,
    /// The names that are called in it.
    calls: HashSet<&'a str>,
}

/// All functions of a module, those of its header last.
pub(super) struct Functions<'a> {
    all: Vec<Function<'a>>,
}

impl<'a> Functions<'a> {
    pub fn of(header: &'a str, written: &'a [String]) -> Self {
        let pieces = written.iter().enumerate().map(|(nth, text)| (Some(nth), text.as_str()));
        let texts = pieces.chain([(None, header)]);
        Self {
            all: texts.flat_map(|(piece, text)| functions(piece, text)).collect(),
        }
    }

    /// Those that `main` does not come to, and defaults in whose place others stand.
    pub fn unused(self) -> Vec<Function<'a>> {
        let mut standing: HashMap<&str, usize> = HashMap::new();
        for (nth, own) in self.all.iter().enumerate() {
            let place = standing.entry(own.name).or_insert(nth);
            if self.all[*place].is_default && !own.is_default {
                *place = nth;
            }
        }
        let mut used = HashSet::new();
        let mut wanted = vec!["main"];
        while let Some(name) = wanted.pop() {
            let Some(&nth) = standing.get(name) else { continue }; // WGSL's own, or a struct's
            if used.insert(nth) {
                wanted.extend(&self.all[nth].calls);
            }
        }
        // Two of one name, neither of which is a default, are the compiler's to complain of.
        let names: HashSet<&str> = used.iter().map(|&nth| self.all[nth].name).collect();
        let stays =
            |(nth, own): &(usize, Function<'_>)| used.contains(nth) || !own.is_default && names.contains(own.name);
        let unused = self.all.into_iter().enumerate().filter(|own| !stays(own));
        unused.map(|(_, own)| own).collect()
    }
}

/// The name that a line begins to define.
fn defined(line: &str) -> Option<&str> {
    line.strip_prefix("fn ")
        .and_then(|rest| rest.split_once('('))
        .map(|(name, _)| name)
}

fn functions(piece: Option<usize>, text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut list = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(name) = defined(lines[at]) else {
            at += 1;
            continue;
        };
        let is_end = |line: &str| line == "}" || line.starts_with("fn ") && line.ends_with('}');
        let end = (at..lines.len())
            .find(|&nth| is_end(lines[nth]))
            .map_or(lines.len(), |end| end + 1);
        let above = lines[..at].iter().rev();
        let comment = above
            .take_while(|line| line.starts_with("//") || line.starts_with('@'))
            .count();
        list.push(Function {
            piece,
            // With the empty line behind it.
            lines: at - comment..end + usize::from(lines.get(end).is_some_and(|line| line.is_empty())),
            name,
            is_default: at > 0 && lines[at - 1] == MARK,
            calls: lines[at..end]
                .iter()
                .flat_map(|line| called(without_comment(line)))
                .collect(),
        });
        at = end;
    }
    list
}

fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// The names before an open parenthesis.
fn called(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('(').filter_map(|(at, _)| {
        let before = &line[..at];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let start = before.rfind(|c| !is_word(c)).map_or(0, |end| end + 1);
        (start < at).then_some(&before[start..])
    })
}
