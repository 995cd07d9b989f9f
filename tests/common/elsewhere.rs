//! Calls whose tensors of full length come from elsewhere and whose results of full length go there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wgloss::{Array, Dtype, Engine, Error, Mode, Pages, Reduction, Role, Sink, Stream, Tensor, Values};

use crate::common::cases::Case;
use crate::common::own::bytes_of;

/// The bytes of a tensor, somewhere else.
#[derive(Debug)]
struct Elsewhere {
    bytes: Vec<u8>,
    read: AtomicU64,
}

impl Pages for Elsewhere {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read.fetch_add(out.len() as u64, Ordering::Relaxed);
        out.copy_from_slice(&self.bytes[offset as usize..][..out.len()]);
        Ok(())
    }
}

pub fn elsewhere(tensor: &Tensor) -> Tensor {
    let pages = Elsewhere {
        bytes: bytes_of(tensor),
        read: AtomicU64::new(0),
    };
    Tensor::from_pages(Arc::new(pages), tensor.dtype(), tensor.shape()).unwrap()
}

/// Where a result goes: its bytes, and how often each was written.
struct Kept {
    bytes: Vec<u8>,
    written: Vec<u8>,
}

impl Kept {
    fn new(len: usize, dtype: Dtype) -> Self {
        let bytes = len * dtype.bytes() as usize;
        Self {
            bytes: vec![0xee; bytes],
            written: vec![0; bytes],
        }
    }

    fn floats(&self, shape: &[usize], dtype: Dtype) -> Array {
        assert!(self.written.iter().all(|&times| times == 1), "each byte once");
        let data = match dtype {
            Dtype::F32 => bytemuck::pod_collect_to_vec(&self.bytes),
            Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, half::f16>(&self.bytes)
                .into_iter()
                .map(f32::from)
                .collect(),
            _ => bytemuck::pod_collect_to_vec::<u8, half::bf16>(&self.bytes)
                .into_iter()
                .map(f32::from)
                .collect(),
        };
        Array {
            shape: shape.to_vec(),
            data,
            dtype,
        }
    }

    fn indices(&self, shape: &[usize]) -> Array<i64> {
        let data = bytemuck::pod_collect_to_vec::<u8, u32>(&self.bytes);
        Array {
            shape: shape.to_vec(),
            data: data.into_iter().map(i64::from).collect(),
            dtype: Dtype::U32,
        }
    }
}

impl Sink for Kept {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let range = offset as usize..offset as usize + bytes.len();
        self.bytes[range.clone()].copy_from_slice(bytes);
        self.written[range].iter_mut().for_each(|times| *times += 1);
        Ok(())
    }
}

/// The same within the least memory that does, so that there are many parts.
pub fn streamed(engine: &Engine, case: &Case, mode: Mode) -> (Values, u64) {
    for memory in (17..26).map(|shift| 1 << shift) {
        match streamed_within(engine, case, mode, memory) {
            Err(Error::Memory { .. }) => {}
            result => return result.unwrap_or_else(|error| panic!("{}: {error}", case.what)),
        }
    }
    panic!("{} takes too much memory", case.what);
}

/// The values of a call whose tensors of full length come from elsewhere and whose results of full length go there, and
/// the number of parts.
pub fn streamed_within(engine: &Engine, case: &Case, mode: Mode, memory: u64) -> wgloss::Result<(Values, u64)> {
    let tensors: Vec<Tensor> = case.tensors.iter().map(elsewhere).collect();
    let upstream = elsewhere(&case.upstream);
    let mut call = case.call(mode);
    call.tensors = tensors.iter().collect();
    call.grad_output = call.grad_output.map(|_| &upstream);
    let of_stats = case.of_stats.as_ref().map(|own| own.each_ref().map(elsewhere));
    let [by_lse, by_entropy] = of_stats.as_ref().map_or([None; 2], |own| own.each_ref().map(Some));
    (call.grad_lse, call.grad_entropy) = (call.grad_lse.and(by_lse), call.grad_entropy.and(by_entropy));
    let problem = case.loss.problem(&call).unwrap();
    let shape = case.tensors[0].shape();
    let unreduced = mode.wants_loss() && case.loss.reduction() == Reduction::None;
    let terms = problem.terms.clone();
    let keeps = |wanted: bool, len: usize, dtype| wanted.then(|| Kept::new(len, dtype));
    let rows: usize = terms.iter().product();
    let mut loss = keeps(
        unreduced && problem.loss_dtype() != Dtype::I64,
        rows,
        problem.loss_dtype(),
    );
    let mut lse = keeps(problem.stats.lse, rows, Dtype::F32);
    let mut top = keeps(problem.stats.argmax, rows, Dtype::U32);
    let dtype = case.tensors[0].dtype();
    let mut grad = keeps(mode.wants_grad(), shape.iter().product(), dtype);
    let mut stream = Stream::within(memory);
    for (role, sink) in [
        (Role::Loss, &mut loss),
        (Role::Lse, &mut lse),
        (Role::Argmax, &mut top),
        (Role::Grad(0), &mut grad),
    ] {
        stream
            .sinks
            .extend(sink.as_mut().map(|own| (role, own as &mut dyn Sink)));
    }
    let (mut values, report) = stream.run(engine, case.loss.as_ref(), &call)?;
    assert!(report.memory <= memory);
    values.loss = loss.map(|own| own.floats(&terms, problem.loss_dtype())).or(values.loss);
    values.lse = lse.map(|own| own.floats(&terms, Dtype::F32)).or(values.lse);
    values.argmax = top.map(|own| own.indices(&terms)).or(values.argmax);
    values.grad_input = grad.map(|own| own.floats(shape, dtype)).or(values.grad_input);
    Ok((values, report.parts))
}
