//! What products are of, wherever it lies.

use super::cut::{DOWN, Part, TURN, Tile, is_apart, tiles};
use crate::dtype::Dtype;
use crate::layout::{ProductParams, Slot};
use crate::limits::Limits;
use crate::plan::order::Order;
use crate::plan::window::{Bound, Window, Windows, base_of};
use crate::plan::{Origin, filter, grid};
use crate::problem::FILTERED;
use crate::shader::pieces::Reads;
use crate::shader::{Const, Piece, piece, pieces};

/// How the lines of a matrix lie: each along the depth, or all across it, one beside the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies {
    Along,
    Across,
}

/// A matrix somewhere in memory.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    pub source: Origin,
    pub dtype: Dtype,
    /// Bytes before its first element.
    pub offset: u64,
    /// Elements from one line to the next, or, where they lie across, from one place of the depth to the next.
    pub stride: u64,
    pub lies: Lies,
    /// What lies behind the last element of a line may be read, up to a whole quad.
    pub padded: bool,
}

/// Numbers that the sums of columns end with.
#[derive(Clone, Copy, Debug)]
pub struct Bias {
    pub source: Origin,
    pub dtype: Dtype,
    /// Bytes before its first element.
    pub offset: u64,
    /// Elements from one column to the next.
    pub step: u64,
}

/// Rows in an order of their own, as a product takes them, or leaves them.
#[derive(Clone, Copy, Debug)]
pub struct Ordered {
    pub order: Order,
    /// The place of the first row.
    pub first: u64,
    pub what: Side,
}

/// What of a product is in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The lines of the left operand; all of them, or those that take part.
    Left { all: bool },
    /// The rows of the product, which go to those of the input, or stay in the order.
    Rows { scatters: bool },
    /// The depth, along the lines of the right operand.
    Depth,
}

/// What `filter` has left of a gradient's runs.
#[derive(Clone, Copy, Debug)]
pub struct Filtered {
    pub source: Origin,
    /// Rows and columns of the gradient.
    pub rows: u64,
    pub cols: u64,
}

/// The operands of a product: the sums over k of `left[r, k] * right[c, k]`, and `bias[c]`, or 0.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    pub left: Matrix,
    pub right: Matrix,
    pub bias: Option<Bias>,
    pub ordered: Option<Ordered>,
    /// What is left of the runs of the left operand, a gradient: those that are 0 are passed over.
    pub filtered: Option<Filtered>,
    /// Lines of either.
    pub lines: [u64; 2],
    pub depth: u64,
}

impl Ordered {
    /// The params of a dispatch that takes places from one on; orders begin where their binding does.
    fn params(self, place: u64) -> ProductParams {
        ProductParams {
            first_place: place as u32,
            ..Default::default()
        }
    }

    fn pieces(self) -> Vec<Piece> {
        let own = match self.what {
            Side::Left { all: true } => piece!("product/ordered_left.wgsl"; Const::Bool("ALL", true)),
            Side::Left { all: false } => piece!("product/ordered_left.wgsl"; Const::Bool("ALL", false)),
            Side::Rows { scatters: true } => piece!("product/ordered_written.wgsl"),
            Side::Rows { scatters: false } => piece!("product/ordered_sums.wgsl"),
            Side::Depth => piece!("product/ordered_depth.wgsl"),
        };
        vec![piece!("product/taking.wgsl"), own]
    }

    /// Those of drivers that go by rows.
    pub fn rows_pieces() -> [Piece; 2] {
        [piece!("product/taking.wgsl"), piece!("product/ordered_rows.wgsl")]
    }

    fn name(self) -> &'static str {
        match self.what {
            Side::Left { all: true } => "/ordered_all",
            Side::Left { all: false } => "/ordered",
            Side::Rows { scatters: true } => "/ordered_rows",
            Side::Rows { scatters: false } => "/ordered_sums",
            Side::Depth => "/ordered_depth",
        }
    }
}

impl Matrix {
    fn window(&self, (first, end): (u64, u64), depth: (u64, u64)) -> Window {
        let (outer, inner) = match self.lies {
            Lies::Along => ((first, end), depth),
            Lies::Across => (depth, (first, end)),
        };
        let [from, to] = [
            outer.0 * self.stride + inner.0,
            // Of quads that are read whole.
            outer.1.saturating_sub(1) * self.stride
                + if self.padded {
                    inner.1.next_multiple_of(4)
                } else {
                    inner.1
                },
        ];
        Window {
            source: self.source,
            origin: self.offset,
            element_bytes: self.dtype.bytes(),
            first: from,
            // Nothing, where there is no depth.
            end: if depth.0 == depth.1 { from } else { to },
            touched: (end - first) * (depth.1 - depth.0),
        }
    }

    /// Every four elements that a lane reads are whole and aligned.
    fn has_quads(&self, lines: u64, depth: u64, limits: &Limits) -> bool {
        let inner = match self.lies {
            Lies::Along => depth,
            Lies::Across => lines,
        };
        lines > 0
            && depth > 0
            && (inner.is_multiple_of(4) || self.padded)
            && are_quads(self.offset, self.stride, self.dtype, limits)
    }
}

pub(super) fn are_quads(offset: u64, stride: u64, dtype: Dtype, limits: &Limits) -> bool {
    let quad = 4 * dtype.bytes();
    offset.is_multiple_of(quad) && stride.is_multiple_of(4) && limits.offset_alignment.is_multiple_of(quad)
}

impl Operands {
    pub fn windows(&self, part: &Part) -> Vec<Bound> {
        let [rows, cols] = part.lines;
        let (mut left, mut right) = (self.left.window(rows, part.depth), self.right.window(cols, part.depth));
        // Rows of the input that are in an order lie anywhere.
        match self.ordered.map(|own| (own.what, own.order.inputs)) {
            Some((Side::Left { .. }, inputs)) => left = self.left.window(inputs, part.depth).touching(left.touched),
            Some((Side::Depth, inputs)) => right = self.right.window(cols, inputs).touching(right.touched),
            _ => {}
        }
        let mut list = vec![(Slot::Left, false, left), (Slot::Right, false, right)];
        list.extend(self.ordered.map(|own| (Slot::Order, false, own.order.window())));
        list.extend(self.filtered.map(|own| {
            let words = filter::left_bytes(own.rows, own.cols) / 4;
            (Slot::Filter, false, Window::scratch(own.source, 4, 0, words))
        }));
        if let Some(bias) = self.bias.filter(|_| self.ends(part)) {
            let window = Window {
                source: bias.source,
                origin: bias.offset,
                element_bytes: bias.dtype.bytes(),
                first: cols.0 * bias.step,
                end: (cols.1 - 1) * bias.step + 1,
                touched: cols.1 - cols.0,
            };
            list.push((Slot::Bias, false, window));
        }
        list
    }

    /// Sums are whole behind this part: what comes last is added to them.
    pub fn ends(&self, part: &Part) -> bool {
        part.depth.1 == self.depth
    }

    /// The params of a part, but for what becomes of its sums.
    pub fn params(&self, part: &Part, tile: &Tile, windows: &Windows, limits: &Limits) -> ProductParams {
        let tiles = tiles(tile, part);
        // Orders have rows of the input, counted from its first.
        let ahead = |slot| match self.ordered.map(|own| (own.what, own.order.inputs.0)) {
            Some((Side::Left { .. }, first)) if slot == Slot::Left => first * self.left.stride,
            Some((Side::Depth, first)) if slot == Slot::Right => first * self.right.stride,
            _ => 0,
        };
        let base = |slot| base_of(windows, slot, limits).wrapping_sub(ahead(slot) as u32);
        ProductParams {
            left_lines: (part.lines[0].1 - part.lines[0].0) as u32,
            right_lines: (part.lines[1].1 - part.lines[1].0) as u32,
            depth: (part.depth.1 - part.depth.0) as u32,
            end_tile: tiles as u32,
            groups_x: grid(tiles, limits)[0],
            left_base: base(Slot::Left),
            left_stride: self.left.stride as u32,
            right_base: base(Slot::Right),
            right_stride: self.right.stride as u32,
            product_base: base(Slot::Product),
            bias_base: base(Slot::Bias),
            bias_step: self.bias.map_or(0, |bias| bias.step) as u32,
            first_run: part.lines[0].0 as u32,
            first_depth: part.depth.0 as u32,
            run_stride: self.filtered.map_or(0, |own| filter::runs(own.cols)) as u32,
            ..self.ordered.map_or(ProductParams::default(), |own| {
                let place = match own.what {
                    Side::Depth => own.first + part.depth.0,
                    _ => own.first + part.lines[0].0,
                };
                own.params(place)
            })
        }
    }

    /// The pieces and constants that all products have, and the operands in a label.
    pub fn pieces(&self, tile: &Tile, has_bias: bool, limits: &Limits) -> (Vec<Piece>, Vec<Const>, String) {
        let bias = self.bias.filter(|_| has_bias).map(|own| own.dtype);
        let [left, right] = [(self.left, self.lines[0]), (self.right, self.lines[1])]
            .map(|(own, lines)| (own, own.has_quads(lines, self.depth, limits)));
        let reads = self.reads();
        let mut list = vec![piece!("driver/product.wgsl"), piece!("params/product.wgsl")];
        for (slot, (own, quads)) in [(Slot::Left, left), (Slot::Right, right)] {
            list.push(match own.lies {
                Lies::Along => piece!("product/lines.wgsl", slot),
                Lies::Across => piece!("product/columns.wgsl", slot),
            });
            list.push(reads.read(slot, own.dtype, quads));
        }
        list.extend([pieces::PARAMS, reads.given(Slot::Bias, bias)]);
        list.extend(self.ordered.into_iter().flat_map(Ordered::pieces));
        list.extend(self.filtered.map(|_| match self.left.lies {
            Lies::Along => piece!("product/filtered.wgsl"; Const::Bool("BY_ROWS", true)),
            Lies::Across => piece!("product/filtered.wgsl"; Const::Bool("BY_ROWS", false)),
        }));
        let named = |(own, quads): (Matrix, bool)| {
            let lies = match own.lies {
                Lies::Along => "along",
                Lies::Across => "across",
            };
            format!("{}_{lies}{}", own.dtype, if quads { "_x4" } else { "" })
        };
        let consts = vec![
            Const::U32("WIDTH", tile.width),
            Const::U32("TILE_ROWS", tile.lines[0] as u32),
            Const::U32("TILE_COLS", tile.lines[1] as u32),
            Const::U32("SLAB", tile.slab as u32),
            Const::U32("DOWN", DOWN),
            Const::U32("LINES", 4 * DOWN),
            Const::U32("ACROSS", tile.across),
            Const::U32("PLACES", 4),
            Const::U32("TURN", TURN as u32),
            Const::Bool("APART", is_apart(tile)),
            Const::U32("RUN", FILTERED as u32),
            Const::Bool("BIASED", bias.is_some()),
        ];
        let label = format!(
            "{}-{}{}{}{}/{}x{}x{}",
            named(left),
            named(right),
            bias.map_or(String::new(), |dtype| format!("-bias_{dtype}")),
            self.ordered.map_or("", Ordered::name),
            if self.filtered.is_some() { "/filtered" } else { "" },
            tile.lines[0],
            tile.lines[1],
            4 * tile.slab
        );
        (list, consts, label)
    }

    /// How all operands of its kernel are read.
    pub fn reads(&self) -> Reads {
        Reads::of(self.dtypes())
    }

    pub fn dtypes(&self) -> impl Iterator<Item = Dtype> {
        let bias = self.bias.map(|own| own.dtype);
        [Some(self.left.dtype), Some(self.right.dtype), bias]
            .into_iter()
            .flatten()
    }
}
