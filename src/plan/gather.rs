//! The plan of what joins a call's record of faults into the log of many calls.

use crate::layout::{FAULT_WORDS, GatherParams, LOG_WORDS, Log, Slot};
use crate::limits::Limits;
use crate::plan::monoid::CONTROL_WORDS;
use crate::plan::window::{Window, base_of, bindings};
use crate::plan::{Origin, Plan};
use crate::shader::{Const, Variant, piece, pieces};
use crate::words::Role;

/// Plans it for the record of a call's class targets, [`Role::Control`], or of one of its inspections,
/// [`Role::Fault`]; `kind` is what whoever keeps the log knows such calls by. The log goes by [`Role::Log`].
pub fn plan_gather(record: Role, call: u32, kind: u32, limits: &Limits) -> Plan {
    let (of_labels, words) = match record {
        Role::Fault(_) => (false, FAULT_WORDS as u64),
        _ => (true, CONTROL_WORDS),
    };
    let windows = vec![
        (
            Slot::Control,
            false,
            Window::scratch(Origin::Tensor(record), 4, 0, words),
        ),
        (
            Slot::Faults,
            true,
            Window::scratch(Origin::Tensor(Role::Log), 4, 0, LOG_WORDS as u64),
        ),
    ];
    let params = GatherParams {
        call,
        source: Log::source(kind, record),
        base: base_of(&windows, Slot::Control, limits),
        pad0: 0,
    };
    let variant = Variant {
        shared: Vec::new(),
        label: format!("gather/{}", if of_labels { "labels" } else { "values" }),
        consts: vec![Const::Bool("OF_LABELS", of_labels)],
        pieces: vec![piece!("driver/gather.wgsl"), pieces::PARAMS],
    };
    Plan::of_one_invocation(variant, bytemuck::bytes_of(&params), bindings(&windows, limits))
}
