//! Products of matrices.
//!
//! An element's sum goes along the depth in order, whatever tile, cut or dispatch it lies in, so no cut and no tile
//! changes its bits; but for the sign of a sum of negative zeros, to which a slab that is not full adds 0.

use super::filter;
use super::order::Order;
use super::window::{Bound, Window, Windows, base_of, bindings, fit_together};
use super::{Dispatch, MULTIPLY_ADDS_PER_BYTE, Origin, Plan, Step, furthest, grid};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{ProductParams, Slot};
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::problem::FILTERED;
use crate::shader::pieces::Put;
use crate::shader::{Const, Piece, Variant, piece, pieces};
use crate::view::View;
use crate::words::Role;

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

/// Numbers that the sums of columns begin with.
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

/// What `filter` has left of a gradient's runs.
#[derive(Clone, Copy, Debug)]
pub struct Filtered {
    pub source: Origin,
    /// Rows and columns of the gradient.
    pub rows: u64,
    pub cols: u64,
}

/// The operands of a product: `bias[c]`, or 0, and the sums over k of `left[r, k] * right[c, k]`.
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

/// Where a product goes, in f32.
#[derive(Clone, Copy, Debug)]
pub struct Into {
    pub source: Origin,
    /// Bytes before the first element.
    pub offset: u64,
    /// Elements from row to row.
    pub stride: u64,
    /// Sums begin with what is there.
    pub adds: bool,
}

/// `into[r, c] = sum over k of left[r, k] * right[c, k]`, in f32.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub of: Operands,
    pub into: Into,
}

/// A workgroup's share of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub lines: [u64; 2],
    /// Quads of the depth in workgroup memory at a time.
    slab: u64,
    /// Quads of columns of a lane, which has two of rows.
    across: u32,
    pub width: u32,
}

/// Quads of rows of a lane.
const DOWN: u32 = 2;

/// Tiles that lie one below the other before the next one to the right.
const TURN: u64 = 8;

/// 16 KiB of workgroup memory, WebGPU's default, and 64 sums to a lane, or 32.
pub(super) const LARGE: Tile = Tile {
    lines: [128, 128],
    slab: 4,
    across: 2,
    width: 256,
};
const SMALL: Tile = Tile {
    lines: [64, 64],
    slab: 8,
    across: 1,
    width: 128,
};

/// Fewer large tiles leave a GPU idle.
const ENOUGH_TILES: u64 = 128;

/// Places of the depth that a dispatch adds up, at most; and those of lines that lie across the depth, of which all
/// tiles read the same places, so that few of them stay in a cache.
const MOST_DEPTH: u64 = 32_768;
const MOST_ACROSS: u64 = 1024;

impl Tile {
    /// Of a product with so many elements from row to row.
    pub fn of(lines: [u64; 2], stride: u64, limits: &Limits) -> Self {
        let tiles = lines[0].div_ceil(LARGE.lines[0]) * lines[1].div_ceil(LARGE.lines[1]);
        let fits = 4 * LARGE.lines[0] * stride + limits.offset_alignment <= limits.max_binding_bytes;
        if tiles >= ENOUGH_TILES && fits { LARGE } else { SMALL }
    }

    /// Lanes that have columns of the same rows, one beside the other.
    pub fn lanes_across(&self) -> u32 {
        self.lines[1] as u32 / 4 / self.across
    }

    pub fn iterations(&self, depth: u64) -> u64 {
        depth.div_ceil(4 * self.slab) * (1 + self.slab)
    }
}

/// A part of a product that one dispatch makes: rows, columns and places of the depth, from and to.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub lines: [(u64, u64); 2],
    pub depth: (u64, u64),
}

impl Part {
    pub fn multiply_adds(&self) -> u64 {
        let [rows, cols] = self.lines.map(|(first, end)| end - first);
        rows * cols * (self.depth.1 - self.depth.0)
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

fn are_quads(offset: u64, stride: u64, dtype: Dtype, limits: &Limits) -> bool {
    let quad = 4 * dtype.bytes();
    offset.is_multiple_of(quad) && stride.is_multiple_of(4) && limits.offset_alignment.is_multiple_of(quad)
}

/// How a product is cut into dispatches.
pub struct Cut<'a> {
    pub of: &'a Operands,
    pub tile: Tile,
    /// The whole depth in each dispatch.
    pub is_whole: bool,
    /// What a part binds.
    pub windows: &'a dyn Fn(&Part) -> Vec<Bound>,
    pub limits: &'a Limits,
}

impl Cut<'_> {
    /// The parts, in their order: along the depth last of all, so that sums go on where they ended.
    pub fn parts(&self) -> Result<Vec<Part>> {
        let (tile, limits, Operands { lines, depth: all, .. }) = (self.tile, self.limits, *self.of);
        let mut list = Vec::new();
        if lines.contains(&0) {
            return Ok(list);
        }
        if limits.max_width < tile.width {
            return Err(Error::Limit(format!(
                "a product: workgroups of {} invocations, at most {}",
                tile.width, limits.max_width
            )));
        }
        let mut depth = 0;
        loop {
            let end = self.depth_end(depth)?;
            let mut first = 0;
            while first < lines[1] {
                first = self.add_columns(&mut list, first, (depth, end))?;
            }
            depth = end;
            if depth >= all {
                return Ok(list);
            }
        }
    }

    /// How far along the depth a dispatch can go, for a tile at least.
    fn depth_end(&self, first: u64) -> Result<u64> {
        let (tile, lines, all) = (&self.tile, self.of.lines, self.of.depth);
        let most = match self.of.right.lies {
            Lies::Across if !self.is_whole => MOST_ACROSS,
            _ => MOST_DEPTH,
        };
        let mut depth = most.min(all - first);
        loop {
            let part = Part {
                lines: [0, 1].map(|side: usize| (0, tile.lines[side].min(lines[side]))),
                depth: (first, first + depth),
            };
            let is_enough = !self.is_whole || depth == all;
            if is_enough && self.holds(&part) {
                return Ok(first + depth);
            }
            if depth <= 4 * tile.slab || self.is_whole {
                return Err(Error::Limit(format!(
                    "a product: {} lines of an operand, of {depth} elements each, or the rows that they come to, do not fit \
                     into a binding of {} bytes, or a loop of {MAX_ITERATIONS} iterations",
                    tile.lines[0], self.limits.max_binding_bytes
                )));
            }
            // Whole slabs, so that quads stay aligned.
            depth = (depth / 2).next_multiple_of(4 * tile.slab);
        }
    }

    /// Adds the parts of as many columns as fit, and tells where these end.
    fn add_columns(&self, list: &mut Vec<Part>, first: u64, depth: (u64, u64)) -> Result<u64> {
        let (tile, lines) = (&self.tile, self.of.lines);
        let tiles = [0, 1].map(|side: usize| lines[side].div_ceil(tile.lines[side]));
        let run = |side: usize, (first, end): (u64, u64)| {
            (first * tile.lines[side], (end * tile.lines[side]).min(lines[side]))
        };
        let part = |rows, cols| Part {
            lines: [run(0, rows), run(1, cols)],
            depth,
        };
        let holds = |rows, cols| self.holds(&part(rows, cols));
        let col = first / tile.lines[1];
        let mut high = TURN.min(tiles[0]);
        while high > 1 && !holds((0, high), (col, col + 1)) {
            high /= 2;
        }
        let too_large = || Error::Limit("a product: a tile does not fit into one binding".into());
        let col_end = furthest(col, tiles[1], |end| holds((0, high), (col, end))).ok_or_else(too_large)?;
        let mut row = 0;
        while row < tiles[0] {
            let end = furthest(row, tiles[0], |end| holds((row, end), (col, col_end))).ok_or_else(too_large)?;
            list.push(part((row, end), (col, col_end)));
            row = end;
        }
        Ok(run(1, (col, col_end)).1)
    }

    /// One dispatch can make it.
    fn holds(&self, part: &Part) -> bool {
        let (tiles, limits) = (tiles(&self.tile, part), self.limits);
        let is_short = part.multiply_adds() / MULTIPLY_ADDS_PER_BYTE <= limits.max_dispatch_bytes;
        // Lines may lie apart, or anywhere in a window.
        fit_together(&(self.windows)(part), tiles, limits) && (tiles == 1 || is_short)
    }

    /// The dispatch of a part, once its params are known.
    pub fn dispatch(&self, part: &Part, variant: Variant, params: &[u8]) -> Dispatch {
        let tiles = tiles(&self.tile, part);
        Dispatch {
            variant,
            params: params.to_vec(),
            bindings: bindings(&(self.windows)(part) as &Windows, self.limits),
            groups: grid(tiles, self.limits),
            iterations: self.tile.iterations(part.depth.1 - part.depth.0),
            tiles: (0, tiles),
            multiply_adds: part.multiply_adds(),
        }
    }
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
        // Behind the first cut of the depth, sums begin with what is there.
        if let Some(bias) = self.bias.filter(|_| part.depth.0 == 0) {
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

    /// The params of a part that all products have.
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
        let mut list = vec![piece!("driver/product.wgsl")];
        for (slot, (own, quads)) in [(Slot::Left, left), (Slot::Right, right)] {
            list.push(match own.lies {
                Lies::Along => piece!("product/lines.wgsl", slot),
                Lies::Across => piece!("product/columns.wgsl", slot),
            });
            list.push(pieces::read(slot, own.dtype, quads));
        }
        list.extend([pieces::PARAMS, pieces::given(Slot::Bias, bias)]);
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

    pub fn dtypes(&self) -> impl Iterator<Item = Dtype> {
        let bias = self.bias.map(|own| own.dtype);
        [Some(self.left.dtype), Some(self.right.dtype), bias]
            .into_iter()
            .flatten()
    }
}

impl Product {
    pub fn add(&self, plan: &mut Plan, limits: &Limits) -> Result<()> {
        let tile = Tile::of(self.of.lines, self.into.stride, limits);
        let windows = |part: &Part| self.windows(part);
        let cut = Cut {
            of: &self.of,
            tile,
            is_whole: false,
            windows: &windows,
            limits,
        };
        for part in cut.parts()? {
            let mut params = self.of.params(&part, &tile, &windows(&part), limits);
            params.product_stride = self.into.stride as u32;
            if let Some(own) = self.scattered() {
                let ahead = own.order.inputs.0 * self.into.stride;
                params.product_base = params.product_base.wrapping_sub(ahead as u32);
            }
            let dispatch = cut.dispatch(
                &part,
                self.variant(&tile, self.adds(&part), limits),
                bytemuck::bytes_of(&params),
            );
            plan.steps.push(Step::Dispatch(Box::new(dispatch)));
        }
        Ok(())
    }

    /// The order of the rows that its rows go to.
    fn scattered(&self) -> Option<Ordered> {
        let scatters = |own: &Ordered| own.what == Side::Rows { scatters: true };
        self.of.ordered.filter(scatters)
    }

    /// Sums begin with what is there: behind the first cut of the depth all do.
    fn adds(&self, part: &Part) -> bool {
        self.into.adds || part.depth.0 > 0
    }

    fn windows(&self, part: &Part) -> Vec<Bound> {
        let [rows, cols] = part.lines;
        let touched = (rows.1 - rows.0) * (cols.1 - cols.0);
        let rows = self.scattered().map_or(rows, |own| own.order.inputs);
        let Into {
            source, offset, stride, ..
        } = self.into;
        let product = Window {
            origin: offset,
            ..Window::scratch(source, 4, rows.0 * stride + cols.0, (rows.1 - 1) * stride + cols.1)
        };
        let times = if self.adds(part) { 2 } else { 1 };
        let mut list = self.of.windows(part);
        list.push((Slot::Product, true, product.touching(touched * times)));
        list
    }

    fn variant(&self, tile: &Tile, adds: bool, limits: &Limits) -> Variant {
        let (mut list, mut consts, name) = self.of.pieces(tile, !adds, limits);
        let writes_quads = writes_quads(self.of.lines[1], &self.into, limits);
        list.push(piece!("product/written.wgsl"));
        list.push(match adds {
            true => pieces::over(Slot::Product, Dtype::F32, writes_quads),
            false => pieces::write(Slot::Product, Dtype::F32, writes_quads, Put::Write),
        });
        list.extend(pieces::half(self.of.dtypes(), limits));
        consts.extend([Const::Bool("ADDS", adds), Const::Bool("LEAVES", adds)]);
        let how = match (adds, writes_quads) {
            (true, true) => "/adds/x4",
            (true, false) => "/adds",
            (false, true) => "/x4",
            (false, false) => "",
        };
        Variant {
            shared: Vec::new(),
            label: format!("product/{name}{how}"),
            consts,
            pieces: list,
        }
    }
}

/// Every four elements of a row of so many are written at once.
pub fn writes_quads(cols: u64, into: &Into, limits: &Limits) -> bool {
    cols.is_multiple_of(4) && are_quads(into.offset, into.stride, Dtype::F32, limits)
}

/// There is a lane for each block of both operands in a slab.
fn is_apart(tile: &Tile) -> bool {
    u64::from(tile.width) == (tile.lines[0] + tile.lines[1]) / 4 * tile.slab
}

fn tiles(tile: &Tile, part: &Part) -> u64 {
    let of = |side: usize| (part.lines[side].1 - part.lines[side].0).div_ceil(tile.lines[side]);
    of(0) * of(1)
}

/// Plans `into = left · right`: matrices without gaps, either of which may be given transposed, into f32.
///
/// # Errors
/// [`Error::Operand`] where they do not go together; [`Error::Limit`] where a tile does not fit into one binding.
pub fn plan_product([left, right, into]: [&View; 3], transposed: [bool; 2], limits: &Limits) -> Result<Plan> {
    let sides = |view: &View, transposed: bool| match (view.shape.as_slice(), transposed) {
        (&[a, b], false) => Some((a as u64, b as u64)),
        (&[a, b], true) => Some((b as u64, a as u64)),
        _ => None,
    };
    let shapes = (
        sides(left, transposed[0]),
        sides(right, transposed[1]),
        sides(into, false),
    );
    let (Some((rows, depth)), Some((other, cols)), Some(out)) = shapes else {
        let message = format!(
            "expected matrices, got {:?} and {:?}, and {:?} for the product",
            left.shape, right.shape, into.shape
        );
        return Err(Error::operand("left", message));
    };
    if depth != other || out != (rows, cols) {
        let told = |(view, is_transposed): (&View, bool)| {
            let word = if is_transposed { " transposed" } else { "" };
            format!("{:?}{word}", view.shape)
        };
        let message = format!(
            "{} times {} is no {:?}",
            told((left, transposed[0])),
            told((right, transposed[1])),
            into.shape
        );
        return Err(Error::operand("left", message));
    }
    let matrix = |view: &View, role: Role, lies: Lies| Matrix {
        source: Origin::Tensor(role),
        dtype: view.dtype,
        offset: view.offset,
        stride: view.row_stride as u64,
        lies,
        padded: false,
    };
    let lies = |across: bool| if across { Lies::Across } else { Lies::Along };
    let product = Product {
        of: Operands {
            left: matrix(left, Role::Input, lies(transposed[0])),
            right: matrix(right, Role::Target, lies(!transposed[1])),
            bias: None,
            ordered: None,
            filtered: None,
            lines: [rows, cols],
            depth,
        },
        into: Into {
            source: Origin::Tensor(Role::Loss),
            offset: into.offset,
            stride: into.row_stride as u64,
            adds: false,
        },
    };
    let mut plan = Plan::default();
    product.add(&mut plan, limits)?;
    Ok(plan)
}
