//! Optimizers whose parameter, gradient and state lie in one buffer.

use wgloss::optim::{OPTIMIZERS, State};
use wgloss::{Dtype, Engine, Optimizer, Role, Tensor};

use super::pool::Layout;
use crate::common::engine::fresh;
use crate::common::own::{activity, tensor};

/// Two steps: their parameter and state as bits.
fn steps(
    engine: &Engine,
    optimizer: &dyn Optimizer,
    param: &Tensor,
    grad: &Tensor,
    state: &mut State,
) -> Vec<Vec<u32>> {
    let mut param = param.clone();
    for _ in 0..2 {
        param = optimizer.step(engine, &param, grad, state).unwrap();
    }
    let numbers = |tensor: &Tensor| {
        tensor
            .numbers(engine)
            .unwrap()
            .data
            .iter()
            .map(|x| x.to_bits())
            .collect()
    };
    let tensors = state.tensors();
    let all = std::iter::once(&param).chain(tensors.iter().map(|(_, own)| own));
    all.map(numbers).collect()
}

#[test]
fn a_step_lies_in_one_buffer() {
    // Bytes copied are counted: of no other test's steps.
    let engine = &fresh();
    let (mut copied, mut free) = (0, 0);
    for info in OPTIMIZERS {
        let mut optimizer = (info.new)();
        for (name, value) in [("momentum", 0.9), ("weight_decay", 0.1)] {
            let _ = optimizer.set(name, wgloss::optim::Setting::Float(value));
        }
        let _ = optimizer.set("amsgrad", wgloss::optim::Setting::Bool(true));
        for (dtype, of_grad) in [
            (Dtype::F32, Dtype::F32),
            (Dtype::F16, Dtype::F16),
            (Dtype::Bf16, Dtype::F32),
        ] {
            for len in [1, 7, 64, 1001] {
                for align in [2, 4, 32, 256] {
                    let as_dtype = |seed, dtype| tensor(seed, &[len]).to_dtype(dtype).unwrap();
                    let (param, grad) = (as_dtype(1, dtype), as_dtype(2, of_grad));
                    // The state of a first step, wherever it lies; SGD's begins with it.
                    let zeros = |role: &Role| (*role, Tensor::new(&vec![0.0f32; len], &[len]).unwrap());
                    let states: Vec<(Role, Tensor)> = info.states.iter().map(zeros).collect();
                    let begin = |tensors: &mut dyn Iterator<Item = (Role, Tensor)>| {
                        let mut state = State::after(1);
                        tensors.for_each(|(role, own)| state.attach(role, own));
                        state
                    };
                    let apart = |own: &Tensor| engine.upload(own).unwrap();
                    let mut state = begin(&mut states.iter().map(|(role, own)| (*role, apart(own))));
                    let want = steps(engine, optimizer.as_ref(), &apart(&param), &apart(&grad), &mut state);

                    let mut layout = Layout::new(align);
                    let gradient = layout.put(&grad);
                    let own = layout.put(&param);
                    if !(param.dtype().bytes() * len as u64).is_multiple_of(4) {
                        layout.put(&Tensor::new(&[0u8; 4], &[4]).unwrap());
                    }
                    let rooms: Vec<usize> = states.iter().map(|(_, own)| layout.put(own)).collect();
                    let pool = layout.build(engine);
                    let at = |nth: usize| pool.tensors[nth].clone();
                    let mut state = begin(&mut states.iter().zip(&rooms).map(|((role, _), &nth)| (*role, at(nth))));
                    let before = activity(engine).copied;
                    let got = steps(engine, optimizer.as_ref(), &at(own), &at(gradient), &mut state);
                    let own_copies = activity(engine).copied - before;
                    let what = format!("{} {dtype} {len} at multiples of {align}", info.name);
                    assert!(got == want, "{what}");
                    let written: Vec<usize> = rooms.iter().copied().chain([own]).collect();
                    pool.expect_untouched(engine, &written, &what);
                    assert!(align < 256 || own_copies == 0, "{what}: {own_copies} bytes copied");
                    copied += own_copies;
                    free += u64::from(own_copies == 0);
                }
            }
        }
    }
    assert!(copied > 0 && free > 0);
}
