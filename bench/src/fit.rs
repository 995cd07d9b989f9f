//! Shapes that fit a loss, found by asking it: what a loss takes is said in one place, its own.

use wgloss::problem::Family;
use wgloss::{Call, Info, Loss, Mode, OperandKind, Role, Tensor};

/// How the shape of a target follows from that of the first tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TargetShape {
    Same,
    WithoutClasses,
    WithoutLast,
}

impl TargetShape {
    pub fn shape(self, first: &[usize]) -> Vec<usize> {
        let mut shape = first.to_vec();
        match self {
            Self::Same => {}
            Self::WithoutClasses => drop(shape.remove(class_dim(first))),
            Self::WithoutLast => drop(shape.pop()),
        }
        shape
    }
}

/// The dimension of the classes, where there are any.
pub fn class_dim(shape: &[usize]) -> usize {
    usize::from(shape.len() > 1)
}

/// An operand that may be class indices, and is to be.
pub fn is_index(kind: OperandKind, classes: bool) -> bool {
    match kind {
        OperandKind::Index | OperandKind::IndexList => true,
        OperandKind::IndexOrDistribution => classes,
        _ => false,
    }
}

/// Whether a loss takes tensors of these shapes.
pub fn takes(loss: &dyn Loss, shapes: &[Vec<usize>], classes: bool) -> bool {
    let blank = |(own, shape): (&wgloss::OperandInfo, &Vec<usize>)| {
        let count = shape.iter().product();
        match is_index(own.kind, classes) {
            true => Tensor::new(&vec![0u8; count], shape),
            false => Tensor::new(&vec![0f32; count], shape),
        }
    };
    let tensors: Result<Vec<Tensor>, _> = loss.info().operands.iter().zip(shapes).map(blank).collect();
    tensors.is_ok_and(|tensors| {
        let all: Vec<&Tensor> = tensors.iter().collect();
        loss.problem(&Call::new(Mode::Forward, &all)).is_ok()
    })
}

/// The loss is of a layer's logits: its shape is N×H×C, of N rows of H features and C classes.
pub fn is_layer(info: &Info) -> bool {
    info.operands.iter().any(|own| own.role == Role::LinearWeight)
}

/// The shape of what the classes of a loss's rows are in: that of the first tensor, or of a layer's logits.
pub fn logits(info: &Info, shape: &[usize]) -> Vec<usize> {
    match shape {
        &[rows, _, classes] if is_layer(info) => vec![rows, classes],
        // As many classes as features.
        _ => shape.to_vec(),
    }
}

/// The shapes of all tensors of the signature, for a first one of a shape, or of a layer.
pub fn shapes(info: &Info, first: &[usize], rule: TargetShape) -> Vec<Vec<usize>> {
    let (logits, layer) = (logits(info, first), is_layer(info));
    // Of (H) and (N, H), and of N×H×C.
    let features = first.get(class_dim(first)).copied().unwrap_or(1);
    let shape = |own: &wgloss::OperandInfo| match own.role {
        Role::Target => rule.shape(&logits),
        Role::LinearWeight => vec![logits.last().copied().unwrap_or(1), features],
        _ if layer => first[..first.len().min(2)].to_vec(),
        _ => first.to_vec(),
    };
    info.operands.iter().map(shape).collect()
}

/// The rule for targets of a first tensor of this shape; `None` where the loss does not take that.
pub fn rule(loss: &dyn Loss, first: &[usize], classes: bool) -> Option<TargetShape> {
    // Only the rank matters, and whether there is anything.
    let small: Vec<usize> = first.iter().map(|&n| n.min(3)).collect();
    let rules = [TargetShape::Same, TargetShape::WithoutClasses, TargetShape::WithoutLast];
    let rules = rules
        .into_iter()
        .filter(|&rule| rule == TargetShape::Same || !first.is_empty());
    let fits = |rule: &TargetShape| takes(loss, &shapes(loss.info(), &small, *rule), classes);
    rules.into_iter().find(fits)
}

/// Each element by itself.
pub fn is_elementwise(info: &Info) -> bool {
    let loss = (info.new)();
    let tensor = Tensor::new(&[0f32; 6], &[2, 3]);
    tensor.is_ok_and(|tensor| {
        let all = vec![&tensor; info.operands.len()];
        let problem = loss.problem(&Call::new(Mode::Forward, &all));
        problem.is_ok_and(|problem| matches!(problem.family, Family::Elements(_)))
    })
}
