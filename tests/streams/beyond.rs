//! More than 2^32 elements.

use std::io;
use std::sync::Arc;

use wgloss::plan::Origin;
use wgloss::{Call, CrossEntropy, Dtype, Loss, Mode, Mse, Pages, Reduce, ReduceOp, Role, Stream, Tensor};

use crate::common::{gpu, is_long};

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

/// More than 2^32 elements in one logical problem, for real: 8 GiB that nobody holds. In the long form alone.
#[test]
fn places_beyond_32_bits_are_right() {
    if !is_long() {
        println!("SKIPPED: WGLOSS_TEST_LONG=1 reads 8 GiB of zeros");
        return;
    }
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
                if binding.source != Origin::Tensor(role) {
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
