//! `plan --sectors`: what the memory sees of a dispatch. A rewritten shader of each tells where one workgroup reads and
//! writes, lane by lane and turn by turn; it runs on whatever adapter there is, on memory for that workgroup alone.

mod count;
mod run;
mod trace;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde_json::{Value, json};
use wgloss::layout::Slot;
use wgloss::plan::{Dispatch, Origin, Plan, Step};
use wgloss::{Engine, Limits, Role};
use wgloss_shell::Failure;

use super::call::Planned;
pub use count::Tally;

/// What was seen of a dispatch: of its bindings, reads (false) and writes (true) apart.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The tile of the workgroup that was traced.
    pub tile: u64,
    /// Workgroups of the dispatch.
    workgroups: u64,
    bindings: Vec<(Slot, bool, bool, Tally)>,
}

/// All dispatches of a plan, and what they ran on.
pub struct Sectors {
    /// A step each; none of copies.
    pub steps: Vec<Option<Seen>>,
    adapter: String,
}

/// Tiles of a call, each of which is planned for itself.
const MOST_TILES: u64 = 1 << 20;

/// Memory of a tensor of the call's, or of any kind.
#[derive(Clone, Copy, PartialEq)]
pub enum Of {
    All,
    Operands,
}

impl Seen {
    /// Of what is read, or written, by the workgroup.
    pub fn tally(&self, written: bool, of: Of) -> Tally {
        let own = self.bindings.iter();
        let own = own.filter(|(_, is_written, is_operand, _)| *is_written == written && (of == Of::All || *is_operand));
        own.map(|(.., tally)| *tally).sum()
    }

    /// `input 0.125 read, grad_input 0.125 written`
    pub fn line(&self) -> String {
        let of = |(slot, written, _, tally): &(Slot, bool, bool, Tally)| {
            let way = if *written { "written" } else { "read" };
            format!("{} {} {way}", slot.name(), share(*tally))
        };
        self.bindings.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    pub fn json(&self) -> Value {
        let of = |(slot, written, operand, tally): &(Slot, bool, bool, Tally)| {
            let mut json = told(*tally);
            json["slot"] = slot.name().into();
            json["is_written"] = (*written).into();
            json["is_operand"] = (*operand).into();
            json
        };
        let bindings: Vec<Value> = self.bindings.iter().map(of).collect();
        json!({
            "tile": self.tile,
            "read": told(self.tally(false, Of::All)),
            "written": told(self.tally(true, Of::All)),
            "bindings": bindings,
        })
    }
}

impl Sectors {
    /// Of the whole call, each workgroup as the one that was traced of its dispatch.
    pub fn whole(&self, written: bool, of: Of) -> Tally {
        let all = self.steps.iter().flatten();
        let of_dispatch = |own: &Seen| {
            let one = own.tally(written, of);
            Tally {
                wanted: one.wanted * own.workgroups,
                sectors: one.sectors * own.workgroups,
            }
        };
        all.map(of_dispatch).sum()
    }

    pub fn line(&self) -> String {
        let [read, written] = [false, true].map(|written| share(self.whole(written, Of::Operands)));
        format!(
            "of the sectors of {} bytes that {} lanes touch in a turn, the lanes want {read} of what is read of \
             operands and {written} of what is written there: traced on {}, without subgroups, in a \
             whole workgroup of each dispatch",
            count::SECTOR,
            count::TOGETHER,
            self.adapter
        )
    }

    pub fn json(&self) -> Value {
        let [read, written] = [false, true].map(|written| told(self.whole(written, Of::Operands)));
        json!({ "adapter": self.adapter, "operands": { "read": read, "written": written } })
    }
}

pub fn share(tally: Tally) -> String {
    tally.efficiency().map_or("-".into(), |own| format!("{own:.3}"))
}

fn told(tally: Tally) -> Value {
    json!({ "wanted_bytes": tally.wanted, "sectors": tally.sectors, "efficiency": tally.efficiency() })
}

/// Traces all dispatches of a call.
pub fn seen(call: &Planned) -> Result<Sectors, Failure> {
    let engine = Engine::new().map_err(|error| Failure::Failed(format!("--sectors: {error}")))?;
    // Trees of lanes go through workgroup memory, to the same accesses of storage: the adapter's subgroups may be
    // others than those of the class.
    let mut device = call.device;
    device.limits.subgroup = 1;
    let alike = call.plan_for(&device.limits)?;
    if alike.steps.len() != call.plan.steps.len() {
        let message = "--sectors: the plan without subgroups has other steps";
        return Err(Failure::Failed(message.into()));
    }
    let tiles: u64 = alike.dispatches().map(|own| own.tiles.1 - own.tiles.0).sum();
    if tiles > MOST_TILES {
        let message =
            format!("--sectors: {tiles} tiles, expected at most {MOST_TILES}: a smaller shape tells the same");
        return Err(Failure::Failed(message));
    }
    // A dispatch for each tile.
    let tiles = call.plan_for(&Limits {
        max_dispatch_bytes: 1,
        ..device.limits
    })?;
    let mut by_label: HashMap<&str, Vec<&Dispatch>> = HashMap::new();
    for own in tiles.dispatches() {
        by_label.entry(&own.variant.label).or_default().push(own);
    }
    let mut steps = vec![None; alike.steps.len()];
    for group in alikes(&alike) {
        let own = group[group.len() / 2].1;
        let all = by_label.get(own.variant.label.as_str()).map_or(&[][..], Vec::as_slice);
        let alone = |tile: u64| {
            let has_tile = |other: &&&Dispatch| (other.tiles.0..other.tiles.1).contains(&tile);
            let is_it = |other: &&&Dispatch| has_tile(other) && sources(other) == sources(own);
            all.iter().find(is_it).or_else(|| all.iter().find(has_tile)).copied()
        };
        // The middle one, but for the last of a slab, which may be a small rest: the first is whole.
        let middle = alone(u64::midpoint(own.tiles.0, own.tiles.1 - 1));
        let whole = [middle, alone(own.tiles.0)].into_iter().flatten();
        let touched = |own: &&Dispatch| own.bindings.iter().map(|own| own.touched).sum::<u64>();
        // Of equals the last counts.
        let largest = whole.rev().max_by_key(touched);
        let missing = || Failure::Failed(format!("--sectors: {}: no tile of it alone", own.variant.label));
        let narrow = largest.ok_or_else(missing)?;
        let tallies = run::run(&engine, narrow, &device, call.classes)?;
        for (nth, own) in group {
            steps[nth] = Some(Seen {
                tile: narrow.tiles.0,
                workgroups: u64::from(own.groups[0]) * u64::from(own.groups[1]),
                bindings: named(own, &tallies),
            });
        }
    }
    let adapter = engine.name();
    Ok(Sectors { steps, adapter })
}

fn sources(own: &Dispatch) -> Vec<(Slot, Origin)> {
    own.bindings.iter().map(|own| (own.slot, own.source)).collect()
}

/// The dispatches that one shader makes on the same memory, with their steps.
fn alikes(plan: &Plan) -> Vec<Vec<(usize, &Dispatch)>> {
    let mut list: Vec<Vec<(usize, &Dispatch)>> = Vec::new();
    for (nth, step) in plan.steps.iter().enumerate() {
        let Step::Dispatch(own) = step else { continue };
        let known = list.iter_mut().find(|group| {
            let first = group[0].1;
            first.variant.label == own.variant.label && sources(first) == sources(own)
        });
        match known {
            Some(group) => group.push((nth, own)),
            None => list.push(vec![(nth, own)]),
        }
    }
    list
}

fn named(own: &Dispatch, tallies: &BTreeMap<(u32, bool), Tally>) -> Vec<(Slot, bool, bool, Tally)> {
    let mut list = Vec::new();
    for (&(number, written), &tally) in tallies {
        let binding = own.bindings.iter().find(|own| own.slot as u32 == number);
        list.extend(binding.map(|own| (own.slot, written, is_operand(own.source), tally)));
    }
    list
}

/// Memory of a tensor of the call's: neither scratch nor a record of what was counted or found.
fn is_operand(source: Origin) -> bool {
    matches!(source, Origin::Tensor(role) if !matches!(role, Role::Control | Role::Fault(_)))
}

/// What an error scope caught; native backends have that at hand.
fn caught(scope: wgpu::ErrorScopeGuard) -> Option<wgpu::Error> {
    match pin!(scope.pop()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(found) => found,
        Poll::Pending => None,
    }
}
