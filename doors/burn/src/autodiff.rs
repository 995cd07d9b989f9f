//! The operation in burn's autodiff: the operands are kept, and the upstream gradient goes into one backward call.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::{Autodiff, AutodiffBackend, TensorMetadata};
use wgloss::{Mode, Role};

use crate::op::LossOps;
use crate::spec::{Planned, Spec, dtype_of};
use crate::value::{GRADS, Operands, PLACES, Results, Value};

/// What a forward call leaves for its backward call.
#[derive(Clone, Debug)]
struct Saved<B: LossOps> {
    operands: Operands<B>,
    spec: Arc<Spec>,
    /// The places of the parents, in their order.
    parents: Vec<usize>,
}

#[derive(Debug)]
struct LossBackward;

impl<B: LossOps, const N: usize> Backward<B, N> for LossBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad_output = grads.consume::<B>(&ops.node);
        let Saved {
            operands,
            spec,
            parents,
        } = ops.state;
        let mut wanted = [false; GRADS];
        for (place, parent) in parents.iter().zip(&ops.parents) {
            wanted[*place] = parent.is_some();
        }
        let (places, _) = operands.into_parts();
        let dtypes = places.each_ref().map(|value| match value {
            Value::Float(tensor) => dtype_of("grad", tensor.dtype()).ok(),
            _ => None,
        });
        let spec = Arc::new(spec.backward(wanted, &dtypes));
        let results = B::wgloss(Operands::new(places, Value::Float(grad_output)), spec);
        let mut found = [results.first, results.second, results.third, results.fourth];
        for (place, parent) in parents.into_iter().zip(ops.parents) {
            let grad = std::mem::replace(&mut found[place], Value::Absent);
            if let (Some(parent), Value::Float(grad)) = (parent, grad) {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

impl<B: LossOps, C: CheckpointStrategy> LossOps for Autodiff<B, C> {
    fn wgloss(operands: Operands<Self>, spec: Arc<Spec>) -> Results<Self> {
        let (places, grad_output) = operands.into_parts();
        let (mut nodes, mut parents) = (Vec::new(), Vec::new());
        let mut nth = 0;
        let places: [Value<B>; PLACES] = places.map(|value| {
            let (value, node) = stripped(value);
            let has_grad = spec.places.get(nth).is_some_and(|place| place.has_grad);
            if let Some(node) = node.filter(|_| has_grad) {
                nodes.push(node);
                parents.push(nth);
            }
            nth += 1;
            value
        });
        let (grad_output, _) = stripped::<B, C>(grad_output);
        let operands = Operands::new(places, grad_output);
        let has_grad = |own: &Planned| own.role == Role::Loss && own.dtype.is_float();
        if spec.mode != Mode::Forward || !spec.results.iter().any(has_grad) {
            return Results::new(B::wgloss(operands, spec).into_values().map(untracked));
        }
        let saved = Saved {
            operands: operands.clone(),
            spec: Arc::clone(&spec),
            parents,
        };
        let results = B::wgloss(operands, spec);
        match nodes.len() {
            1 => tracked::<B, C, 1>(results, nodes, saved),
            2 => tracked::<B, C, 2>(results, nodes, saved),
            3 => tracked::<B, C, 3>(results, nodes, saved),
            _ => tracked::<B, C, 4>(results, nodes, saved),
        }
    }
}

/// The results of a forward call, the loss among them as what the parents made.
fn tracked<B: LossOps, C: CheckpointStrategy, const N: usize>(
    results: Results<B>,
    nodes: Vec<NodeGuard>,
    saved: Saved<B>,
) -> Results<Autodiff<B, C>> {
    let nodes: Result<[NodeGuard; N], _> = nodes.try_into();
    let mut loss = None;
    let mut values = results.into_values();
    if let (Ok(nodes), Value::Float(_)) = (nodes, &values[0])
        && let Value::Float(value) = std::mem::replace(&mut values[0], Value::Absent)
    {
        loss = Some(match LossBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(saved, value),
            OpsKind::UnTracked(prep) => prep.finish(value),
        });
    }
    let mut results = Results::new(values.map(untracked::<B, C>));
    if let Some(loss) = loss {
        results.loss = Value::Float(loss);
    }
    results
}

/// The tensor of the backend beneath, with its node where it has one.
fn stripped<B: LossOps, C: CheckpointStrategy>(value: Value<Autodiff<B, C>>) -> (Value<B>, Option<NodeGuard>) {
    match value {
        Value::Absent => (Value::Absent, None),
        Value::Float(tensor) => {
            let (tensor, node) = tensor.into_parts();
            (Value::Float(tensor), Some(node))
        }
        Value::Int(tensor) => (Value::Int(tensor), None),
        Value::Bool(tensor) => (Value::Bool(tensor), None),
    }
}

/// A tensor that nothing is tracked through.
fn untracked<B: LossOps, C: CheckpointStrategy>(value: Value<B>) -> Value<Autodiff<B, C>> {
    match value {
        Value::Absent => Value::Absent,
        Value::Float(tensor) => Value::Float(Autodiff::<B, C>::from_inner(tensor)),
        Value::Int(tensor) => Value::Int(tensor),
        Value::Bool(tensor) => Value::Bool(tensor),
    }
}
