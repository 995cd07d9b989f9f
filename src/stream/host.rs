//! Streams on the processor: the reference on slices of the first dimension, one after the other.

use std::time::Instant;

use super::{Stream, Streamed};
use crate::call::{Call, operands};
use crate::cpu::{self, Held, Kept, Made, Numbers, is_exact, output_of};
use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::layout::{Control, Slot};
use crate::loss::Loss;
use crate::problem::{Operand, Problem};
use crate::tensor::Tensor;
use crate::values::Values;
use crate::view::View;
use crate::words::Role;

/// Indices of the first dimension.
type Slice = std::ops::Range<usize>;

struct Host<'a> {
    whole: Problem,
    /// The tensors of the call by role.
    given: Vec<(Role, &'a Tensor)>,
    /// Indices of the first dimension; 1 where slices of it are no calls of their own.
    len: usize,
    report: Streamed,
}

pub(super) fn run(
    engine: &Engine,
    loss: &dyn Loss,
    call: &Call<'_>,
    stream: &mut Stream<'_>,
) -> Result<(Values, Streamed)> {
    let start = Instant::now();
    let whole = loss.problem(call)?;
    cpu::expect_no_places(&whole, call)?;
    let attached = loss.tensors();
    let mut host = Host::new(operands(&whole, call, &attached), whole);
    let slices = host.slices(stream.memory)?;
    let total = host.moved(stream, slices.len() as u64);
    // What a mean divides by comes first, from the targets and the weights alone.
    let mut scales = None;
    if host.whole.is_counted() && slices.len() > 1 {
        let mut sums = cpu::Weights::default();
        for slice in &slices {
            let (problem, tensors) = host.part(slice, &|own| !is_input(own.slot))?;
            sums.add(&cpu::count(&problem, &by_role(&tensors))?.weights);
        }
        scales = Some(sums.scales(host.whole.zero_on_empty));
    }
    let mut joint = Made {
        control: Control {
            first_bad: u32::MAX,
            ..Default::default()
        },
        ..Default::default()
    };
    for slice in &slices {
        let (problem, tensors) = host.part(slice, &|_| true)?;
        let part = cpu::run(&problem, &by_role(&tensors), scales, &|role| host.kept(role))?;
        host.join(&mut joint, part, slice, stream)?;
        stream.tell(&host.report, total)?;
    }
    for (role, numbers) in [(Role::Loss, &joint.loss), (Role::ZLoss, &joint.z_loss)] {
        if host.whole.is_reduced() && stream.has(role) {
            host.write(role, 0, numbers, stream)?;
        }
    }
    let grads = std::mem::take(&mut joint.grads);
    for (role, grad) in grads {
        match stream.has(role) {
            true => host.write(role, 0, &grad, stream)?,
            false => joint.grads.push((role, grad)),
        }
    }
    host.report.parts = slices.len() as u64;
    let values = output_of(joint, &host.whole, call, &stream.goes_elsewhere())?.read(engine);
    host.report.wall_ns = start.elapsed().as_nanos() as f64;
    Ok((values?, host.report))
}

fn by_role(tensors: &[(Role, Tensor)]) -> Vec<(Role, Held<'_>)> {
    tensors
        .iter()
        .map(|(role, tensor)| (*role, Held::Tensor(tensor)))
        .collect()
}

/// How many slices of the first dimension there can be.
fn slices_of(problem: &Problem) -> usize {
    let first = problem.terms.first().copied().unwrap_or(1);
    if problem.traits().has_slices { first } else { 1 }
}

/// What denominators do not follow from.
fn is_input(slot: Slot) -> bool {
    slot == Slot::Input || slot.is_of_product()
}

/// Whether the memory has room for a slice.
pub(super) fn fits(whole: Problem, memory: u64) -> Result<()> {
    Host::new(Vec::new(), whole).slices(memory).map(drop)
}

impl<'a> Host<'a> {
    fn new(given: Vec<(Role, &'a Tensor)>, whole: Problem) -> Self {
        Self {
            given,
            len: slices_of(&whole),
            whole,
            report: Streamed {
                in_flight: 1,
                ..Default::default()
            },
        }
    }

    /// A slice of the first dimension is a slice of this tensor.
    fn is_sliced(&self, slot: Slot, view: &View) -> bool {
        let own = self.whole.traits();
        let of_classes = slot == Slot::Weight && own.weighs_classes || matches!(slot, Slot::Right | Slot::Bias);
        let rank = !own.broadcasts || view.shape.len() == self.whole.terms.len();
        self.len > 1 && !of_classes && rank && view.shape.first() == Some(&self.len)
    }

    fn is_upstream_sliced(&self, view: &View) -> bool {
        self.len > 1 && view.shape.first() == Some(&self.len)
    }

    /// The slices of the first dimension for which the memory has room.
    fn slices(&mut self, memory: u64) -> Result<Vec<Slice>> {
        let whole = &self.whole;
        let read = whole.operands.iter().map(|own| own.view.end()).sum::<u64>()
            + whole.grad_output.as_ref().map_or(0, View::end)
            + whole.grad_stats.iter().map(|(_, view)| view.end()).sum::<u64>();
        // A gradient is held in its dtype, of rows that lie apart once more before it is put in place; in f64 where it
        // adds up.
        let grads = whole.grads().map(|(.., view)| 8 * view.len()).sum::<u64>();
        let bytes = read + grads + whole.traits().term_bytes * whole.term_count();
        let each = bytes.div_ceil(self.len as u64);
        let slices = (memory / each.max(1)).min(self.len as u64) as usize;
        if slices == 0 {
            return Err(Error::Memory {
                least: each,
                given: memory,
                what: format!(
                    "what the reference on the processor holds of one index of the first dimension of {:?}",
                    whole.input().shape
                ),
            });
        }
        self.report.memory = each * slices as u64;
        let starts = (0..self.len).step_by(slices);
        Ok(starts.map(|first| first..self.len.min(first + slices)).collect())
    }

    /// Bytes that come from pages and go to sinks.
    fn moved(&self, stream: &Stream<'_>, slices: u64) -> u64 {
        let paged = self.given.iter().filter(|(_, tensor)| tensor.pages().is_some());
        // What a mean divides by is counted in a pass of its own, and what is no tensor of slices is read for each of
        // them.
        let counted = self.whole.is_counted() && slices > 1;
        let times = |role: Role, view: &View| {
            let (passes, each) = match self.slot(role) {
                Some(slot) => (1 + u64::from(counted && !is_input(slot)), self.is_sliced(slot, view)),
                None => (1 + u64::from(counted), self.is_upstream_sliced(view)),
            };
            passes * if each { 1 } else { slices }
        };
        let read: u64 = paged
            .map(|(role, tensor)| times(*role, tensor.view()) * tensor.view().end())
            .sum();
        let written = stream.sinks.iter().filter_map(|(role, _)| self.whole.result(*role));
        read + written.map(|view| view.end()).sum::<u64>()
    }

    fn operand(&self, role: Role) -> Option<&Operand> {
        self.whole.operands.iter().find(|own| own.role == role)
    }

    fn slot(&self, role: Role) -> Option<Slot> {
        self.operand(role).map(|own| own.slot)
    }

    /// The problem of a slice and its tensors.
    fn part(&mut self, slice: &Slice, wanted: &dyn Fn(&Operand) -> bool) -> Result<(Problem, Vec<(Role, Tensor)>)> {
        let mut problem = self.whole.clone();
        let count = slice.len();
        if self.len > 1 {
            problem.keep_slices(count, self.len);
        }
        let mut tensors = Vec::new();
        let cut = |view: &View, sliced: bool| {
            let mut shape = view.shape.clone();
            if sliced {
                shape[0] = count;
            }
            View::contiguous(view.dtype, &shape)
        };
        for own in &mut problem.operands {
            let sliced = self.is_sliced(own.slot, &own.view);
            if wanted(own) {
                tensors.push((own.role, self.read(own.role, sliced.then(|| slice.clone()))?));
            }
            own.view = cut(&own.view, sliced);
            own.grad = own.grad.as_ref().map(|view| cut(view, sliced));
        }
        let of_loss = problem.grad_output.as_mut().map(|view| (Role::GradOutput, view));
        let of_stats = problem.grad_stats.iter_mut().map(|(role, view)| (*role, view));
        for (role, view) in of_loss.into_iter().chain(of_stats) {
            let sliced = self.is_upstream_sliced(view);
            tensors.push((role, self.read(role, sliced.then(|| slice.clone()))?));
            *view = cut(view, sliced);
        }
        Ok((problem, tensors))
    }

    /// A tensor, or a slice of it, in memory of its own and without gaps.
    fn read(&mut self, role: Role, slice: Option<Slice>) -> Result<Tensor> {
        let start = Instant::now();
        let found = self.given.iter().find(|(own, _)| *own == role);
        let (_, tensor) = found.ok_or_else(|| Error::operand(role.name(), "missing"))?;
        let view = tensor.view();
        let mut shape = view.shape.clone();
        let mut offset = view.offset;
        if let Some(slice) = slice {
            offset += (slice.start * view.row_stride) as u64 * view.dtype.bytes();
            shape[0] = slice.len();
        }
        let own = View::contiguous(view.dtype, &shape);
        let read = Tensor::filled(own.dtype, &shape, |out| {
            match (tensor.pages(), tensor.host_bytes()) {
                (Some(pages), _) => {
                    pages.read_at(offset, out).map_err(|source| Error::Io {
                        name: role.name(),
                        source,
                    })?;
                    self.report.read_bytes += out.len() as u64;
                }
                (_, Some(bytes)) => out.copy_from_slice(&bytes[offset as usize..][..out.len()]),
                _ => {
                    return Err(Error::operand(
                        role.name(),
                        format!("is {}, the engine computes on the host", tensor.whereabouts()),
                    ));
                }
            }
            Ok(())
        });
        self.report.read_ns += start.elapsed().as_nanos() as f64;
        read
    }

    /// The gradient of an operand of which each slice has a slice; of another, what the slices contribute adds up.
    fn is_grad_sliced(&self, place: u8) -> bool {
        let own = &self.whole.operands[usize::from(place)];
        self.is_sliced(own.slot, &own.view)
    }

    /// What adds up over the slices is kept in f64 until it has, and so is what f32 need not hold.
    fn kept(&self, role: Role) -> Kept {
        let adds_up = match role {
            Role::Loss if is_exact(&self.whole, self.given.first().map(|(_, tensor)| *tensor)) => true,
            Role::Loss | Role::ZLoss => self.whole.is_reduced(),
            Role::Grad(place) => !self.is_grad_sliced(place),
            _ => false,
        };
        if adds_up {
            return Kept::Exact;
        }
        Kept::Rounded(self.whole.result(role).map_or(Dtype::F32, |view| view.dtype))
    }

    /// Adds what a slice came to: to the joint results, or into the sinks.
    fn join(&mut self, joint: &mut Made, part: Made, slice: &Slice, stream: &mut Stream<'_>) -> Result<()> {
        let at = slice.start as u64 * (self.whole.term_count() / self.len as u64);
        if self.whole.is_reduced() {
            joint.loss.add(part.loss);
            joint.z_loss.add(part.z_loss);
        } else {
            self.keep(Role::Loss, at, part.loss, &mut joint.loss, stream)?;
            self.keep(Role::ZLoss, at, part.z_loss, &mut joint.z_loss, stream)?;
        }
        self.keep(Role::Lse, at, part.lse, &mut joint.lse, stream)?;
        self.keep(Role::Entropy, at, part.entropy, &mut joint.entropy, stream)?;
        if stream.has(Role::Argmax) {
            let top: Vec<u8> = part.argmax.iter().flat_map(|top| top.to_ne_bytes()).collect();
            self.send(Role::Argmax, 4 * at, &top, stream)?;
        } else {
            joint.argmax.extend(part.argmax);
        }
        for (nth, fault) in part.faults.into_iter().enumerate() {
            let Some(own) = self.whole.checks.get(nth).and_then(|check| self.operand(check.role)) else {
                continue;
            };
            let sliced = self.is_sliced(own.slot, &own.view);
            let ahead = if sliced {
                (slice.start * own.view.slab()) as u64
            } else {
                0
            };
            match joint.faults.get_mut(nth) {
                None => joint.faults.push(fault.shifted(ahead)),
                Some(held) if sliced => held.join(&fault.shifted(ahead)),
                Some(_) => {} // every slice sees all of it
            }
        }
        joint.correct += part.correct;
        joint
            .control
            .join(&part.control, at as u32 * self.whole.traits().labels_per_row as u32);
        for (role, grad) in part.grads {
            let Role::Grad(place) = role else { continue };
            let held = match joint.grads.iter().position(|(held, _)| *held == role) {
                Some(held) => held,
                None => {
                    joint.grads.push((role, Numbers::default()));
                    joint.grads.len() - 1
                }
            };
            let held = &mut joint.grads[held].1;
            if self.is_grad_sliced(place) {
                let first = slice.start as u64 * self.whole.operands[usize::from(place)].view.slab() as u64;
                self.keep(role, first, grad, held, stream)?;
            } else {
                held.add(grad);
            }
        }
        Ok(())
    }

    /// Numbers of a result of which a slice has a part: into its sink, or to their place among the others.
    fn keep(
        &mut self,
        role: Role,
        first: u64,
        numbers: Numbers,
        held: &mut Numbers,
        stream: &mut Stream<'_>,
    ) -> Result<()> {
        let Some(view) = self.whole.result(role) else {
            return Ok(());
        };
        if stream.has(role) {
            return self.write(role, first, &numbers, stream);
        }
        held.put(first as usize, view.len() as usize, numbers);
        Ok(())
    }

    /// Numbers into a sink, rounded to its dtype, from an element on.
    fn write(&mut self, role: Role, first: u64, numbers: &Numbers, stream: &mut Stream<'_>) -> Result<()> {
        let dtype = self.whole.result(role).map_or(Dtype::F32, |view| view.dtype);
        let offset = first * dtype.bytes();
        match numbers.kept {
            Kept::Rounded(_) => self.send(role, offset, numbers.bytes(), stream),
            Kept::Exact => {
                let rounded = Numbers::of(Kept::Rounded(dtype), numbers.exact());
                self.send(role, offset, rounded.bytes(), stream)
            }
        }
    }

    fn send(&mut self, role: Role, offset: u64, bytes: &[u8], stream: &mut Stream<'_>) -> Result<()> {
        let start = Instant::now();
        stream.write(role, offset, bytes)?;
        self.report.written_bytes += bytes.len() as u64;
        self.report.write_ns += start.elapsed().as_nanos() as f64;
        Ok(())
    }
}
