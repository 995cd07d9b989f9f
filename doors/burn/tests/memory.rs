//! No copy: what a call reads and writes is where burn has it, told by buffers and offsets, in burn's default memory.
//! By itself, so that no other test computes on the device meanwhile.

#[path = "main/common/mod.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod common;

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::wgpu::{AutoCompiler, WgpuServer};
use burn_cubecl::tensor::CubeTensor;
use wgloss_burn::wgloss::wgpu::Buffer;
use wgloss_burn::{CrossEntropy, LossCall, Role, Stats, Trace, with_engine};

use common::{Numbers, device};

/// Tests that count take the device one after the other.
static ONE: Mutex<()> = Mutex::new(());

type Found = Arc<Mutex<Vec<(Buffer, u64)>>>;

/// Looks where burn has a tensor.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
trait Look: Backend {
    #[fusion(dtype = x, shape = x)]
    fn look_float(x: FloatTensor<Self>, found: Found) -> FloatTensor<Self>;

    #[fusion(dtype = x, shape = x)]
    fn look_int(x: IntTensor<Self>, found: Found) -> IntTensor<Self>;
}

fn look(x: CubeTensor, found: &Found) -> CubeTensor {
    let memory = x
        .client
        .get_resource::<WgpuServer<AutoCompiler>>(x.handle.clone())
        .unwrap();
    let own = memory.resource();
    found.lock().unwrap().push((own.buffer.clone(), own.offset));
    x
}

impl Look for CubeBackend {
    fn look_float(x: FloatTensor<Self>, found: Found) -> FloatTensor<Self> {
        look(x, &found)
    }

    fn look_int(x: IntTensor<Self>, found: Found) -> IntTensor<Self> {
        look(x, &found)
    }
}

/// Of tensors without autodiff.
fn place<const D: usize>(x: &Tensor<D>) -> (Buffer, u64) {
    let found = Found::default();
    let x = Tensor::<D>::from_dispatch(Dispatch::look_float(x.clone().into_dispatch(), found.clone()));
    x.device().sync().unwrap();
    found.lock().unwrap().pop().unwrap()
}

fn place_int<const D: usize>(x: &Tensor<D, Int>) -> (Buffer, u64) {
    let found = Found::default();
    let x = Tensor::<D, Int>::from_dispatch(Dispatch::look_int(x.clone().into_dispatch(), found.clone()));
    x.device().sync().unwrap();
    found.lock().unwrap().pop().unwrap()
}

#[test]
fn nothing_is_copied() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plain = device();
    let device = plain.clone().autodiff();
    let mut random = Numbers::new(61);
    let (x, w) = (random.tensor([40, 24], &device), random.tensor([24, 10], &device));
    let logits = Tensor::<2>::from_inner(x.matmul(w).inner()).require_grad();
    let targets = Tensor::<1, Int>::from_data(TensorData::from(&random.classes(40, 10)[..]), &plain);
    let weight = random.tensor([10], &plain).abs();
    let activity = || with_engine(&plain, |engine| engine.activity().unwrap()).unwrap();
    let before = activity();

    let trace = Trace::default();
    let stats = Stats {
        lse: true,
        argmax: true,
        accuracy: true,
        ..Default::default()
    };
    let options = CrossEntropy {
        weight: Some((&weight).into()),
        ..Default::default()
    };
    let call = LossCall::of(&options)
        .input(&logits)
        .target(&targets)
        .stats(stats)
        .trace(&trace);
    let outputs = call.run().unwrap();
    let loss = outputs.loss::<1>().unwrap();
    let grad = logits.grad(&(loss.clone() * 2.0).backward()).unwrap();

    let (input, target, weight) = (place(&logits.clone().inner()), place_int(&targets), place(&weight));
    let wanted = [
        // Forward.
        (Role::Input, Some(input.clone())),
        (Role::Target, Some(target.clone())),
        (Role::Weight, Some(weight.clone())),
        (Role::Loss, Some(place(&loss.inner()))),
        (Role::Lse, Some(place(&outputs.lse::<1>().unwrap().inner()))),
        (Role::Argmax, Some(place_int(&outputs.argmax::<1>().unwrap().inner()))),
        (Role::Correct, Some(place_int(&outputs.correct().unwrap().inner()))),
        // Backward; the upstream gradient nobody has.
        (Role::Input, Some(input)),
        (Role::Target, Some(target)),
        (Role::Weight, Some(weight)),
        (Role::GradOutput, None),
        (Role::Grad(0), Some(place(&grad))),
    ];
    let found = trace.lock().unwrap().clone();
    let roles: Vec<_> = found.iter().map(|(role, ..)| *role).collect();
    assert_eq!(roles, wanted.clone().map(|(role, _)| role));
    for ((role, buffer, offset), (_, wanted)) in found.iter().zip(&wanted) {
        if let Some(wanted) = wanted {
            assert_eq!((buffer, offset), (&wanted.0, &wanted.1), "{role:?}");
        }
    }
    let (_, first, _) = &found[0];
    assert!(
        found.iter().filter(|(_, buffer, _)| buffer == first).count() > 4,
        "default memory is shared pages"
    );
    let after = activity();
    assert_eq!(
        after.copied - before.copied,
        0,
        "bytes copied so that a dispatch could bind them"
    );
    assert_eq!(after.submissions, before.submissions, "nothing is read back");
}

#[test]
fn gaps_between_rows_are_read_where_they_lie() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plain = device();
    let mut random = Numbers::new(67);
    let whole = random.tensor([12, 20], &plain);
    let rows = whole.clone().slice([2..10, 4..14]);
    let (buffer, offset) = place(&rows);
    let targets = Tensor::<1, Int>::from_data(TensorData::from(&random.classes(8, 10)[..]), &plain);
    let trace = Trace::default();
    let call = LossCall::of(&CrossEntropy::default())
        .input(&rows)
        .target(&targets)
        .trace(&trace);
    let _ = call.run().unwrap().loss::<1>().unwrap().into_data();
    let found = trace.lock().unwrap().clone();
    assert_eq!((&found[0].1, found[0].2), (&buffer, offset));
}

#[test]
fn a_loop_settles_down() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device().autodiff();
    let mut random = Numbers::new(71);
    let x = random.tensor([64, 16], &device);
    let targets = Tensor::<1, Int>::from_data(TensorData::from(&random.classes(64, 10)[..]), &device);
    let mut w = random.tensor([16, 10], &device).inner();
    let activity = || with_engine(&device, |engine| engine.activity().unwrap()).unwrap();
    let mut seen = Vec::new();
    for _ in 0..30 {
        let tracked = Tensor::<2>::from_inner(w.clone()).require_grad();
        let loss = wgloss_burn::cross_entropy::<1>(x.clone().matmul(tracked.clone()), &targets, &Default::default());
        w = w - tracked.grad(&loss.unwrap().backward()).unwrap() * 0.1;
        w.device().sync().unwrap();
        seen.push(activity());
    }
    let (early, late) = (seen[9], seen[29]);
    println!("{early:?}\n{late:?}");
    assert_eq!(
        (early.pipelines, early.plans, early.copied),
        (late.pipelines, late.plans, late.copied)
    );
}

/// Wherever burn's pool puts the tensors of a call, it is planned once.
#[test]
fn tensors_that_move_are_not_planned_again() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device();
    let mut random = Numbers::new(73);
    let labels = random.classes(64, 10);
    let plans = || with_engine(&device, |engine| engine.activity().unwrap().plans).unwrap();
    let (mut held, mut places, mut first) = (Vec::new(), std::collections::HashSet::new(), 0);
    for step in 0..40 {
        // What lives on between the steps has the pool go on to other places.
        held.push(random.tensor([1 + 7 * (step % 5)], &device));
        let x = random.tensor([64, 10], &device);
        let targets = Tensor::<1, Int>::from_data(TensorData::from(&labels[..]), &device);
        places.insert(place(&x).1);
        let loss = wgloss_burn::cross_entropy::<1>(x, &targets, &CrossEntropy::default());
        held.push(loss.unwrap());
        if step == 0 {
            first = plans();
        }
    }
    assert!(places.len() > 3, "{places:?}");
    assert_eq!(plans(), first);
}

#[test]
fn tensors_that_the_device_cannot_hold() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device();
    let x = Tensor::<2>::empty([1 << 16, 1 << 16], &device);
    let call = LossCall::of(&CrossEntropy::default())
        .input(&x)
        .target(Tensor::<1, Int>::zeros([1 << 16], &device));
    let error = call.checked().run().unwrap_err();
    assert!(error.to_string().starts_with("device: input: "), "{error}");
    // The device computes what it can.
    let x = Tensor::<1>::ones([3], &device);
    let loss: Tensor<1> = wgloss_burn::mse(&x, x.clone() * 3, &Default::default()).unwrap();
    assert_eq!(loss.into_scalar::<f32>(), 4.0);
}
