//! Streams: tensors that lie elsewhere give the bits of the call in memory, within the memory that was stated.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wgloss::plan::Source;
use wgloss::{
    Array, Batches, Call, CrossEntropy, Dtype, Engine, Error, Loss, Mode, Mse, Pages, REGISTRY, Reduce, ReduceOp,
    Reduction, Role, Sink, Stream, Tensor, Values, denominator,
};

use crate::common::cases::{Case, DTYPES, Setup, by_rows, make};
use crate::common::data::{Data, row_shape};
use crate::common::own::bytes_of;
use crate::common::{bits, gpu};

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

fn elsewhere(tensor: &Tensor) -> Tensor {
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
fn streamed_within(engine: &Engine, case: &Case, mode: Mode, memory: u64) -> wgloss::Result<(Values, u64)> {
    let tensors: Vec<Tensor> = case.tensors.iter().map(elsewhere).collect();
    let upstream = elsewhere(&case.upstream);
    let mut call = case.call(mode);
    call.tensors = tensors.iter().collect();
    call.grad_output = call.grad_output.map(|_| &upstream);
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

/// The loss of `engine` in memory and streamed, over the registry; calls `compare` with both and the number of parts.
fn sweep(
    engine: &Engine,
    shapes: &[&[usize]],
    dtypes: &[(Dtype, Dtype)],
    compare: impl Fn(&str, &Values, &Values, u64),
) {
    for info in REGISTRY {
        for (nth, shape) in shapes.iter().enumerate() {
            // Classes meet all classes there.
            if info.name == "multilabel_margin" && shape[1] > 1000 {
                continue;
            }
            for &(dtype, other) in dtypes {
                for reduction in [Reduction::None, Reduction::Mean] {
                    let setup = Setup {
                        dtype,
                        other,
                        given: nth == 1,
                        reduction,
                        setting: by_rows(info),
                        ..Setup::new(shape)
                    };
                    let Some(case) = make(info, &setup) else { continue };
                    let mode = case.most();
                    let whole = case.loss.run(engine, &case.call(mode)).unwrap().read(engine).unwrap();
                    let (values, parts) = streamed(engine, &case, mode);
                    compare(&format!("{} {dtype} {mode:?}", case.what), &values, &whole, parts);
                }
            }
        }
    }
}

#[test]
fn every_loss_streams_to_the_same_bits() {
    let cut = AtomicU64::new(0);
    let compare = |what: &str, values: &Values, whole: &Values, parts| {
        assert!(bits(values) == bits(whole), "{what}");
        cut.fetch_add(u64::from(parts > 2), Ordering::Relaxed);
    };
    sweep(gpu(), &[&[1201, 33], &[57, 516], &[2, 5, 4001]], &DTYPES[..1], compare);
    sweep(gpu(), &[&[1201, 33]], &DTYPES[1..2], compare);
    assert!(cut.load(Ordering::Relaxed) > 50, "{cut:?}");
}

/// The sums of slices are added up in another order than the whole's: in f64, which shows in f32 hardly ever.
#[test]
fn the_reference_streams_too() {
    let engine = Engine::cpu();
    let cut = AtomicU64::new(0);
    let shapes: [&[usize]; 2] = [&[401, 33], &[97, 128]];
    sweep(&engine, &shapes, &DTYPES[..2], |what, values, whole, parts| {
        let (mut values, mut whole) = (values.clone(), whole.clone());
        for (own, other) in [(&mut values.loss, &whole.loss), (&mut values.z_loss, &whole.z_loss)] {
            if let (Some(Array { shape, data, .. }), Some(other)) = (own, other)
                && shape.is_empty()
                && (data[0] - other.data[0]).abs() <= f32::EPSILON * data[0].abs()
            {
                data[0] = other.data[0];
            }
        }
        // The weights of the rows kept, for a report.
        (values.weight, whole.weight) = (None, None);
        assert!(bits(&values) == bits(&whole), "{what}");
        cut.fetch_add(u64::from(parts > 2), Ordering::Relaxed);
    });
    assert!(cut.load(Ordering::Relaxed) > 50, "{cut:?}");
}

#[test]
fn parts_stay_within_the_memory() {
    let mut data = Data::new(5);
    let shape = [3000usize, 1001];
    let x = Tensor::new(&data.logits(3_003_000), &shape).unwrap();
    let labels = Tensor::new(&data.labels(3000, 1001, Some(-100)), &row_shape(&shape)).unwrap();
    let loss = CrossEntropy::default();
    let whole = loss.forward(gpu(), &[&x, &labels]).unwrap().read(gpu()).unwrap();
    for memory in [2 << 20, 4 << 20, 32 << 20] {
        let (far, near) = (elsewhere(&x), elsewhere(&labels));
        let mut seen = 0;
        let mut last = 0;
        let mut watch = |progress: wgloss::Progress| {
            seen += 1;
            assert!(progress.bytes >= last && progress.bytes <= progress.of_bytes);
            last = progress.bytes;
            ControlFlow::Continue(())
        };
        let mut stream = Stream::within(memory);
        stream.progress = Some(&mut watch);
        let call = Call::new(Mode::Forward, &[&far, &near]);
        let (values, report) = stream.run(gpu(), &loss, &call).unwrap();
        assert_eq!(values, whole);
        assert_eq!(report.read_bytes, 3_003_000 * 4 + 2 * 3000 * 8, "labels are read twice");
        assert!(report.memory <= memory, "{report:?}");
        assert_eq!(report.parts, seen);
    }
}

/// Gradients of slabs go elsewhere with whole slabs, each byte once: where a part ends with a slab or would not, where tiles reach from one slab
/// into the next, and where a part has room for a piece of one.
#[test]
fn slabs_go_elsewhere_whole() {
    let info = wgloss::find("cross_entropy").unwrap();
    let shapes: [&[usize]; 5] = [
        &[4, 60, 1920],
        &[3, 72, 2048],
        &[300, 40, 100],
        &[120, 40, 101],
        &[2, 12, 16_384],
    ];
    for (n, shape) in shapes.into_iter().enumerate() {
        let setup = Setup {
            dtype: Dtype::FLOATS[[0, 0, 0, 2, 1][n]],
            reduction: [Reduction::None, Reduction::Mean][n % 2],
            ..Setup::new(shape)
        };
        let case = make(info, &setup).unwrap();
        let whole = case
            .loss
            .run(gpu(), &case.call(Mode::Fused))
            .unwrap()
            .read(gpu())
            .unwrap();
        let mut most = 0;
        for memory in (0..10).map(|k| 700_000 << k >> (k / 2)) {
            match streamed_within(gpu(), &case, Mode::Fused, memory) {
                Ok((values, parts)) => {
                    assert!(bits(&values) == bits(&whole), "{} within {memory}", case.what);
                    most = most.max(parts);
                }
                Err(Error::Memory { .. }) => {}
                Err(error) => panic!("{}: {error}", case.what),
            }
        }
        assert!(most > 2, "{}: {most} parts", case.what);
    }
}

/// The reference reads what has no slices once for each part, and says so ahead.
#[test]
fn progress_comes_to_what_was_said() {
    let mut data = Data::new(6);
    let (rows, cols) = (300usize, 50usize);
    let x = elsewhere(&Tensor::new(&data.logits(rows * cols), &[rows, cols]).unwrap());
    let labels = elsewhere(&Tensor::new(&data.labels(rows, cols, Some(-100)), &[rows]).unwrap());
    let weight = elsewhere(&Tensor::new(&data.uniform(cols, 0.5, 2.0), &[cols]).unwrap());
    let target = elsewhere(&Tensor::new(&data.uniform(cols, 0.5, 2.0), &[cols]).unwrap());
    let weighted = CrossEntropy {
        weight: Some(weight),
        ..Default::default()
    };
    let (plain, mse) = (CrossEntropy::default(), Mse::default());
    let calls: [(&dyn Loss, [&Tensor; 2]); 3] = [
        (&weighted, [&x, &labels]),
        (&plain, [&x, &labels]),
        (&mse, [&x, &target]),
    ];
    for (engine, memories) in [(gpu(), [1 << 21, 1 << 30]), (&Engine::cpu(), [40_000, 1 << 30])] {
        for (loss, tensors) in calls {
            for memory in memories {
                let mut last = (0, 0);
                let mut watch = |progress: wgloss::Progress| {
                    last = (progress.bytes, progress.of_bytes);
                    ControlFlow::Continue(())
                };
                let mut stream = Stream::within(memory);
                stream.progress = Some(&mut watch);
                let (_, report) = stream.run(engine, loss, &Call::new(Mode::Forward, &tensors)).unwrap();
                assert!(memory != 40_000 || report.parts > 1, "{report:?}");
                assert_eq!(
                    last,
                    (report.read_bytes, report.read_bytes),
                    "{} {report:?}",
                    loss.info().name
                );
            }
        }
    }
}

/// Pages that fail from some byte on.
#[derive(Debug)]
struct Torn(u64);

impl Pages for Torn {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        match offset + out.len() as u64 > self.0 {
            true => Err(io::Error::other("the disk is torn")),
            false => Ok(()),
        }
    }
}

/// A sink that takes nothing.
struct Full;

impl Sink for Full {
    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("the disk is full"))
    }
}

#[test]
fn what_keeps_a_stream_from_going_on_is_told() {
    let shape = [20_000usize, 100];
    let x = Tensor::new(&vec![0.5f32; 2_000_000], &shape).unwrap();
    let mut labels = vec![3i64; 20_000];
    (labels[15_003], labels[19_999]) = (100, -7);
    let bad = Tensor::new(&labels, &[20_000]).unwrap();
    let good = Tensor::new(&[3i64; 20_000], &[20_000]).unwrap();
    let loss = CrossEntropy::default();
    for engine in [gpu(), &Engine::cpu()] {
        let far = elsewhere(&x);
        let run = |call: &Call<'_>, stream: &mut Stream<'_>| stream.run(engine, &loss, call);
        // The row is that of the whole.
        let near = elsewhere(&bad);
        let call = Call::new(Mode::Forward, &[&far, &near]);
        match run(&call, &mut Stream::within(4 << 20)).unwrap_err() {
            Error::BadLabels {
                count,
                first_row,
                value,
                ..
            } => assert_eq!((count, first_row, value), (2, 15_003, 100)),
            other => panic!("{other}"),
        }
        let torn = Tensor::from_pages(Arc::new(Torn(3_000_000)), Dtype::F32, &shape).unwrap();
        let call = Call::new(Mode::Forward, &[&torn, &good]);
        let error = run(&call, &mut Stream::within(4 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "input: the disk is torn");
        let call = Call::new(Mode::Fused, &[&far, &good]);
        let mut stream = Stream::within(4 << 20);
        let mut full = Full;
        stream.sinks.push((Role::Grad(0), &mut full));
        assert_eq!(
            run(&call, &mut stream).unwrap_err().to_string(),
            "grad: the disk is full"
        );
        // What is not asked for cannot be kept.
        let call = Call::new(Mode::Forward, &[&far, &good]);
        assert!(
            run(&call, &mut stream)
                .unwrap_err()
                .to_string()
                .contains("no such result")
        );
        let mut parts = 0;
        let mut watch = |_| {
            parts += 1;
            if parts == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut stream = Stream::within(4 << 20);
        stream.progress = Some(&mut watch);
        assert!(matches!(run(&call, &mut stream).unwrap_err(), Error::Interrupted));
        assert_eq!(parts, 2);
        let error = run(&call, &mut Stream::within(64)).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
    }
    // Only a stream reads pages.
    let far = elsewhere(&x);
    for engine in [gpu(), &Engine::cpu()] {
        let error = loss.forward(engine, &[&far, &good]).unwrap_err();
        assert!(error.to_string().starts_with("input: "), "{error}");
    }
}

#[test]
fn batches_add_up_to_the_whole() {
    let mut data = Data::new(8);
    let (rows, cols) = (900usize, 50usize);
    let x = data.logits(rows * cols);
    let labels = data.labels(rows, cols, Some(-100));
    let weight = Tensor::new(&data.uniform(cols, 0.5, 2.0), &[cols]).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        for weight in [None, Some(weight.clone())] {
            let loss = CrossEntropy {
                weight,
                ..Default::default()
            };
            let whole_x = Tensor::new(&x, &[rows, cols]).unwrap();
            let whole_labels = Tensor::new(&labels, &[rows]).unwrap();
            let call = Call::new(Mode::Fused, &[&whole_x, &whole_labels]);
            let want = loss.run(engine, &call).unwrap().read(engine).unwrap();
            let batches: Vec<_> = [0..100, 100..101, 101..rows]
                .into_iter()
                .map(|own| {
                    let x = Tensor::new(&x[own.start * cols..own.end * cols], &[own.len(), cols]).unwrap();
                    (x, Tensor::new(&labels[own.clone()], &[own.len()]).unwrap())
                })
                .collect();
            let calls = |mode| batches.iter().map(move |(x, labels)| Call::new(mode, &[x, labels]));
            let refused = Batches::new(engine, &loss).push(&calls(Mode::Fused).next().unwrap());
            assert!(
                refused
                    .unwrap_err()
                    .to_string()
                    .starts_with("denominator: the gradient of a mean")
            );
            let own = CrossEntropy {
                denominator: Some(3.0),
                ..loss.clone()
            };
            let refused = Batches::new(engine, &own).push(&calls(Mode::Forward).next().unwrap());
            let why = refused.unwrap_err().to_string();
            assert!(why.starts_with("denominator: 3 given for each call"), "{why}");
            let sum: f64 = calls(Mode::Forward)
                .map(|call| denominator(engine, &loss, &call).unwrap())
                .sum();
            assert!((sum - want.weight.unwrap()).abs() < 1e-3 * sum);
            let mut all = Batches::new(engine, &loss).with_denominator(sum);
            let mut grads = Vec::new();
            for call in calls(Mode::Fused) {
                grads.extend(all.push(&call).unwrap().read(engine).unwrap().grad_input.unwrap().data);
            }
            let totals = all.finish().unwrap();
            assert!((totals.mean() - f64::from(want.scalar().unwrap())).abs() < 1e-6 * totals.mean());
            assert_eq!((totals.terms, totals.ignored), (want.terms, want.ignored));
            for (own, want) in grads.iter().zip(&want.grad_input.as_ref().unwrap().data) {
                assert!((own - want).abs() <= 2e-7 * want.abs(), "{own} {want}");
            }
            // Two processes.
            let part = |own: std::ops::Range<usize>| {
                let mut part = Batches::new(engine, &loss);
                for call in calls(Mode::Forward).skip(own.start).take(own.len()) {
                    let _ = part.push(&call).unwrap();
                }
                part.finish().unwrap()
            };
            let mut joint = part(0..2);
            joint.merge(&part(2..3));
            assert!((joint.mean() - totals.mean()).abs() < 1e-7 * totals.mean());
        }
    }
}

#[test]
fn batches_name_the_row_of_a_bad_label() {
    let loss = CrossEntropy::default();
    for engine in [gpu(), &Engine::cpu()] {
        let mut all = Batches::new(engine, &loss);
        for labels in [[0i64, 1], [1, 5], [-3, 0]] {
            let x = Tensor::new(&[0f32; 4], &[2, 2]).unwrap();
            let labels = Tensor::new(&labels, &[2]).unwrap();
            let _ = all.push(&Call::new(Mode::Forward, &[&x, &labels])).unwrap();
        }
        match all.finish().unwrap_err() {
            Error::BadLabels {
                count,
                rows,
                first_row,
                value,
                ..
            } => assert_eq!((count, rows, first_row, value), (2, 6, 3, 5)),
            other => panic!("{other}"),
        }
    }
}

/// Zeros but for one element.
#[derive(Debug)]
struct AllBut {
    at: u64,
    value: half::bf16,
}

impl Pages for AllBut {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        if let Some(at) = (2 * self.at)
            .checked_sub(offset)
            .filter(|at| at + 2 <= out.len() as u64)
        {
            out[at as usize..][..2].copy_from_slice(&self.value.to_le_bytes());
        }
        Ok(())
    }
}

/// More than 2^32 elements in one logical problem, for real: 8 GiB that nobody holds.
#[test]
fn places_beyond_32_bits_are_right() {
    let at = (1u64 << 32) + 77;
    let len = (1usize << 32) + 12_345;
    let pages = AllBut {
        at,
        value: half::bf16::from_f32(3.0),
    };
    let x = Tensor::from_pages(Arc::new(pages), Dtype::Bf16, &[len]).unwrap();
    let argmax = Reduce {
        op: ReduceOp::Argmax,
        ..Default::default()
    };
    let call = Call::new(Mode::Forward, &[&x]);
    let (values, report) = Stream::within(512 << 20).run(gpu(), &argmax, &call).unwrap();
    assert_eq!(values.argmax.unwrap().data, [at as i64]);
    assert_eq!(report.read_bytes, 2 * len as u64);
}

/// The windows of plans of more than 2^32 elements cover every tensor once, and what their dispatches are told stays
/// within 32 bits.
#[test]
fn plans_of_more_than_32_bits_cover_everything_once() {
    let far = |dtype, shape: &[usize]| {
        Tensor::from_pages(
            Arc::new(AllBut {
                at: 0,
                value: half::bf16::ZERO,
            }),
            dtype,
            shape,
        )
        .unwrap()
    };
    let (rows, cols) = ((1usize << 23) + 3, 1000usize);
    let (x, labels) = (far(Dtype::Bf16, &[rows, cols]), far(Dtype::I64, &[rows]));
    let t = far(Dtype::Bf16, &[rows, cols]);
    let (ce, mse) = (CrossEntropy::default(), Mse::default());
    let calls: [(&dyn Loss, [&Tensor; 2]); 2] = [(&ce, [&x, &labels]), (&mse, [&x, &t])];
    for (loss, tensors) in calls {
        let problem = loss.problem(&Call::new(Mode::Fused, &tensors)).unwrap();
        let limits = gpu().plan_limits().unwrap();
        let plan = wgloss::plan::plan(&problem, &limits, &wgloss::Tuning::SOFTWARE).unwrap();
        for (role, bytes) in [(Role::Input, 2 * rows * cols), (Role::Grad(0), 2 * rows * cols)] {
            let mut next = 0;
            for binding in plan.dispatches().flat_map(|dispatch| &dispatch.bindings) {
                if binding.source != Source::Tensor(role) {
                    continue;
                }
                assert_eq!(binding.own.0, next, "{} {role:?}", loss.info().name);
                assert!(binding.size <= limits.max_binding_bytes && binding.own.1 > next);
                next = binding.own.1;
            }
            assert_eq!(next, bytes as u64, "{} {role:?}", loss.info().name);
        }
    }
}
