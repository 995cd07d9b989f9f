//! Upstream gradients of rows, side by side in scratch where statistics have some beside the loss: the drivers of rows
//! bind all of them at once, as many buffers as `grad_output` alone takes.

use crate::error::{Error, Result};
use crate::layout::{Slot, UpstreamParams};
use crate::limits::Limits;
use crate::plan::window::{Window, base_of, bindings, fit};
use crate::plan::{Dispatch, Origin, Plan, Step, furthest, grid};
use crate::problem::Problem;
use crate::shader::{Const, Variant, piece, pieces};
use crate::tuning::Tuning;
use crate::words::Role;

/// A row's: of its loss, of its log-sum-exp and of its entropy.
pub(super) const UPSTREAM_WORDS: u32 = 3;
pub(super) const UPSTREAM_BYTES: u64 = 12;

/// The slots of what is brought together.
const SLOTS: [(Slot, Role); 3] = [
    (Slot::GradOutput, Role::GradOutput),
    (Slot::GradLse, Role::GradLse),
    (Slot::GradEntropy, Role::GradEntropy),
];

/// Adds the pass that brings them together, and the scratch that they go to.
pub(super) fn add(plan: &mut Plan, problem: &Problem, rows: u64, limits: &Limits, tuning: &Tuning) -> Result<Origin> {
    let into = plan.add_scratch(rows * UPSTREAM_BYTES);
    let tile = tuning.small_tile(rows, 2 * UPSTREAM_BYTES);
    let tiles = rows.div_ceil(tile);
    let variant = variant(problem, tile as u32, limits, tuning);
    let step = problem
        .grad_output
        .as_ref()
        .map_or(0, |view| u32::from(!view.shape.is_empty()));
    let mut first = 0;
    while first < tiles {
        let windows = |end: u64| {
            let (from, to) = (first * tile, rows.min(end * tile));
            let mut list = vec![(Slot::Result, true, Window::scratch(into, UPSTREAM_BYTES, from, to))];
            for (slot, role) in SLOTS {
                let one_for_all = slot == Slot::GradOutput && step == 0;
                let (from, to) = if one_for_all { (0, 1) } else { (from, to) };
                let view = problem.upstream(role);
                list.extend(view.map(|view| (slot, false, Window::of(view, Origin::Tensor(role), from, to))));
            }
            list
        };
        let end = furthest(first, tiles, |end| fit(&windows(end), end - first, limits))
            .ok_or_else(|| Error::Limit("upstream: a tile does not fit into one binding".into()))?;
        let (groups, windows) = (grid(end - first, limits), windows(end));
        let base = |slot| base_of(&windows, slot, limits);
        let params = UpstreamParams {
            first_tile: first as u32,
            end_tile: end as u32,
            groups_x: groups[0],
            len: rows as u32,
            first_row: (first * tile) as u32,
            grad_output_base: base(Slot::GradOutput),
            grad_output_step: step,
            grad_lse_base: base(Slot::GradLse),
            grad_entropy_base: base(Slot::GradEntropy),
            result_base: UPSTREAM_WORDS * base(Slot::Result),
            ..Default::default()
        };
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: variant.clone(),
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings: bindings(&windows, limits),
            groups,
            iterations: tile / u64::from(tuning.width),
            tiles: (first, end),
            multiply_adds: 0,
        })));
        first = end;
    }
    Ok(into)
}

fn variant(problem: &Problem, tile: u32, limits: &Limits, tuning: &Tuning) -> Variant {
    let mut list = vec![piece!("driver/upstream.wgsl"), pieces::PARAMS];
    let dtype = |role| problem.upstream(role).map(|view| view.dtype);
    let dtypes = SLOTS.map(|(_, role)| dtype(role));
    list.extend(pieces::half(dtypes.into_iter().flatten(), limits));
    list.extend(SLOTS.map(|(slot, role)| pieces::given(slot, dtype(role))));
    let names = SLOTS.iter().zip(dtypes);
    let names = names.filter_map(|((slot, _), dtype)| Some(format!("{}_{}", slot.name(), dtype?)));
    Variant {
        shared: Vec::new(),
        label: format!(
            "upstream/{}/group{}/tile{tile}",
            names.collect::<Vec<_>>().join("-"),
            tuning.width
        ),
        consts: vec![
            Const::U32("WIDTH", tuning.width),
            Const::U32("TILE", tile),
            Const::Bool("HAS_LSE", dtype(Role::GradLse).is_some()),
            Const::Bool("HAS_ENTROPY", dtype(Role::GradEntropy).is_some()),
        ],
        pieces: list,
    }
}
