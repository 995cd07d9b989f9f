//! Rows of many columns: sums that stay short.

use wgloss::{Loss, MultiMargin, Reduction, Role, Tensor, reference};

use crate::common::{Tolerance, gpu};
use wgloss::{Call, Mode};

/// Costs that are all equal, whose rounding errors all go one way in a running sum: a lane folds its columns in runs.
#[test]
fn sums_of_a_row_are_short() {
    let strict = Tolerance { bound: 1e-6 };
    for cols in [100_003, 100_000] {
        let mut scores = vec![0.1f32; cols];
        scores[77] = 0.0;
        let x = Tensor::new(&scores, &[1, cols]).unwrap();
        let label = Tensor::new(&[77i64], &[1]).unwrap();
        for p in [1, 2] {
            let loss = MultiMargin {
                p,
                reduction: Reduction::None,
                ..Default::default()
            };
            let call = Call::new(Mode::Fused, &[&x, &label]);
            let got = loss.run(gpu(), &call).unwrap().read(gpu()).unwrap();
            let want = reference::run(&loss, &call).unwrap();
            let what = format!("{cols} classes, p = {p}");
            strict.compare(&what, &got.loss, &want.loss).unwrap();
            let grad = want.grad(Role::Grad(0)).unwrap();
            strict.compare(&what, &got.grad_input, grad).unwrap();
        }
    }
}
