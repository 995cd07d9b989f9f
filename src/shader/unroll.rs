//! Loops over the registers of a lane, written out.

use super::Const;

/// Writes out the loops whose first line ends with `// unrolled`, one block for each value of the counter, which is a
/// constant there. Not every compiler unrolls, and an array at an index that is no constant is memory. All of a loop stands
/// on its first line, so that the others keep their numbers.
pub(super) fn unroll(text: &str, consts: &[Const]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(counter) = Counter::of(line, consts) {
            let close = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != close).collect();
            let block: String = unroll(&body.join("\n"), consts)
                .lines()
                .flat_map(|line| [line.split("//").next().unwrap_or(line).trim(), " "])
                .collect();
            for value in (0..counter.end).step_by(counter.step) {
                out += &format!("{{ const {} = {value}u; {block}}} ", counter.name);
            }
            out += &"\n".repeat(body.len() + 1);
        } else {
            out += line;
        }
        out.push('\n');
    }
    out
}

/// What a loop to be written out counts.
struct Counter<'a> {
    name: &'a str,
    end: u32,
    step: usize,
}

impl<'a> Counter<'a> {
    /// Of `for (var NAME = 0u; NAME < CONST; NAME += 4u) { // unrolled`, or with `NAME++`.
    fn of(line: &'a str, consts: &[Const]) -> Option<Self> {
        let head = line.trim_start().strip_prefix("for (var ")?;
        let head = head.strip_suffix(") { // unrolled")?;
        let (name, rest) = head.split_once(" = 0u; ")?;
        let (bound, step) = rest.strip_prefix(name)?.strip_prefix(" < ")?.split_once("; ")?;
        let end = consts.iter().find_map(|constant| match constant {
            Const::U32(own, value) if *own == bound => Some(*value),
            _ => None,
        })?;
        let step = match step.strip_prefix(name)? {
            "++" => 1,
            step => step.strip_prefix(" += ")?.strip_suffix('u')?.parse().ok()?,
        };
        Some(Self { name, end, step })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSTS: [Const; 2] = [Const::U32("COLS", 6), Const::U32("PACK", 2)];

    #[test]
    fn a_marked_loop_is_written_out_and_the_lines_behind_it_keep_their_numbers() {
        let text = "a();\n    for (var c = 0u; c < COLS; c += 4u) { // unrolled\n        put(c); // one\n    }\nb();\n";
        let expected = "a();\n{ const c = 0u; put(c); } { const c = 4u; put(c); } \n\n\nb();\n";
        assert_eq!(unroll(text, &CONSTS), expected);
    }

    #[test]
    fn a_loop_within_a_loop() {
        let text = "for (var r = 0u; r < PACK; r++) { // unrolled\n    for (var c = 0u; c < COLS; c += 3u) { // unrolled\n        f(r, c);\n    }\n}\nend\n";
        let inner = "{ const c = 0u; f(r, c); } { const c = 3u; f(r, c); }";
        let expected = format!("{{ const r = 0u; {inner} }} {{ const r = 1u; {inner} }}");
        let written = unroll(text, &CONSTS);
        let (first, rest) = written.split_once('\n').unwrap();
        assert_eq!(first.split_whitespace().collect::<Vec<_>>().join(" "), expected);
        assert_eq!(rest, "\n\n\n\nend\n");
    }

    #[test]
    fn other_loops_stay() {
        for text in [
            "for (var c = 0u; c < COLS; c++) {\n}\n",
            "for (var c = 0u; c < OTHER; c++) { // unrolled\n}\n",
            "for (var c = 1u; c < COLS; c++) { // unrolled\n}\n",
        ] {
            assert_eq!(unroll(text, &CONSTS), text);
        }
    }
}
