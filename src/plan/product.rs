//! Products of matrices, and the multiply-adds that they are measured against.
//!
//! An element's sum goes along the depth in order, whatever tile, cut or dispatch it lies in, so no cut and no tile
//! changes its bits; but for the sign of a sum of negative zeros, to which a slab that is not full adds 0.

use super::window::{Window, Windows, base_of, bindings, fit};
use super::{Dispatch, MULTIPLY_ADDS_PER_BYTE, Origin, Plan, Step, furthest, grid};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{MultiplyParams, ProductParams, Slot};
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::shader::pieces::Put;
use crate::shader::{Const, Variant, piece, pieces};
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
}

/// `into[r, c] = sum over k of left[r, k] * right[c, k]`, in f32.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub left: Matrix,
    pub right: Matrix,
    /// Lines of either.
    pub lines: [u64; 2],
    pub depth: u64,
    /// Where the product goes, in f32: source, bytes before the first element, elements from row to row.
    pub into: (Origin, u64, u64),
}

/// A workgroup's share of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    lines: [u64; 2],
    /// Quads of the depth in workgroup memory at a time.
    slab: u64,
    /// Quads of columns of a lane, which has two of rows.
    across: u32,
    width: u32,
}

/// Quads of rows of a lane.
const DOWN: u32 = 2;

/// Tiles that lie one below the other before the next one to the right.
const TURN: u64 = 8;

/// 16 KiB of workgroup memory, WebGPU's default, and 64 sums to a lane, or 32.
const LARGE: Tile = Tile {
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

/// Places of the depth that a dispatch adds up, at most.
const MOST_DEPTH: u64 = 32_768;

impl Tile {
    /// Of a product with so many elements from row to row.
    fn of(lines: [u64; 2], stride: u64, limits: &Limits) -> Self {
        let tiles = lines[0].div_ceil(LARGE.lines[0]) * lines[1].div_ceil(LARGE.lines[1]);
        let fits = 4 * LARGE.lines[0] * stride + limits.offset_alignment <= limits.max_binding_bytes;
        if tiles >= ENOUGH_TILES && fits { LARGE } else { SMALL }
    }

    fn iterations(&self, depth: u64) -> u64 {
        depth.div_ceil(4 * self.slab) * (1 + self.slab)
    }
}

/// A part of a product that one dispatch makes: rows, columns and places of the depth, from and to.
#[derive(Clone, Copy)]
struct Part {
    lines: [(u64, u64); 2],
    depth: (u64, u64),
}

impl Part {
    fn multiply_adds(&self) -> u64 {
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
            outer.1.saturating_sub(1) * self.stride + inner.1,
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
        inner.is_multiple_of(4) && are_quads(self.offset, self.stride, self.dtype, limits)
    }
}

fn are_quads(offset: u64, stride: u64, dtype: Dtype, limits: &Limits) -> bool {
    let quad = 4 * dtype.bytes();
    offset.is_multiple_of(quad) && stride.is_multiple_of(4) && limits.offset_alignment.is_multiple_of(quad)
}

impl Product {
    pub fn add(&self, plan: &mut Plan, limits: &Limits) -> Result<()> {
        if self.lines.contains(&0) {
            return Ok(());
        }
        let tile = Tile::of(self.lines, self.into.2, limits);
        if limits.max_width < tile.width {
            return Err(Error::Limit(format!(
                "a product: workgroups of {} invocations, at most {}",
                tile.width, limits.max_width
            )));
        }
        let mut depth = 0;
        loop {
            let end = self.depth_end(&tile, depth, limits)?;
            let mut first = 0;
            while first < self.lines[1] {
                first = self.add_columns(plan, &tile, first, (depth, end), limits)?;
            }
            depth = end;
            if depth >= self.depth {
                return Ok(());
            }
        }
    }

    /// How far along the depth a dispatch can go, for a tile at least.
    fn depth_end(&self, tile: &Tile, first: u64, limits: &Limits) -> Result<u64> {
        let mut depth = MOST_DEPTH.min(self.depth - first);
        loop {
            let part = Part {
                lines: [0, 1].map(|side: usize| (0, tile.lines[side].min(self.lines[side]))),
                depth: (first, first + depth),
            };
            if self.holds(tile, &part, limits) {
                return Ok(first + depth);
            }
            if depth <= 4 * tile.slab {
                return Err(Error::Limit(format!(
                    "a product: {} lines of an operand, or rows of {} columns, do not fit into a binding of {} bytes",
                    tile.lines[0], self.into.2, limits.max_binding_bytes
                )));
            }
            // Whole slabs, so that quads stay aligned.
            depth = (depth / 2).next_multiple_of(4 * tile.slab);
        }
    }

    /// Adds the dispatches of as many columns as fit, and tells where these end.
    fn add_columns(&self, plan: &mut Plan, tile: &Tile, first: u64, depth: (u64, u64), limits: &Limits) -> Result<u64> {
        let tiles = [0, 1].map(|side: usize| self.lines[side].div_ceil(tile.lines[side]));
        let run = |side: usize, (first, end): (u64, u64)| {
            (first * tile.lines[side], (end * tile.lines[side]).min(self.lines[side]))
        };
        let part = |rows, cols| Part {
            lines: [run(0, rows), run(1, cols)],
            depth,
        };
        let holds = |rows, cols| self.holds(tile, &part(rows, cols), limits);
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
            self.add_dispatch(plan, tile, &part((row, end), (col, col_end)), limits);
            row = end;
        }
        Ok(run(1, (col, col_end)).1)
    }

    /// One dispatch can make it.
    fn holds(&self, tile: &Tile, part: &Part, limits: &Limits) -> bool {
        let tiles = tiles(tile, part);
        let is_short = part.multiply_adds() / MULTIPLY_ADDS_PER_BYTE <= limits.max_dispatch_bytes;
        fit(&self.windows(part), tiles, limits) && (tiles == 1 || is_short)
    }

    fn windows(&self, part: &Part) -> Vec<(Slot, bool, Window)> {
        let [rows, cols] = part.lines;
        let (source, origin, stride) = self.into;
        let product = Window {
            origin,
            ..Window::scratch(source, 4, rows.0 * stride + cols.0, (rows.1 - 1) * stride + cols.1)
        };
        let touched = (rows.1 - rows.0) * (cols.1 - cols.0);
        // Behind the first cut of the depth, sums begin with what is there.
        let times = if part.depth.0 > 0 { 2 } else { 1 };
        vec![
            (Slot::Left, false, self.left.window(rows, part.depth)),
            (Slot::Right, false, self.right.window(cols, part.depth)),
            (Slot::Product, true, product.touching(touched * times)),
        ]
    }

    fn add_dispatch(&self, plan: &mut Plan, tile: &Tile, part: &Part, limits: &Limits) {
        let windows = self.windows(part);
        let tiles = tiles(tile, part);
        let groups = grid(tiles, limits);
        let base = |slot| base_of(&windows, slot, limits);
        let params = ProductParams {
            left_lines: (part.lines[0].1 - part.lines[0].0) as u32,
            right_lines: (part.lines[1].1 - part.lines[1].0) as u32,
            depth: (part.depth.1 - part.depth.0) as u32,
            end_tile: tiles as u32,
            groups_x: groups[0],
            left_base: base(Slot::Left),
            left_stride: self.left.stride as u32,
            right_base: base(Slot::Right),
            right_stride: self.right.stride as u32,
            product_base: base(Slot::Product),
            product_stride: self.into.2 as u32,
            pad0: 0,
        };
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: self.variant(tile, part.depth.0 > 0, limits),
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings: bindings(&windows as &Windows, limits),
            groups,
            iterations: tile.iterations(part.depth.1 - part.depth.0),
            tiles: (0, tiles),
            multiply_adds: part.multiply_adds(),
        })));
    }

    fn variant(&self, tile: &Tile, adds: bool, limits: &Limits) -> Variant {
        let [left, right] = [(self.left, self.lines[0]), (self.right, self.lines[1])]
            .map(|(own, lines)| (own, own.has_quads(lines, self.depth, limits)));
        let (_, offset, stride) = self.into;
        let writes_quads = self.lines[1].is_multiple_of(4) && are_quads(offset, stride, Dtype::F32, limits);
        let mut list = vec![piece!("driver/product.wgsl")];
        for (slot, (own, quads)) in [(Slot::Left, left), (Slot::Right, right)] {
            list.push(match own.lies {
                Lies::Along => piece!("product/lines.wgsl", slot),
                Lies::Across => piece!("product/columns.wgsl", slot),
            });
            list.push(pieces::read(slot, own.dtype, quads));
        }
        list.push(match adds {
            true => pieces::over(Slot::Product, Dtype::F32, writes_quads),
            false => pieces::write(Slot::Product, Dtype::F32, writes_quads, Put::Write),
        });
        list.push(pieces::PARAMS);
        list.extend(pieces::half([left, right].map(|(own, _)| own.dtype), limits));
        let named = |(own, quads): (Matrix, bool)| {
            let lies = match own.lies {
                Lies::Along => "along",
                Lies::Across => "across",
            };
            format!("{}_{lies}{}", own.dtype, if quads { "_x4" } else { "" })
        };
        Variant {
            shared: Vec::new(),
            label: format!(
                "product/{}-{}/{}x{}x{}{}",
                named(left),
                named(right),
                tile.lines[0],
                tile.lines[1],
                4 * tile.slab,
                match (adds, writes_quads) {
                    (true, true) => "/adds/x4",
                    (true, false) => "/adds",
                    (false, true) => "/x4",
                    (false, false) => "",
                }
            ),
            consts: vec![
                Const::U32("WIDTH", tile.width),
                Const::U32("TILE_ROWS", tile.lines[0] as u32),
                Const::U32("TILE_COLS", tile.lines[1] as u32),
                Const::U32("SLAB", tile.slab as u32),
                Const::U32("DOWN", DOWN),
                Const::U32("LINES", 4 * DOWN),
                Const::U32("ACROSS", tile.across),
                Const::U32("QUAD", 4),
                Const::U32("TURN", TURN as u32),
                Const::Bool("APART", is_apart(tile)),
                Const::Bool("ADDS", adds),
            ],
            pieces: list,
        }
    }
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
    };
    let lies = |across: bool| if across { Lies::Across } else { Lies::Along };
    let product = Product {
        left: matrix(left, Role::Input, lies(transposed[0])),
        right: matrix(right, Role::Target, lies(!transposed[1])),
        lines: [rows, cols],
        depth,
        into: (Origin::Tensor(Role::Loss), into.offset, into.row_stride as u64),
    };
    let mut plan = Plan::default();
    product.add(&mut plan, limits)?;
    Ok(plan)
}

/// Sums of a lane in the kernel of multiply-adds, as vectors of four.
const SUMS: u32 = 16;

/// Plans multiply-adds between registers alone, and tells how many they are: the ceiling of products. What the last of
/// its dispatches comes to goes to [`Role::Loss`], a number for each of the lanes of `groups` workgroups.
///
/// # Errors
/// [`Error::Operand`] for more workgroups than a dispatch can have.
pub fn plan_multiply(groups: u32, turns: u32, limits: &Limits) -> Result<(Plan, u64)> {
    let width = LARGE.width.min(limits.max_width);
    if groups > limits.max_groups {
        let message = format!("{groups} given, expected at most {}", limits.max_groups);
        return Err(Error::operand("groups", message));
    }
    let lanes = u64::from(groups) * u64::from(width);
    let of_a_turn = lanes * 4 * 4 * u64::from(SUMS);
    let most = limits.max_dispatch_bytes * MULTIPLY_ADDS_PER_BYTE / of_a_turn.max(1);
    let most = most.clamp(1, MAX_ITERATIONS - 1) as u32;
    let mut plan = Plan::default();
    let mut left = turns;
    while left > 0 {
        let own = left.min(most);
        plan.steps
            .push(Step::Dispatch(Box::new(multiply(groups, width, own, limits))));
        left -= own;
    }
    Ok((plan, of_a_turn * u64::from(turns)))
}

fn multiply(groups: u32, width: u32, turns: u32, limits: &Limits) -> Dispatch {
    let lanes = u64::from(groups) * u64::from(width);
    let into = Window::scratch(Origin::Tensor(Role::Loss), 4, 0, lanes);
    let params = MultiplyParams {
        turns,
        factor: 0.999,
        term: 0.001,
        pad0: 0,
    };
    Dispatch {
        variant: Variant {
            shared: Vec::new(),
            label: format!("multiply/group{width}"),
            consts: vec![
                Const::U32("WIDTH", width),
                Const::U32("SUMS", SUMS),
                Const::U32("QUAD", 4),
            ],
            pieces: vec![
                piece!("driver/multiply.wgsl"),
                pieces::write(Slot::Result, Dtype::F32, false, Put::Write),
                pieces::PARAMS,
            ],
        },
        params: bytemuck::bytes_of(&params).to_vec(),
        bindings: bindings(&[(Slot::Result, true, into)], limits),
        groups: [groups, 1],
        iterations: turns.into(),
        tiles: (0, groups.into()),
        multiply_adds: lanes * u64::from(turns) * 4 * 4 * u64::from(SUMS),
    }
}
