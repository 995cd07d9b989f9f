//! The operation: one for all losses and modes, on each of burn's backends.

use std::sync::Arc;

use burn::backend::{Backend, Dispatch, backend_extension};
use burn_cubecl::CubeBackend;

use crate::compute;
use crate::spec::Spec;
use crate::value::{Operands, Results};
#[cfg(feature = "fusion")]
use crate::value::{OperandsMetadata, ResultsMetadata, ValueMetadata};

/// Computes a call, forward or backward.
#[backend_extension(Cube, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait LossOps: Backend {
    #[fusion(meta = described)]
    fn wgloss(#[extension_type] operands: Operands<Self>, spec: Arc<Spec>) -> Results<Self>;
}

/// What a call will give, for fusion, which queues it.
#[cfg(feature = "fusion")]
fn described(_: &OperandsMetadata, spec: &Arc<Spec>) -> ResultsMetadata {
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::Shape;

    let mut all = [const { ValueMetadata::Absent }; crate::value::RESULTS];
    for planned in &spec.results {
        let tensor = TensorSpec::new(Shape::from(planned.dims()), crate::spec::burn_dtype(planned.dtype));
        all[planned.slot] = match planned.dtype.is_float() {
            true => ValueMetadata::Float(tensor),
            false => ValueMetadata::Int(tensor),
        };
    }
    let [
        loss,
        first,
        second,
        third,
        fourth,
        z_loss,
        lse,
        entropy,
        argmax,
        correct,
    ] = all;
    ResultsMetadata {
        loss,
        first,
        second,
        third,
        fourth,
        z_loss,
        lse,
        entropy,
        argmax,
        correct,
    }
}

impl LossOps for CubeBackend {
    fn wgloss(operands: Operands<Self>, spec: Arc<Spec>) -> Results<Self> {
        compute::compute(operands, &spec)
    }
}

/// The operation on whatever backend the tensors are of.
pub fn dispatch(operands: Operands<Dispatch>, spec: Arc<Spec>) -> Results<Dispatch> {
    <Dispatch as LossOps>::wgloss(operands, spec)
}
