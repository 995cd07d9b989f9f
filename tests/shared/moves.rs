//! Tensors that an allocator puts elsewhere at every step: the call is not planned anew.

use wgloss::{Call, Dtype, Engine, GradTo, Loss, Mode, Mse, REGISTRY, Tensor};

use super::pool::{Layout, Pool};
use crate::common::bits;
use crate::common::cases::{Case, Setup, by_rows, make};
use crate::common::engine::fresh;
use crate::common::own::{activity, tensor, values};

/// A case's tensors, the gradient's room and the upstream gradient in one buffer, each behind so many words more.
fn moved(engine: &Engine, case: &Case, words: usize) -> Pool {
    let mut layout = Layout::new(256);
    for own in case.tensors.iter().chain([&case.tensors[0], &case.upstream]) {
        if words > 0 {
            layout.room(Dtype::U32, &[words]);
        }
        layout.put(own);
    }
    layout.build(engine)
}

#[test]
fn calls_on_tensors_that_moved_are_not_planned_again() {
    let engine = fresh();
    let plans = || activity(&engine).plans;
    for info in REGISTRY {
        let setup = Setup {
            setting: by_rows(info),
            ..Setup::new(&[6, 5])
        };
        let Some(case) = make(info, &setup) else { continue };
        let mode = case.most();
        // Where all are, and again where they were: what was bound then must not be taken for what is bound now.
        let run = |words: usize| {
            let pool = moved(&engine, &case, words);
            let step = if words > 0 { 2 } else { 1 };
            let own: Vec<&Tensor> = pool.tensors.iter().skip(step - 1).step_by(step).collect();
            let (tensors, rest) = own.split_at(case.tensors.len());
            let mut call = Call {
                grads: case.call(mode).grads,
                ..Call::new(mode, tensors)
            };
            if mode.wants_grad() {
                call.grad_output = Some(rest[1]);
                call.grad_input = GradTo::Into(rest[0]);
            }
            let output = case.loss.run(&engine, &call).unwrap();
            bits(&values(&output, &engine))
        };
        let first = run(0);
        assert!(!first.is_empty(), "{}", case.what);
        let before = plans();
        assert!(run(1) == first && run(100) == first && run(0) == first, "{}", case.what);
        assert_eq!(plans(), before, "{}", case.what);
    }
}

/// Where no binding may begin is part of the plan.
#[test]
fn a_move_within_two_places_is_planned() {
    let engine = fresh();
    let (x, t) = (tensor(1, &[8, 8]), tensor(2, &[8, 8]));
    let run = |words: usize| {
        let mut layout = Layout::new(4);
        let nth = layout.put(&t);
        if words > 0 {
            layout.room(Dtype::U32, &[words]);
        }
        let at = layout.put(&x);
        let pool = layout.build(&engine);
        let call = Call::new(Mode::Forward, &[&pool.tensors[at], &pool.tensors[nth]]);
        let output = Mse::default().run(&engine, &call).unwrap();
        (bits(&values(&output, &engine)), activity(&engine).plans)
    };
    let (first, plans) = run(0);
    let (second, more) = run(1);
    let (third, same) = run(1 + 64);
    assert!(first == second && second == third);
    assert_eq!((more, same), (plans + 1, plans + 1));
}
