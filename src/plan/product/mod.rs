//! Products of matrices.
//!
//! An element's sum goes along the depth in order, whatever tile, cut or dispatch it lies in, so no cut and no tile
//! changes its bits; but for the sign of a sum of negative zeros, to which a slab that is not full adds 0.

mod cut;
mod operands;

pub(super) use cut::LARGE;
pub use cut::{Cut, Part, Tile};
use operands::are_quads;
pub use operands::{Bias, Filtered, Lies, Matrix, Operands, Ordered, Side};

use super::window::{Bound, Window};
use super::{Origin, Plan, Step};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::limits::Limits;
use crate::shader::pieces::Put;
use crate::shader::{Const, Variant, piece, pieces};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

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

impl Product {
    pub fn add(&self, plan: &mut Plan, limits: &Limits, tuning: &Tuning) -> Result<()> {
        let tile = Tile::of(self.of.lines, self.into.stride, limits, tuning);
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
            let dispatch = cut.dispatch(&part, self.variant(&tile, &part, limits), bytemuck::bytes_of(&params));
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

    fn variant(&self, tile: &Tile, part: &Part, limits: &Limits) -> Variant {
        let adds = self.adds(part);
        let (mut list, mut consts, name) = self.of.pieces(tile, self.of.ends(part), limits);
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

/// Plans `into = left · right`: matrices without gaps, either of which may be given transposed, into f32.
///
/// # Errors
/// [`Error::Operand`] where they do not go together; [`Error::Limit`] where a tile does not fit into one binding.
pub fn plan_product(
    [left, right, into]: [&View; 3],
    transposed: [bool; 2],
    limits: &Limits,
    tuning: &Tuning,
) -> Result<Plan> {
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
    product.add(&mut plan, limits, tuning)?;
    Ok(plan)
}
