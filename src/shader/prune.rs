//! What a variant's constants rule out: branches that no invocation takes, lines that say `// where NAME` of a constant
//! that is false (fields of structs), and functions that nothing calls. Compilers would find that out, too, once they
//! have inlined it wherever it stands.

use std::borrow::Cow;
use std::collections::HashMap;

/// The constants of a module by name: 0 and 1 are `false` and `true` where a condition asks.
pub(super) type Values = HashMap<String, u32>;

/// Constants that few variants have: false in the others, whose text does not name them.
pub(super) const RARE: &[&str] = &["STATS_GRADS"];

/// The constants that a text declares: `const NAME = 3u;`, with a type or without.
pub(super) fn declared(text: &str) -> impl Iterator<Item = (String, u32)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("const ")?.split_once(" = ")?;
        let name = name.split(':').next()?.trim_end();
        Some((name.to_owned(), number(value.split(';').next()?)?))
    })
}

/// `3u`, or a word of truth.
fn number(text: &str) -> Option<u32> {
    match text {
        "true" => Some(1),
        "false" => Some(0),
        _ => text.strip_suffix('u')?.parse().ok(),
    }
}

/// A text without the branches that its constants rule out. Lines keep their numbers: those that are gone are empty,
/// and `None` in what is returned.
pub(super) fn without_dead_branches<'a>(text: &'a str, values: &Values) -> Vec<Option<Cow<'a, str>>> {
    let mut lines: Vec<Option<Cow<'a, str>>> = text.lines().map(|line| Some(line.into())).collect();
    let mut at = 0;
    while at < lines.len() {
        if !decide(&mut lines, at, values) {
            at += 1;
        }
    }
    lines
}

type Lines<'a> = [Option<Cow<'a, str>>];

fn is_at<'a>(lines: &'a Lines<'_>, at: usize) -> &'a str {
    lines[at].as_deref().unwrap_or_default()
}

fn indent_of(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

/// Decides the branch that begins at a line, where constants do. Whether the line has to be looked at again.
fn decide(lines: &mut Lines<'_>, at: usize, values: &Values) -> bool {
    let line = is_at(lines, at).to_owned();
    let indent = indent_of(&line);
    let Some(head) = line.trim_start().strip_prefix("if (") else {
        // What a line says of itself.
        let own = line.rsplit_once("// where ");
        if own.is_some_and(|(_, condition)| truth(condition, values) == Some(false)) {
            lines[at] = None;
        }
        return false;
    };
    let Some(condition) = head.strip_suffix(") {") else {
        // All on one line.
        if let Some((condition, _)) = head.split_once(") { ")
            && head.ends_with('}')
            && truth(condition, values) == Some(false)
        {
            lines[at] = None;
        }
        return false;
    };
    let Some(holds) = truth(condition, values) else {
        return false;
    };
    let end_of = |lines: &Lines<'_>, from: usize| {
        let close = format!("{indent}}}");
        (from + 1..lines.len()).find(|&nth| is_at(lines, nth).starts_with(&close))
    };
    let Some(close) = end_of(lines, at) else { return false };
    let mut last = close; // of the whole chain of branches
    while is_at(lines, last).ends_with('{') {
        let Some(next) = end_of(lines, last) else { return false };
        last = next;
    }
    if holds {
        if last > close {
            lines[close] = Some(format!("{indent}}}").into());
            lines[close + 1..=last].fill(None);
        }
        end(lines, at, close);
        return false;
    }
    lines[at..close].fill(None);
    let other = is_at(lines, close).trim_start();
    match other.strip_prefix("} else ") {
        Some("{") => {
            lines[close] = Some(format!("{indent}{{").into());
            end(lines, close, last);
        }
        Some(next) => {
            let next = format!("{indent}{next}");
            lines[at] = Some(next.into()); // on the line that is looked at, so that it is looked at again
            lines[close] = None;
            return true;
        }
        None => lines[close] = None,
    }
    false
}

/// Where a block that is always run returns, what follows it in the block around it is never reached.
fn end(lines: &mut Lines<'_>, open: usize, close: usize) {
    let mut statements = (open + 1..close).rev().map(|nth| is_at(lines, nth).trim());
    let returns = statements
        .find(|line| !line.is_empty() && !line.starts_with("//"))
        .is_some_and(|line| line.starts_with("return"));
    if !returns {
        return;
    }
    let indent = indent_of(is_at(lines, close)).to_owned();
    lines[open] = Some(format!("{indent}{{").into());
    let is_inside = |line: &str| line.is_empty() || line.starts_with(&indent) && !indent.is_empty();
    let after = (close + 1..lines.len()).take_while(|&nth| is_inside(is_at(lines, nth)));
    let after: Vec<usize> = after.collect();
    for nth in after {
        lines[nth] = None;
    }
}

/// What a condition comes to, as far as constants tell.
fn truth(condition: &str, values: &Values) -> Option<bool> {
    let condition = unwrapped(condition);
    if let Some(parts) = split(condition, &[" | ", " || "]) {
        return folded(parts.into_iter().map(|part| truth(part, values)), true);
    }
    if let Some(parts) = split(condition, &[" & ", " && "]) {
        return folded(parts.into_iter().map(|part| truth(part, values)), false);
    }
    if let Some(rest) = condition.strip_prefix('!') {
        return truth(rest, values).map(|holds| !holds);
    }
    let value = |word: &str| values.get(word).copied().or_else(|| number(word));
    for sign in [" == ", " != ", " <= ", " >= ", " < ", " > "] {
        let Some((left, right)) = condition.split_once(sign) else {
            continue;
        };
        let order = value(left)?.cmp(&value(right)?);
        return Some(match sign {
            " == " => order.is_eq(),
            " != " => order.is_ne(),
            " <= " => order.is_le(),
            " >= " => order.is_ge(),
            " < " => order.is_lt(),
            _ => order.is_gt(),
        });
    }
    value(condition).map(|value| value != 0)
}

/// Of several, one that decides does; else all have to be known.
fn folded(parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let all: Vec<Option<bool>> = parts.collect();
    if all.contains(&Some(decisive)) {
        return Some(decisive);
    }
    (!all.contains(&None)).then_some(!decisive)
}

/// Without parentheses around all of it.
fn unwrapped(text: &str) -> &str {
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    match inner.filter(|inner| depths(inner).all(|(_, depth)| depth >= 0)) {
        Some(inner) => unwrapped(inner),
        None => text,
    }
}

/// How deep in parentheses each place is, after it.
fn depths(text: &str) -> impl Iterator<Item = (usize, i32)> {
    text.bytes().enumerate().scan(0, |depth, (at, byte)| {
        *depth += i32::from(byte == b'(') - i32::from(byte == b')');
        Some((at, *depth))
    })
}

/// The parts between signs outside of parentheses, where there are any.
fn split<'a>(text: &'a str, signs: &[&str]) -> Option<Vec<&'a str>> {
    let mut parts = Vec::new();
    let mut first = 0;
    for (at, depth) in depths(text) {
        let sign = signs.iter().find(|sign| depth == 0 && text[at..].starts_with(**sign));
        if let Some(sign) = sign {
            parts.push(&text[first..at]);
            first = at + sign.len();
        }
    }
    if parts.is_empty() {
        return None;
    }
    parts.push(&text[first..]);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let own = [("ON", 1), ("OFF", 0), ("KIND", 3), ("THREE", 3)];
        own.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }

    fn pruned(text: &str) -> String {
        let lines = without_dead_branches(text, &values());
        assert_eq!(lines.len(), text.lines().count());
        lines.iter().flatten().flat_map(|line| [&**line, "\n"]).collect()
    }

    #[test]
    fn conditions_of_constants_are_decided() {
        for (condition, holds) in [
            ("ON", Some(true)),
            ("!ON", Some(false)),
            ("OFF & (x > 1u)", Some(false)),
            ("(x > 1u) | ON", Some(true)),
            ("ON & (x > 1u)", None),
            ("x", None),
            ("KIND == THREE", Some(true)),
            ("KIND <= 2u", Some(false)),
            ("!(OFF | (KIND != 3u))", Some(true)),
            ("(ON) & (OFF)", Some(false)),
            ("ON | OFF", Some(true)),
        ] {
            assert_eq!(truth(condition, &values()), holds, "{condition}");
        }
    }

    #[test]
    fn constants_of_a_text_are_found() {
        let text = "const A = 2u;\nconst B: bool = true;\nconst C = 1.5;\n    const D = 1u;\n";
        assert_eq!(declared(text).collect::<Vec<_>>(), [("A".into(), 2), ("B".into(), 1)]);
    }

    #[test]
    fn what_is_ruled_out_goes() {
        let text = "fn f() {\n    if (OFF) {\n        a();\n    }\n    if (x) { b(); }\n    if (OFF) { c(); }\n}\n";
        assert_eq!(pruned(text), "fn f() {\n    if (x) { b(); }\n}\n");
        let text = "    if (ON) {\n        a();\n    } else {\n        b();\n    }\n    c();\n";
        assert_eq!(pruned(text), "    if (ON) {\n        a();\n    }\n    c();\n");
        let text =
            "    if (OFF) {\n        a();\n    } else if (x) {\n        b();\n    } else {\n        c();\n    }\n";
        assert_eq!(
            pruned(text),
            "    if (x) {\n        b();\n    } else {\n        c();\n    }\n"
        );
        let text =
            "    if (OFF) {\n        a();\n    } else if (OFF) {\n        b();\n    } else {\n        c();\n    }\n";
        assert_eq!(pruned(text), "    {\n        c();\n    }\n");
    }

    #[test]
    fn a_line_goes_by_what_it_says_of_itself() {
        let text = "struct S {\n    a: u32, // where ON\n    b: u32, // where OFF\n    c: u32, // where it is\n}\n";
        assert_eq!(
            pruned(text),
            "struct S {\n    a: u32, // where ON\n    c: u32, // where it is\n}\n"
        );
    }

    #[test]
    fn nothing_follows_a_branch_that_always_returns() {
        let text =
            "fn f() {\n    if (ON) {\n        return a();\n    }\n    let x = 1;\n\n    return x;\n}\n\nfn g() {}\n";
        assert_eq!(
            pruned(text),
            "fn f() {\n    {\n        return a();\n    }\n}\n\nfn g() {}\n"
        );
        let text = "fn f() {\n    if (OFF) {\n        return a();\n    } else {\n        return b();\n    }\n}\n";
        assert_eq!(pruned(text), "fn f() {\n    {\n        return b();\n    }\n}\n");
    }
}
