//! Values that break a rule: counted, the first named, the result beside that; on the GPU and on the processor.

mod labels;
mod options;
mod places;
mod results;
mod rules;

use std::sync::OnceLock;

use wgloss::{Call, Checks, Dtype, Engine, Error, Limits, Loss, Mode, OnNan, Tensor, Values};

use crate::common::plans::{SMALL, TINY};
use crate::common::{engine, gpu};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

const STRICT: Checks = Checks {
    strict: true,
    nan: OnNan::Propagate,
};

const NO_NAN: Checks = Checks {
    strict: false,
    nan: OnNan::Error,
};

/// Everything here is claimed of all of these. The last cuts small data into many dispatches.
fn engines() -> [&'static Engine; 3] {
    static OTHERS: OnceLock<[Engine; 2]> = OnceLock::new();
    let [cpu, tiny] = OTHERS.get_or_init(|| {
        let mut tiny = engine::fresh();
        tiny.set_tuning(SMALL).unwrap();
        let own = tiny.plan_limits().unwrap();
        tiny.set_plan_limits(Limits {
            max_binding_bytes: TINY.max_binding_bytes,
            max_groups: TINY.max_groups,
            ..own
        })
        .unwrap();
        [Engine::cpu(), tiny]
    });
    [gpu(), cpu, tiny]
}

fn tensor(data: &[f32], shape: &[usize], dtype: Dtype) -> Tensor {
    Tensor::new(data, shape).unwrap().to_dtype(dtype).unwrap()
}

/// An error of values without the values.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    name: &'static str,
    count: u64,
    of: u64,
    first: Vec<usize>,
    bits: u32,
}

fn found(name: &'static str, (count, of): (u64, u64), first: &[usize], value: f32) -> Option<Found> {
    Some(Found {
        name,
        count,
        of,
        first: first.to_vec(),
        bits: value.to_bits(),
    })
}

/// What a call finds, and its values in any case.
fn look(engine: &Engine, loss: &dyn Loss, call: &Call<'_>) -> (Option<Found>, Values) {
    match loss.run(engine, call).unwrap().include_placed().read(engine) {
        Ok(values) => (None, values),
        Err(Error::BadValues {
            name,
            count,
            of,
            first,
            value,
            values,
            ..
        }) => (found(name, (count, of), &first, value), *values),
        Err(error) => panic!("{error}"),
    }
}

fn checked<'a>(mode: Mode, tensors: &[&'a Tensor], checks: Checks) -> Call<'a> {
    Call {
        checks,
        ..Call::new(mode, tensors)
    }
}
