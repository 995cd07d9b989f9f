//! Runs of a gradient in scratch that are below a magnitude become 0, and products pass over them.

use super::window::{Bound, Window, base_of, bindings, fit};
use super::{Dispatch, Origin, Plan, Step, furthest, grid};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{FilterParams, Slot};
use crate::limits::Limits;
use crate::problem::FILTERED;
use crate::shader::{Const, Variant, piece, pieces};

const RUN: u64 = FILTERED as u64;
const WIDTH: u32 = 256;

/// A gradient: rows of whole quads.
pub struct Filter {
    pub of: Origin,
    pub rows: u64,
    pub cols: u64,
    pub stride: u64,
    /// What is left of its runs.
    pub into: Origin,
    pub eps: f32,
}

/// Runs of so many columns.
pub fn runs(cols: u64) -> u64 {
    cols.div_ceil(RUN)
}

/// Bytes of what is left of a gradient's runs.
pub fn left_bytes(rows: u64, cols: u64) -> u64 {
    4 * rows.div_ceil(RUN) * runs(cols)
}

impl Filter {
    pub fn add(&self, plan: &mut Plan, limits: &Limits) -> Result<()> {
        let (groups, runs) = (self.rows.div_ceil(RUN), runs(self.cols));
        let mut first = 0;
        while first < groups {
            let windows = |end: u64| -> Vec<Bound> {
                let rows = (first * RUN, self.rows.min(end * RUN));
                vec![
                    (
                        Slot::Product,
                        true,
                        Window::scratch(self.of, 4, rows.0 * self.stride, rows.1 * self.stride),
                    ),
                    (
                        Slot::Filter,
                        true,
                        Window::scratch(self.into, 4, first * runs, end * runs),
                    ),
                ]
            };
            let end = furthest(first, groups, |end| fit(&windows(end), (end - first) * runs, limits))
                .ok_or_else(|| Error::Limit("a filter: a tile does not fit into one binding".into()))?;
            let (windows, tiles) = (windows(end), (end - first) * runs);
            let grid = grid(tiles, limits);
            let params = FilterParams {
                rows: (self.rows.min(end * RUN) - first * RUN) as u32,
                cols: self.cols as u32,
                end_tile: tiles as u32,
                groups_x: grid[0],
                row_tiles: runs as u32,
                product_base: base_of(&windows, Slot::Product, limits),
                product_stride: self.stride as u32,
                filter_base: base_of(&windows, Slot::Filter, limits),
                eps: self.eps,
                ..Default::default()
            };
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: Variant {
                    shared: Vec::new(),
                    label: format!("filter/group{WIDTH}"),
                    consts: vec![Const::U32("WIDTH", WIDTH), Const::U32("RUN", RUN as u32)],
                    pieces: vec![
                        piece!("driver/filter.wgsl"),
                        pieces::PARAMS,
                        pieces::over(Slot::Product, Dtype::F32, true),
                    ],
                },
                params: bytemuck::bytes_of(&params).to_vec(),
                bindings: bindings(&windows, limits),
                groups: grid,
                iterations: RUN * 2 + u64::from(WIDTH),
                tiles: (0, tiles),
                multiply_adds: 0,
            })));
            first = end;
        }
        Ok(())
    }
}
