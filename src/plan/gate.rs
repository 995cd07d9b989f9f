//! Plans of what stands between gradients and a step: their norm, and what is decided by it.

use crate::dtype::Dtype;
use crate::error::Result;
use crate::layout::{Gate, GateParams, Slot};
use crate::limits::Limits;
use crate::plan::monoid::{Monoid, Scale};
use crate::plan::reduce::{Chain, Items};
use crate::plan::update::{GATE, gate};
use crate::plan::window::{Window, bindings};
use crate::plan::{Origin, Plan};
use crate::shader::{Const, Variant, piece, pieces};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

/// Plans the norm of a gradient, [`Role::Grad(0)`](Role::Grad), into an element of [`Role::Norm`], or, of None, that of
/// all those norms into [`Role::Gate`].
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) as [`plan_reduce`](super::plan_reduce).
pub fn plan_norm(norm_type: f64, of: (Option<usize>, &View), limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let (nth, view) = of;
    let (from, into, offset) = match nth {
        Some(nth) => (Role::Grad(0), Role::Norm, 4 * nth as u64),
        None => (Role::Norm, Role::Gate, std::mem::offset_of!(Gate, norm) as u64),
    };
    let result = View::placed(Dtype::F32, &[], offset);
    let (name, monoid) = Monoid::norm(norm_type);
    let chain = Chain {
        label: format!("norm_{name}"),
        monoid,
        scale: Scale::Static(1.0),
        empty: f32::NAN,
        power: norm_type as f32,
        result: Window::of(&result, Origin::Tensor(into), 0, 1),
        limits,
        tuning,
    };
    let mut plan = Plan::default();
    if view.is_empty() {
        let nothing = plan.add_scratch(0);
        chain.levels(&mut plan, Items::States(nothing), 0)?;
    } else {
        chain.levels(&mut plan, Items::Input(from, view), view.len())?;
    }
    Ok(plan)
}

/// Plans what is decided of gradients by the norm in [`Role::Gate`]: that it is held to `max_norm`, their elements to
/// `most`, and, where it `skips`, that no step is taken where it is not finite.
pub fn plan_gate(max_norm: Option<f32>, most: f32, skips: bool, limits: &Limits) -> Plan {
    let params = GateParams {
        max_norm: max_norm.unwrap_or_default(),
        most,
        nan: f32::NAN,
        ..Default::default()
    };
    let consts = [("UPDATES", false), ("CLIPS", max_norm.is_some()), ("SKIPS", skips)];
    of_gate(params, consts, limits)
}

/// Plans how the loss is scaled from now on.
pub fn plan_rescale(growth: f32, backoff: f32, interval: u32, limits: &Limits) -> Plan {
    let params = GateParams {
        growth,
        backoff,
        interval,
        ..Default::default()
    };
    of_gate(params, [("UPDATES", true), ("CLIPS", false), ("SKIPS", false)], limits)
}

fn of_gate(params: GateParams, consts: [(&'static str, bool); 3], limits: &Limits) -> Plan {
    let windows = vec![(Slot::Gate, true, gate())];
    let kind: String = consts
        .iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| format!("/{}", name.to_lowercase()))
        .collect();
    let variant = Variant {
        shared: Vec::new(),
        label: format!("gate{kind}"),
        consts: consts.map(|(name, set)| Const::Bool(name, set)).to_vec(),
        pieces: vec![
            piece!("driver/gate.wgsl"),
            GATE,
            pieces::PARAMS,
            pieces::MATH,
            pieces::GUARD,
        ],
    };
    Plan::of_one_invocation(variant, bytemuck::bytes_of(&params), bindings(&windows, limits))
}
