//! The operands of a row: a block of generated numbers, repeated along the first dimension.
//!
//! The block has an odd number of items, while windows and tiles begin at multiples of powers of two: whatever reads or
//! writes in the wrong place meets another part of the block. So the f64 reference of the block is the truth of every
//! element, and costs little however large the row is. A layer's matrix, which all of its items meet, is whole.

use rand::Rng;
use rand_pcg::Pcg64;
use wgloss::problem::Family;
use wgloss::{Call, Dtype, Error, Loss, Mode, OperandKind, Reduction, Result, Role, Scalar, Tensor};

use super::rows::Options;
use crate::fit::{self, TargetShape};

/// Elements of a block, about.
const BLOCK: usize = 1 << 20;

/// The tensors of a call.
pub type Operands = Vec<(Role, Tensor)>;

pub struct Inputs {
    pub whole: Operands,
    /// The first items of them; all, where the loss does not take its items one by one.
    pub block: Operands,
    /// How many items (elements, rows, slabs) there are in all, and in the block.
    pub items: usize,
    pub block_items: usize,
}

/// A loss with these options, and the reduction that is timed: mean. A mean over so many has gradients that are all 0
/// in f16, which has the sum.
pub fn make(info: &wgloss::Info, options: Options, dtype: Dtype) -> Result<Box<dyn Loss>> {
    let mut loss = (info.new)();
    for (name, word) in options {
        loss.set(name, &Scalar::Choice((*word).into()))?;
    }
    if info.reductions.contains(&Reduction::Mean) {
        loss.set_reduction(match dtype {
            Dtype::F16 => Reduction::Sum,
            _ => Reduction::Mean,
        });
    }
    Ok(loss)
}

/// The call on these operands.
pub fn call(operands: &Operands, mode: Mode) -> Call<'_> {
    let is_upstream = |(role, _): &&(Role, Tensor)| *role == Role::GradOutput;
    let signature = operands.iter().filter(|own| !is_upstream(own));
    Call {
        grad_output: operands.iter().find(is_upstream).map(|(_, tensor)| tensor),
        ..Call::new(mode, &signature.map(|(_, tensor)| tensor).collect::<Vec<_>>())
    }
}

impl Inputs {
    /// Operands of a network that has learned something; for a map, an upstream gradient, too.
    ///
    /// # Errors
    /// [`Error::Operand`] for a shape that the loss does not take, or that is too large for the host.
    pub fn new(loss: &dyn Loss, shape: &[usize], dtype: Dtype) -> Result<Self> {
        let info = loss.info();
        let rule = fit::rule(loss, shape, true).unwrap_or(TargetShape::Same);
        let items = shape.first().copied().unwrap_or(1);
        let slab: usize = shape.iter().skip(1).product();
        let block_items = if has_items(loss, shape, rule)? {
            ((BLOCK / slab.max(1)) | 1).max(3).min(items)
        } else {
            items
        };
        let mut rng = Pcg64::new(1, 0);
        let logits = fit::logits(info, shape);
        let cols = logits.get(fit::class_dim(&logits)).copied().unwrap_or(1);
        let mut own = Self {
            whole: Vec::new(),
            block: Vec::new(),
            items,
            block_items,
        };
        for (operand, shape) in info.operands.iter().zip(fit::shapes(info, shape, rule)) {
            let count = own.block_count(operand.role, &shape);
            if fit::is_index(operand.kind, true) {
                // A list of classes ends after its fourth.
                let ended = |i: usize| operand.kind == OperandKind::IndexList && i % cols >= 4;
                let class = |i: usize| if ended(i) { -1 } else { rng.random_range(0..cols as i64) };
                own.add(operand.role, filled(count, class)?, &shape, Dtype::I64)?;
            } else {
                // Those of a layer make logits as other losses have them.
                let (kind, scale) = match (fit::is_layer(info), is_whole(operand.role)) {
                    (true, true) => (OperandKind::Logit, (shape[1] as f32).powf(-0.5)),
                    (true, false) => (OperandKind::Logit, 1.0),
                    (false, _) => (operand.kind, 1.0),
                };
                let numbers = filled(count, |_| scale * number(kind, &mut rng))?;
                own.add(operand.role, numbers, &shape, dtype)?;
            }
        }
        let problem = loss.problem(&call(&own.whole, Mode::Forward))?;
        if !problem.is_reduced() && !problem.terms.is_empty() {
            let numbers = filled(own.block_count(Role::GradOutput, &problem.terms), |_| {
                rng.random::<f32>()
            })?;
            own.add(Role::GradOutput, numbers, &problem.terms, dtype)?;
        }
        Ok(own)
    }

    /// The block of a tensor is all there is of it.
    fn is_whole(&self, role: Role) -> bool {
        self.block_items == self.items || is_whole(role)
    }

    /// Elements of the block of a tensor of this shape.
    fn block_count(&self, role: Role, shape: &[usize]) -> usize {
        let all: usize = shape.iter().product();
        if self.is_whole(role) {
            all
        } else {
            all / self.items * self.block_items
        }
    }

    /// Adds an operand of this shape whose items are those of the block, again and again.
    fn add<T: wgloss::Element>(&mut self, role: Role, block: Vec<T>, shape: &[usize], dtype: Dtype) -> Result<()> {
        let tensor = |data: &[T], shape: &[usize]| {
            let tensor = Tensor::new(data, shape)?;
            if tensor.dtype() == dtype {
                Ok(tensor)
            } else {
                tensor.to_dtype(dtype)
            }
        };
        if self.is_whole(role) {
            let all = tensor(&block, shape)?;
            self.block.push((role, all.clone()));
            self.whole.push((role, all));
            return Ok(());
        }
        let mut first = shape.to_vec();
        if let Some(items) = first.first_mut() {
            *items = self.block_items;
        }
        self.block.push((role, tensor(&block, &first)?));
        let all = Tensor::from_vec(repeated(&block, shape.iter().product())?, shape)?;
        let all = if all.dtype() == dtype {
            all
        } else {
            all.to_dtype(dtype)?
        };
        self.whole.push((role, all));
        Ok(())
    }
}

/// All items meet all of it.
fn is_whole(role: Role) -> bool {
    role == Role::LinearWeight
}

/// So many values.
fn filled<T>(count: usize, value: impl FnMut(usize) -> T) -> Result<Vec<T>> {
    let mut list = reserved(count)?;
    list.extend((0..count).map(value));
    Ok(list)
}

/// Room for so many.
fn reserved<T>(count: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count).map_err(|_| Error::Operand {
        name: "shape",
        message: format!("{count} elements are too large for the host's memory"),
    })?;
    Ok(list)
}

/// So many values, which repeat those of a block.
///
/// # Errors
/// [`Error::Operand`] for more than the host's memory holds.
pub fn repeated<T: Copy>(block: &[T], count: usize) -> Result<Vec<T>> {
    let mut list = reserved(count)?;
    while list.len() < count && !block.is_empty() {
        let more = block.len().min(count - list.len());
        list.extend_from_slice(&block[..more]);
    }
    Ok(list)
}

/// Whether items along the first dimension know nothing of each other.
fn has_items(loss: &dyn Loss, shape: &[usize], rule: TargetShape) -> Result<bool> {
    // Only the rank matters, and whether the first dimension is a batch.
    let small: Vec<usize> = shape.iter().map(|&n| n.min(3)).collect();
    let Some(&first) = small.first() else {
        return Ok(false);
    };
    let info = loss.info();
    let blank = |(own, shape): (&wgloss::OperandInfo, Vec<usize>)| {
        let count: usize = shape.iter().product();
        match fit::is_index(own.kind, true) {
            true => Tensor::new(&vec![0u8; count], &shape),
            false => Tensor::new(&vec![0f32; count], &shape),
        }
    };
    let tensors = info.operands.iter().zip(fit::shapes(info, &small, rule)).map(blank);
    let tensors: Vec<Tensor> = tensors.collect::<Result<_>>()?;
    let all: Vec<&Tensor> = tensors.iter().collect();
    Ok(match loss.problem(&Call::new(Mode::Forward, &all))?.family {
        Family::Elements(_) => true,
        Family::Rows(rows) => rows.whole.is_none() && rows.slabs.is_multiple_of(first) && first > 1,
        Family::Pairs(pairs) => pairs.rows.is_multiple_of(first) && first > 1,
    })
}

/// A number that nothing is wrong with, and of whose like many add up to something.
fn number(kind: OperandKind, rng: &mut Pcg64) -> f32 {
    // The sum of uniform numbers is close to normal, and cheap.
    let mut normal = || (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 5.0;
    match kind {
        OperandKind::Real => normal() + 2.0,
        OperandKind::LogProbability => -normal().abs(),
        OperandKind::UnitInterval | OperandKind::MaybeLogProbability => rng.random(),
        OperandKind::Count => rng.random_range(0..8u8).into(),
        OperandKind::Variance => 1.0 + rng.random::<f32>(),
        OperandKind::Sign => 1.0 - 2.0 * f32::from(u8::from(rng.random_bool(0.5))),
        _ => normal(),
    }
}
