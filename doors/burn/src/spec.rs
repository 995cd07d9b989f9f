//! A call without its tensors, found to be right: what goes through burn's queue beside them.

use std::fmt;
use std::sync::{Arc, Mutex};

use burn::tensor::{BoolStore, DType};
use wgloss::{Checks, Dtype, Error, Loss, Mode, Result, Role, Stats};

use crate::room::{Room, Watch};
use crate::value::{GRADS, RESULTS};

/// Makes a loss with its options, to which this call's optional tensors are attached.
pub type Make = Arc<dyn Fn() -> Box<dyn Loss> + Send + Sync>;

/// A tensor that a call reads.
#[derive(Clone, Debug)]
pub struct Place {
    pub role: Role,
    /// As the loss takes it: burn has no tensor of rank 0, but one number in a dimension of 1.
    pub shape: Vec<usize>,
    /// It is attached to the loss, not part of its signature.
    pub is_optional: bool,
    /// Its integers and truth values become floats: numbers are expected.
    pub becomes_float: bool,
    /// There is a gradient by it.
    pub has_grad: bool,
}

/// A tensor that a call writes.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its place among the results.
    pub slot: usize,
    pub role: Role,
    /// As the loss gives it.
    pub shape: Vec<usize>,
    pub dtype: Dtype,
}

impl Planned {
    /// The shape of burn's tensor.
    pub fn dims(&self) -> Vec<usize> {
        match self.shape.as_slice() {
            [] => vec![1],
            shape => shape.to_vec(),
        }
    }
}

/// A call without its tensors.
#[derive(Clone)]
pub struct Spec {
    pub make: Make,
    pub mode: Mode,
    pub places: Vec<Place>,
    pub results: Vec<Planned>,
    /// Of the upstream gradient, as the loss takes it.
    pub upstream_shape: Vec<usize>,
    pub stats: Stats,
    pub checks: Checks,
    /// Where it is computed.
    pub room: Arc<Room>,
    /// Who wants to hear of faults, and of failures of the device.
    pub watch: Arc<Watch>,
    /// Who wants to know where its tensors lie.
    pub trace: Option<Trace>,
}

/// Where the tensors of calls lay, in the order in which they were computed: for tests.
pub type Trace = Arc<Mutex<Vec<(Role, wgloss::wgpu::Buffer, u64)>>>;

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("mode", &self.mode)
            .field("places", &self.places)
            .field("results", &self.results)
            .finish_non_exhaustive()
    }
}

impl Spec {
    /// The gradients of a forward call, for the operands wanted.
    pub fn backward(&self, wanted: [bool; GRADS], dtypes: &[Option<Dtype>]) -> Self {
        let gradient = |(nth, place): (usize, &Place)| {
            // That of the first comes with every backward call.
            let is_wanted = nth == 0 || (place.has_grad && wanted.get(nth).copied().unwrap_or(false));
            let dtype = dtypes.get(nth).copied().flatten().filter(|_| is_wanted)?;
            Some(Planned {
                slot: slot(Role::Grad(nth as u8))?,
                role: Role::Grad(nth as u8),
                shape: place.shape.clone(),
                dtype,
            })
        };
        Self {
            mode: Mode::Backward,
            results: self.places.iter().enumerate().filter_map(gradient).collect(),
            stats: Stats::default(),
            checks: Checks::default(),
            ..self.clone()
        }
    }

    /// The other operands than the first whose gradients are wanted.
    pub fn grads(&self) -> Vec<Role> {
        let nth = |planned: &Planned| match planned.role {
            Role::Grad(nth) if nth > 0 => self.places.get(usize::from(nth)).map(|place| place.role),
            _ => None,
        };
        self.results.iter().filter_map(nth).collect()
    }
}

/// The place of a result among all.
pub fn slot(role: Role) -> Option<usize> {
    let slot = match role {
        Role::Loss => 0,
        Role::Grad(nth) if usize::from(nth) < GRADS => 1 + usize::from(nth),
        Role::ZLoss => 1 + GRADS,
        Role::Lse => 2 + GRADS,
        Role::Entropy => 3 + GRADS,
        Role::Argmax => 4 + GRADS,
        Role::Correct => 5 + GRADS,
        _ => return None,
    };
    debug_assert!(slot < RESULTS);
    Some(slot)
}

/// A dtype of burn's as the library's. Truth values are numbers, 0 and 1, of the width that the device stores them in.
pub fn dtype_of(name: &'static str, dtype: DType) -> Result<Dtype> {
    Ok(match dtype {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::Bf16,
        DType::U8 | DType::Bool(BoolStore::U8 | BoolStore::Native) => Dtype::U8,
        DType::I32 => Dtype::I32,
        DType::U32 | DType::Bool(BoolStore::U32) => Dtype::U32,
        DType::I64 => Dtype::I64,
        other => {
            let message = format!(
                "is {}, losses take f32, f16, bf16, u8, i32, u32, i64 and bool",
                other.name()
            );
            return Err(Error::Operand { name, message });
        }
    })
}

/// A dtype of the library's as burn's.
pub fn burn_dtype(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
        Dtype::U8 => DType::U8,
        Dtype::I32 => DType::I32,
        Dtype::U32 => DType::U32,
        Dtype::I64 => DType::I64,
    }
}
