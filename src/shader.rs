//! Shaders by concatenation: a variant is a list of pieces under a header of constants. The order of declarations in
//! a WGSL module is free, so a slot nobody fills is the compile error "no definition in scope", and one filled twice
//! is a "redefinition".

use crate::layout::Slot;
use crate::tensor::Dtype;

/// A file of `shaders/`, embedded. Those of `shaders/access` are written for any `OPERAND` and its `SLOT`, and serve every
/// operand: name and binding number are put in when a variant is composed, and for `OVER` the name of what goes over it.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The path below `shaders/`.
    pub path: &'static str,
    pub text: &'static str,
    pub operand: Option<Slot>,
}

impl Piece {
    fn key(&self) -> (&'static str, Option<Slot>) {
        (self.path, self.operand)
    }

    /// The text, for its operand.
    fn written(&self) -> std::borrow::Cow<'static, str> {
        match self.operand {
            None => self.text.into(),
            Some(slot) => {
                let text = self
                    .text
                    .replace("OPERAND", slot.name())
                    .replace("OVER", slot.over().name());
                text.replace("SLOT", &(slot as u32).to_string()).into()
            }
        }
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Piece {}

impl std::hash::Hash for Piece {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Embeds `shaders/$path`; with a slot, a file of `shaders/access` for that operand.
macro_rules! piece {
    ($path:literal) => {
        $crate::shader::Piece {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
            operand: None,
        }
    };
    ($path:literal, $slot:expr) => {
        $crate::shader::Piece {
            operand: Some($slot),
            ..piece!($path)
        }
    };
}
pub(crate) use piece;

/// A constant of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Const {
    U32(&'static str, u32),
    Bool(&'static str, bool),
    /// A function of no arguments that reads a number of the params: name and place.
    Scalar(&'static str, &'static str),
}

/// What makes one pipeline: nothing that travels in the params is in here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The pipeline's label: `cross_entropy/fused/f32/group8`.
    pub label: String,
    pub consts: Vec<Const>,
    pub pieces: Vec<Piece>,
}

/// A module's text, and where each of its lines came from.
pub struct Source {
    pub text: String,
    /// (first line of the module, counted from 1; path of the piece)
    pub lines: Vec<(usize, &'static str)>,
}

impl Source {
    /// `piece.wgsl:12` for a line of the module.
    pub fn locate(&self, line: usize) -> String {
        match self.lines.iter().rev().find(|(first, _)| *first <= line) {
            Some((first, path)) => format!("shaders/{path}:{}", line - first + 1),
            None => format!("header:{line}"),
        }
    }
}

impl Variant {
    /// Joins the header and the pieces.
    pub fn compose(&self) -> Source {
        let mut text = format!("// {}\n", self.label);
        for constant in &self.consts {
            text += &match constant {
                Const::U32(name, value) => format!("const {name}: u32 = {value}u;\n"),
                Const::Bool(name, value) => format!("const {name}: bool = {value};\n"),
                Const::Scalar(name, place) => format!("fn {name}() -> f32 {{ return {place}; }}\n"),
            };
        }
        let mut lines = Vec::new();
        for piece in &self.pieces {
            text.push('\n');
            lines.push((text.lines().count() + 1, piece.path));
            text += &unroll(&piece.written(), &self.consts);
        }
        Source { text, lines }
    }
}

/// Writes out the loops whose first line ends with `// unrolled`, one block for each value of the counter, which is a
/// constant there. Not every compiler unrolls, and an array at an index that is no constant is memory. All of a loop stands
/// on its first line, so that the others keep their numbers.
fn unroll(text: &str, consts: &[Const]) -> String {
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

/// The pieces that more than one driver chooses from, by what they are chosen by.
pub(crate) mod pieces {
    use super::{Dtype, Piece, Slot};

    pub const PARAMS: Piece = piece!("piece/params.wgsl");
    pub const MATH: Piece = piece!("piece/math.wgsl");
    pub const FAULT: Piece = piece!("piece/fault.wgsl");
    pub const TREE_WORKGROUP: Piece = piece!("piece/tree_workgroup.wgsl");
    pub const COUNT_SKIP: Piece = piece!("piece/row_count_skip.wgsl");
    pub const TREE_LANE: Piece = piece!("piece/tree_lane.wgsl");
    pub const SUM: Piece = piece!("monoid/sum.wgsl");
    pub const SCALE_STATIC: Piece = piece!("piece/scale_static.wgsl");
    pub const SCALE_COUNTED: Piece = piece!("piece/scale_counted.wgsl");

    /// Where an output goes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Put {
        /// Into its memory.
        Write,
        /// On top of what its memory holds.
        Add,
    }

    /// An operand that is only read; `quads`: four at a time, aligned and whole.
    pub fn read(slot: Slot, dtype: Dtype, quads: bool) -> Piece {
        match (dtype.is_half(), quads) {
            (false, false) => piece!("access/read_f32.wgsl", slot),
            (false, true) => piece!("access/read_f32_x4.wgsl", slot),
            (true, false) => piece!("access/read_half.wgsl", slot),
            (true, true) => piece!("access/read_half_x4.wgsl", slot),
        }
    }

    /// An operand that was not given: 1 everywhere.
    pub fn one(slot: Slot) -> Piece {
        piece!("access/one.wgsl", slot)
    }

    /// An operand read one by one, or 1 where there is none.
    pub fn given(slot: Slot, dtype: Option<Dtype>) -> Piece {
        dtype.map_or(one(slot), |dtype| read(slot, dtype, false))
    }

    /// An output that is not wanted.
    pub fn skip(slot: Slot) -> Piece {
        piece!("access/skip.wgsl", slot)
    }

    /// An output.
    pub fn write(slot: Slot, dtype: Dtype, quads: bool, put: Put) -> Piece {
        match (put, dtype.is_half(), quads) {
            (Put::Write, false, false) => piece!("access/write_f32.wgsl", slot),
            (Put::Write, false, true) => piece!("access/write_f32_x4.wgsl", slot),
            (Put::Write, true, false) => piece!("access/write_half.wgsl", slot),
            (Put::Write, true, true) => piece!("access/write_half_x4.wgsl", slot),
            (Put::Add, false, false) => piece!("access/add_f32.wgsl", slot),
            (Put::Add, false, true) => piece!("access/add_f32_x4.wgsl", slot),
            (Put::Add, true, false) => piece!("access/add_half.wgsl", slot),
            (Put::Add, true, true) => piece!("access/add_half_x4.wgsl", slot),
        }
    }

    /// An operand over which [`Slot::over`] is written: its gradient, or itself anew.
    pub fn over(slot: Slot, dtype: Dtype, quads: bool) -> Piece {
        match (dtype.is_half(), quads) {
            (false, false) => piece!("access/over_f32.wgsl", slot),
            (false, true) => piece!("access/over_f32_x4.wgsl", slot),
            (true, false) => piece!("access/over_half.wgsl", slot),
            (true, true) => piece!("access/over_half_x4.wgsl", slot),
        }
    }

    /// How 16-bit floats become f32 and back; nothing where no operand has 16 bits.
    pub fn half(dtypes: impl IntoIterator<Item = Dtype>) -> &'static [Piece] {
        match dtypes.into_iter().find(|dtype| dtype.is_half()) {
            Some(Dtype::F16) => &[piece!("piece/half.wgsl"), piece!("piece/half_f16.wgsl")],
            Some(_) => &[piece!("piece/half.wgsl"), piece!("piece/half_bf16.wgsl")],
            None => &[],
        }
    }

    /// Class targets; every other dtype was refused when the problem was made.
    pub fn labels(dtype: Dtype) -> Piece {
        match dtype {
            Dtype::U8 => piece!("piece/labels_u8.wgsl"),
            Dtype::I32 => piece!("piece/labels_i32.wgsl"),
            Dtype::U32 => piece!("piece/labels_u32.wgsl"),
            _ => piece!("piece/labels_i64.wgsl"),
        }
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
