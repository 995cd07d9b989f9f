//! The sums of the columns of a matrix in scratch, row after row.

use super::product::{Into, Ordered};
use super::window::{Bound, Window, base_of, bindings, fit};
use super::{Dispatch, Origin, Plan, Step, furthest, grid};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{ColumnSumsParams, Slot};
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::shader::pieces::Put;
use crate::shader::{Const, Variant, piece, pieces};

/// Columns of a workgroup.
const WIDTH: u32 = 64;

/// A matrix in f32, and where its sums go: `into.stride` apart.
pub struct ColumnSums {
    pub from: Origin,
    /// Elements before its first, and from row to row.
    pub first: u64,
    pub stride: u64,
    pub rows: u64,
    pub cols: u64,
    pub into: Into,
    /// The order of the rows, of which only those that take part are added.
    pub ordered: Option<Ordered>,
}

impl ColumnSums {
    pub fn add(&self, plan: &mut Plan, limits: &Limits) -> Result<()> {
        let width = u64::from(WIDTH);
        let mut row = 0;
        loop {
            let most = self.rows.min(row + MAX_ITERATIONS / 2);
            // The rows of one tile of columns, then as many columns as go with them.
            let end = match most > row {
                true => furthest(row, most, |end| {
                    self.fits((row, end), (0, width.min(self.cols)), limits)
                }),
                false => Some(row),
            };
            let end =
                end.ok_or_else(|| Error::Limit("sums of columns: a tile does not fit into one binding".into()))?;
            let mut col = 0;
            while col < self.cols {
                let tiles = (self.cols - col).div_ceil(width);
                let last = |tiles: u64| self.cols.min(col + tiles * width);
                let tiles = furthest(0, tiles, |tiles| self.fits((row, end), (col, last(tiles)), limits)).unwrap_or(1);
                self.add_dispatch(plan, (row, end), (col, last(tiles)), limits);
                col = last(tiles);
            }
            row = end;
            if row >= self.rows {
                return Ok(());
            }
        }
    }

    fn fits(&self, rows: (u64, u64), cols: (u64, u64), limits: &Limits) -> bool {
        let tiles = (cols.1 - cols.0).div_ceil(u64::from(WIDTH));
        fit(&self.windows(rows, cols), tiles, limits)
    }

    fn windows(&self, rows: (u64, u64), cols: (u64, u64)) -> Vec<Bound> {
        let at = |row: u64, col: u64| self.first + row * self.stride + col;
        let count = cols.1 - cols.0;
        // Nothing, of no rows.
        let end = if rows.0 == rows.1 {
            at(rows.0, cols.0)
        } else {
            at(rows.1 - 1, cols.1)
        };
        let from = Window::scratch(self.from, 4, at(rows.0, cols.0), end);
        let into = Window {
            origin: self.into.offset,
            ..Window::scratch(
                self.into.source,
                4,
                cols.0 * self.into.stride,
                (cols.1 - 1) * self.into.stride + 1,
            )
        };
        let mut list = vec![
            (Slot::Input, false, from.touching((rows.1 - rows.0) * count)),
            (Slot::Product, true, into.touching(count)),
        ];
        list.extend(self.ordered.map(|own| (Slot::Order, false, own.order.window())));
        list
    }

    fn add_dispatch(&self, plan: &mut Plan, rows: (u64, u64), cols: (u64, u64), limits: &Limits) {
        let windows = self.windows(rows, cols);
        let tiles = (cols.1 - cols.0).div_ceil(u64::from(WIDTH));
        let groups = grid(tiles, limits);
        let params = ColumnSumsParams {
            rows: (rows.1 - rows.0) as u32,
            cols: (cols.1 - cols.0) as u32,
            end_tile: tiles as u32,
            groups_x: groups[0],
            from_base: base_of(&windows, Slot::Input, limits),
            from_stride: self.stride as u32,
            into_base: base_of(&windows, Slot::Product, limits),
            into_step: self.into.stride as u32,
            first_place: self.ordered.map_or(0, |own| own.first + rows.0) as u32,
            ..Default::default()
        };
        let adds = self.into.adds || rows.0 > 0;
        let into = match adds {
            true => pieces::over(Slot::Product, Dtype::F32, false),
            false => pieces::write(Slot::Product, Dtype::F32, false, Put::Write),
        };
        let mut list = vec![
            piece!("driver/column_sums.wgsl"),
            pieces::PARAMS,
            pieces::read(Slot::Input, Dtype::F32, false),
            into,
        ];
        list.extend(self.ordered.into_iter().flat_map(|_| Ordered::rows_pieces()));
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: Variant {
                shared: Vec::new(),
                label: format!(
                    "column_sums/f32{}{}/group{WIDTH}",
                    if adds { "/adds" } else { "" },
                    self.ordered.map_or("", |_| "/ordered")
                ),
                consts: vec![Const::U32("WIDTH", WIDTH), Const::Bool("ADDS", adds)],
                pieces: list,
            },
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings: bindings(&windows, limits),
            groups,
            iterations: rows.1 - rows.0,
            tiles: (0, tiles),
            multiply_adds: 0,
        })));
    }
}
