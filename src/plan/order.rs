//! Rows of an input in the order of those that take part: an ignored row's logits are not computed, nor what would come
//! of them.

use super::window::{Bound, Window, base_of, bindings, can_be_bound};
use super::{Dispatch, Origin, Plan, Step, grid};
use crate::layout::{OrderParams, Slot, words};
use crate::limits::Limits;
use crate::problem::{Problem, Rows};
use crate::shader::{Const, Variant, piece, pieces};
use crate::words::Role;

/// Rows of a tile, one to a lane.
const WIDTH: u32 = 64;

/// The order of some rows of the input.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub source: Origin,
    /// From and to.
    pub inputs: (u64, u64),
}

impl Order {
    pub fn bytes(inputs: u64) -> u64 {
        4 * (1 + inputs)
    }

    /// All of it: how many take part, then the rows.
    pub fn window(self) -> Window {
        Window::scratch(self.source, 4, 0, 1 + self.inputs.1 - self.inputs.0)
    }

    fn tiles(self) -> u64 {
        (self.inputs.1 - self.inputs.0).div_ceil(u64::from(WIDTH))
    }

    /// Bytes of scratch for the counts of tiles.
    pub fn count_bytes(self) -> u64 {
        4 * self.tiles()
    }

    /// Whether one dispatch can bring so many rows in order, with `heads` labels each.
    pub fn fits(self, problem: &Problem, heads: u64, limits: &Limits) -> bool {
        let windows = self.windows(problem, heads, self.source, true);
        can_be_bound(&windows, self.tiles(), limits) && self.iterations(heads) < crate::limits::MAX_ITERATIONS
    }

    fn iterations(self, heads: u64) -> u64 {
        heads + self.tiles().div_ceil(u64::from(WIDTH)) + 16
    }

    fn windows(self, problem: &Problem, heads: u64, counts: Origin, places: bool) -> Vec<Bound> {
        let counts = Window::scratch(counts, 4, 0, self.tiles());
        let mut list = vec![(Slot::Taking, !places, counts)];
        list.extend(problem.view(Slot::Target).map(|view| {
            let rows = (self.inputs.0 * heads, self.inputs.1 * heads);
            let window = Window::of(view, Origin::Tensor(Role::Target), rows.0, rows.1);
            (Slot::Target, false, window)
        }));
        list.extend(places.then(|| (Slot::Result, true, self.window())));
        list
    }

    /// Adds the passes that make it.
    pub fn add(self, plan: &mut Plan, problem: &Problem, (rows, heads): (&Rows, u64), counts: Origin, limits: &Limits) {
        for places in [false, true] {
            let windows = self.windows(problem, heads, counts, places);
            let groups = grid(self.tiles(), limits);
            let params = OrderParams {
                inputs: (self.inputs.1 - self.inputs.0) as u32,
                heads: heads as u32,
                classes: rows.cols as u32,
                end_tile: self.tiles() as u32,
                groups_x: groups[0],
                targets_base: base_of(&windows, Slot::Target, limits),
                first_input: self.inputs.0 as u32,
                order_base: base_of(&windows, Slot::Result, limits),
                taking_base: base_of(&windows, Slot::Taking, limits),
                ignore: words(rows.ignore_index().unwrap_or_default()),
                ..Default::default()
            };
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: variant(problem, rows, places),
                params: bytemuck::bytes_of(&params).to_vec(),
                bindings: bindings(&windows, limits),
                groups,
                iterations: self.iterations(heads),
                tiles: (0, self.tiles()),
                multiply_adds: 0,
            })));
        }
    }
}

fn variant(problem: &Problem, rows: &Rows, places: bool) -> Variant {
    let labels = problem.view(Slot::Target).map(|view| view.dtype);
    let (driver, name) = match places {
        true => (piece!("driver/order_place.wgsl"), "place"),
        false => (piece!("driver/order_count.wgsl"), "count"),
    };
    let mut list = vec![driver, piece!("params/order.wgsl"), pieces::PARAMS, pieces::CLASSIFY];
    list.extend(labels.map(pieces::labels));
    let ignores = rows.ignore_index().is_some();
    Variant {
        shared: Vec::new(),
        label: format!(
            "order_{name}/{}{}/group{WIDTH}",
            labels.map_or("", |dtype| dtype.name()),
            if ignores { "/ignores" } else { "" }
        ),
        consts: vec![Const::U32("WIDTH", WIDTH), Const::Bool("IGNORES", ignores)],
        pieces: list,
    }
}
