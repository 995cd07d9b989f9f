//! Plans of the update driver: an optimizer's step over one parameter, in chunks of tiles.

use crate::error::{Error, Result};
use crate::layout::{Gate, Slot, UpdateParams};
use crate::limits::Limits;
use crate::plan::window::{Window, base_of, bindings, fit};
use crate::plan::{Dispatch, Origin, Plan, Step, balanced, furthest, grid, moves, named};
use crate::shader::{Const, Piece, Variant, piece, pieces};
use crate::tuning::Tuning;
use crate::update::{Gating, Update};
use crate::view::View;
use crate::words::Role;

/// Where the state of an optimizer is bound, in the order in which it names it.
const STATES: [Slot; 3] = [Slot::Moment, Slot::Square, Slot::Peak];

pub(super) const GATE: Piece = piece!("update/gate.wgsl");
const GATED: &[Piece] = &[GATE, piece!("update/gated.wgsl")];
const COUNTED: &[Piece] = &[GATE, piece!("update/gated.wgsl"), piece!("update/counted.wgsl")];

/// A tensor of the step.
struct StepTensor<'a> {
    slot: Slot,
    role: Role,
    view: &'a View,
}

impl StepTensor<'_> {
    /// Every quad of it is aligned and whole.
    fn quads(&self) -> bool {
        !self.view.is_empty()
            && self.view.len().is_multiple_of(4)
            && self.view.offset.is_multiple_of(4 * self.view.dtype.bytes())
    }

    /// `param_bf16x4`: the operand in the label.
    fn told(&self) -> String {
        let quads = if self.quads() { "x4" } else { "" };
        format!("{}_{}{quads}", self.slot.name(), self.view.dtype)
    }
}

/// Plans an optimizer's step: of [`Role::Param`], [`Role::Grad(0)`](Role::Grad) and the roles of its state.
///
/// # Errors
/// [`Error::Limit`] where a tile does not fit into one binding.
pub fn plan_update(update: &Update, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut plan = Plan::default();
    let operands = operands(update);
    let len = update.param.len();
    let moved = operands.iter().map(|own| own.view.dtype.bytes() * moves(own.slot));
    let tile = tuning.small_tile(len, moved.sum());
    // Without an element there still is a step to count.
    let (least, turn, first_step) = match update.gating {
        Gating::Counted { turn, first } => (1, turn, first),
        Gating::Open | Gating::Gated => (0, 0, 0),
    };
    let (tiles, mut first) = (len.div_ceil(tile).max(least), 0);
    while first < tiles {
        let windows = |end: u64| {
            let (from, to) = (first * tile, len.min(end * tile));
            let window = |own: &StepTensor<'_>| {
                let window = Window::of(own.view, Origin::Tensor(own.role), from, to);
                (own.slot, own.slot != Slot::Grad, window)
            };
            operands.iter().map(window).chain(gates(update)).collect::<Vec<_>>()
        };
        // What is written is read first: a dispatch moves more than its windows cover.
        let is_short = |end| {
            let of = |(slot, _, window): &(Slot, bool, Window)| window.touched_bytes() * moves(*slot);
            end - first == 1 || windows(end).iter().map(of).sum::<u64>() <= limits.max_dispatch_bytes
        };
        let fits = |end| fit(&windows(end), end - first, limits) && is_short(end);
        let end = furthest(first, tiles, fits).ok_or_else(|| {
            Error::Limit(format!(
                "{}: a tile of {tile} elements does not fit into one binding of {} bytes",
                update.name, limits.max_binding_bytes
            ))
        })?;
        let end = balanced(first, end, tiles, tuning);
        let windows = windows(end);
        let base = |slot| base_of(&windows, slot, limits);
        let groups = grid(end - first, limits);
        let [scalars_0_3, scalars_4_7] = update.rule.scalars.rounded();
        let params = UpdateParams {
            tiles: (end - first) as u32,
            groups_x: groups[0],
            len: (len.min(end * tile) - first * tile) as u32,
            param_base: base(Slot::Param),
            grad_base: base(Slot::Grad),
            moment_base: base(Slot::Moment),
            square_base: base(Slot::Square),
            peak_base: base(Slot::Peak),
            scalars_0_3,
            scalars_4_7,
            turn,
            first: first_step,
            ..Default::default()
        };
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: variant(update, &operands, tile, limits, tuning),
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings: bindings(&windows, limits),
            groups,
            // The quads of a lane, and the elements of the last one where it is not whole.
            iterations: tile / u64::from(4 * tuning.width) + 3,
            tiles: (first, end),
            multiply_adds: 0,
        })));
        first = end;
    }
    Ok(plan)
}

/// What gradients go through.
fn gates(update: &Update) -> impl Iterator<Item = (Slot, bool, Window)> {
    let gate = (update.gating != Gating::Open).then(|| (Slot::Gate, false, gate()));
    let count = matches!(update.gating, Gating::Counted { .. }).then(|| {
        let window = Window::scratch(Origin::Tensor(Role::Count), 4, 0, 2);
        (Slot::Count, true, window)
    });
    gate.into_iter().chain(count)
}

/// [`Role::Gate`], whole.
pub(super) fn gate() -> Window {
    Window::scratch(Origin::Tensor(Role::Gate), 4, 0, (size_of::<Gate>() / 4) as u64)
}

fn operands(update: &Update) -> Vec<StepTensor<'_>> {
    let mut list = vec![StepTensor {
        slot: Slot::Param,
        role: Role::Param,
        view: &update.param,
    }];
    list.extend(update.grad.iter().map(|view| StepTensor {
        slot: Slot::Grad,
        role: Role::Grad(0),
        view,
    }));
    let states = STATES.into_iter().zip(&update.states);
    list.extend(states.map(|(slot, (role, view))| StepTensor {
        slot,
        role: *role,
        view,
    }));
    list
}

fn variant(update: &Update, operands: &[StepTensor<'_>], tile: u64, limits: &Limits, tuning: &Tuning) -> Variant {
    let rule = &update.rule;
    let mut list = vec![
        piece!("driver/update.wgsl"),
        pieces::PARAMS,
        pieces::MATH,
        pieces::GUARD,
        rule.piece,
    ];
    list.extend(pieces::half(operands.iter().map(|own| own.view.dtype), limits));
    list.extend(operands.iter().map(|own| match own.slot {
        Slot::Grad => pieces::read(own.slot, own.view.dtype, own.quads()),
        _ => pieces::over(own.slot, own.view.dtype, own.quads()),
    }));
    if update.grad.is_none() {
        list.push(pieces::absent(Slot::Grad));
    }
    let (gate, name) = match update.gating {
        Gating::Open => (&[piece!("update/open.wgsl")][..], ""),
        Gating::Gated => (GATED, "/gated"),
        Gating::Counted { .. } => (COUNTED, "/counted"),
    };
    list.extend(gate);
    for &slot in &STATES[update.states.len()..] {
        list.push(pieces::absent(slot));
    }
    let mut consts = vec![
        Const::U32("WIDTH", tuning.width),
        Const::U32("TILE", tile as u32),
        Const::Bool("COUNTED", matches!(update.gating, Gating::Counted { .. })),
    ];
    consts.extend(rule.scalars.accessors());
    consts.extend(rule.flags.iter().map(|&(name, set)| Const::Bool(name, set)));
    let kind: Vec<_> = rule
        .flags
        .iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| name.to_lowercase())
        .collect();
    let told: Vec<_> = operands.iter().map(StepTensor::told).collect();
    Variant {
        shared: Vec::new(),
        label: format!(
            "{}/step/{}{}{name}/group{}/tile{}",
            update.name,
            named(&kind.join("-")),
            told.join("-"),
            tuning.width,
            tile,
        ),
        consts,
        pieces: list,
    }
}
