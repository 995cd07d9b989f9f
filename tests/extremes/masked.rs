//! Logits that masks are filled with.

use wgloss::{
    BceWithLogits, Call, CrossEntropy, Dtype, Mode, Reduction, Role, SigmoidFocal, Tensor, Values, precision,
};

use super::{INF, engines, run, tensor};

/// A logit, its target, the loss, the gradient of the logit and that of the target; of numbers this large in units of
/// f32::MAX.
type Focal = (f32, f32, f64, f64, f64);

#[test]
fn the_focal_loss_of_masked_logits() {
    let most = f32::MAX;
    let rows: &[(f64, f64, &[Focal])] = &[
        (
            2.0,
            0.25,
            &[
                (-most, 1.0, 0.25, -0.25, 0.25),
                (most, 0.0, 0.75, 0.75, f64::NEG_INFINITY),
                (-most, 0.0, 0.0, 0.0, 0.0),
                (most, 1.0, 0.0, 0.0, 0.0),
                (most, 0.5, 0.0625, 0.0625, -0.4375),
                (-most / 1.5, 0.5, 0.0625 / 1.5, -0.0625, 0.3125 / 1.5),
            ],
        ),
        (
            0.0,
            -1.0,
            &[(most, 0.0, 1.0, 1.0, -1.0), (-most, 0.25, 0.25, -0.25, 1.0)],
        ),
        (0.5, 0.25, &[(-most, 1.0, 0.25, -0.25, -0.125)]),
        (3.7, 1.0, &[(most, 0.0, 0.0, 0.0, 1.0)]),
    ];
    for engine in engines() {
        for (gamma, alpha, rows) in rows {
            let loss = SigmoidFocal {
                gamma: *gamma,
                alpha: *alpha,
                reduction: Reduction::None,
            };
            let column = |of: fn(&Focal) -> f32| tensor(&rows.iter().map(of).collect::<Vec<_>>(), &[rows.len()]);
            let (x, t) = (column(|row| row.0), column(|row| row.1));
            let call = Call {
                grads: vec![Role::Target],
                ..Call::new(Mode::Fused, &[&x, &t])
            };
            let got = run(engine, &loss, &call);
            let (losses, grads) = (got.loss.as_ref().unwrap(), got.grad_input.as_ref().unwrap());
            for (i, row) in rows.iter().enumerate() {
                let seen = [losses.data[i], grads.data[i], got.grad(Role::Target).unwrap().data[i]];
                let want = [row.2 * f64::from(most), row.3, row.4 * f64::from(most)];
                for (got, want) in seen.into_iter().zip(want) {
                    let fits = precision::admits(Dtype::F32, got, want, 1e-6 * want.abs());
                    assert!(fits, "gamma {gamma}, {row:?}: {seen:?}, {}", engine.name());
                }
            }
        }
    }
}

#[test]
fn a_weight_of_0_takes_what_is_beyond_f32_away() {
    let most = f32::MAX;
    let (x, t) = (tensor(&[-most, most, 1.0], &[3]), tensor(&[1.0, 0.25, 1.0], &[3]));
    let zeros = tensor(&[0.0; 3], &[3]);
    for engine in engines() {
        let loss = BceWithLogits {
            weight: Some(zeros.clone()),
            pos_weight: Some(tensor(&[8.0], &[1])),
            ..Default::default()
        };
        let call = Call {
            grads: vec![Role::Target],
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        let got = run(engine, &loss, &call);
        let all = |values: &Values| {
            let arrays = [
                values.loss.as_ref(),
                values.grad_input.as_ref(),
                values.grad(Role::Target),
            ];
            arrays
                .into_iter()
                .flatten()
                .flat_map(|own| own.data.clone())
                .collect::<Vec<f32>>()
        };
        assert_eq!(all(&got), vec![0.0; 7], "{}", engine.name());
        // An upstream gradient, too.
        let loss = SigmoidFocal::default();
        let call = Call {
            grad_output: Some(&zeros),
            ..call
        };
        let call = Call {
            mode: Mode::Backward,
            ..call
        };
        assert_eq!(all(&run(engine, &loss, &call)), vec![0.0; 6], "{}", engine.name());
        // Rows, whose z-loss is beyond f32.
        let logits = tensor(&[1e38, 0.0, 1.0, 2.0], &[2, 2]);
        let classes = Tensor::new(&[0i64, 1], &[2]).unwrap();
        let loss = CrossEntropy {
            z_loss: 1.0,
            sample_weight: Some(tensor(&[0.0, 1.0], &[2])),
            ..Default::default()
        };
        let got = run(engine, &loss, &Call::new(Mode::Fused, &[&logits, &classes]));
        let alone = CrossEntropy {
            z_loss: 1.0,
            ..Default::default()
        };
        let (row, class) = (tensor(&[1.0, 2.0], &[1, 2]), Tensor::new(&[1i64], &[1]).unwrap());
        let want = run(engine, &alone, &Call::new(Mode::Fused, &[&row, &class]));
        assert_eq!(got.loss, want.loss, "{}", engine.name());
        assert_eq!(got.z_loss, want.z_loss, "{}", engine.name());
        assert_eq!(got.grad_input.unwrap().data[..2], [0.0; 2], "{}", engine.name());
    }
}

/// The gradient of a z-loss is beyond f32 at the peak, and 0 where the probability is.
#[test]
fn a_z_loss_of_large_logits_has_no_nan() {
    let logits = tensor(&[f32::MAX, 0.0, -f32::MAX, 1.0], &[1, 4]);
    let label = Tensor::new(&[0i64], &[1]).unwrap();
    let loss = CrossEntropy {
        z_loss: 10.0,
        ..Default::default()
    };
    for engine in engines() {
        let got = run(engine, &loss, &Call::new(Mode::Fused, &[&logits, &label]));
        assert_eq!(got.loss.unwrap().data, [INF], "{}", engine.name());
        assert_eq!(got.grad_input.unwrap().data[1..], [0.0; 3], "{}", engine.name());
    }
}
