//! What is not finite leaves a row, a pair or a score nothing.

use wgloss::{Array, Call, CosineEmbedding, MarginRanking, Mode, Reduction, Role, Tensor, TripletMargin, reference};

use super::{INF, engines, misses, run, tensor};

#[test]
fn what_is_not_finite_in_a_row_leaves_a_triplet_no_gradients() {
    let good = [0.5f32, -1.0, 2.0, 0.25, 3.0, -0.5];
    for p in [0.5, 1.0, 1.5, 2.0, 3.0, f64::INFINITY] {
        for swap in [false, true] {
            let loss = TripletMargin {
                p,
                swap,
                margin: 20.0,
                reduction: Reduction::None,
                ..Default::default()
            };
            // Each of the three with each number, and two of them with an infinity at the same place.
            let mut bad: Vec<Vec<(usize, f32)>> = Vec::new();
            for value in [INF, -INF, f32::NAN] {
                bad.extend((0..3).map(|place| vec![(place, value)]));
            }
            bad.extend([(0, 1), (0, 2), (1, 2)].map(|(a, b)| vec![(a, INF), (b, INF)]));
            bad.extend([(0, 1), (0, 2), (1, 2)].map(|(a, b)| vec![(a, INF), (b, -INF)]));
            for bad in bad {
                // Rows of six columns, of which the second has what is bad.
                let rows: Vec<Tensor> = (0..3usize)
                    .map(|operand| {
                        let mut data: Vec<f32> = good.repeat(3);
                        data.iter_mut()
                            .enumerate()
                            .for_each(|(i, x)| *x += (i * (operand + 1)) as f32 * 0.1);
                        bad.iter()
                            .filter(|(place, _)| *place == operand)
                            .for_each(|(_, value)| data[8] = *value);
                        tensor(&data, &[3, 6])
                    })
                    .collect();
                let call = Call {
                    grads: vec![Role::Positive, Role::Negative],
                    ..Call::new(Mode::Fused, &rows.iter().collect::<Vec<_>>())
                };
                let what = format!("p {p}, swap {swap}, {bad:?}");
                let want = reference::run(&loss, &call).unwrap();
                for engine in engines() {
                    let got = run(engine, &loss, &call);
                    let losses = got.loss.as_ref().unwrap();
                    assert_eq!(misses(&what, losses, &want.loss, false), None, "{}", engine.name());
                    let grads = [
                        got.grad_input.as_ref(),
                        got.grad(Role::Positive),
                        got.grad(Role::Negative),
                    ];
                    for grad in grads.into_iter().flatten() {
                        let nan = grad.data.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
                        assert_eq!(
                            nan,
                            [[false; 6], [true; 6], [false; 6]].concat(),
                            "{what}: {}",
                            engine.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_in_a_pair_leaves_its_cosine_nothing() {
    let good = [0.5f32, -1.0, 2.0, 0.25, 3.0];
    for (value, t) in [INF, -INF, f32::NAN]
        .into_iter()
        .flat_map(|value| [1.0, -1.0, 0.0].map(|t| (value, t)))
    {
        for place in 0..2 {
            let rows = [0, 1].map(|operand| {
                let mut data = good.repeat(2);
                data[2] = if operand == place { value } else { 0.0 };
                tensor(&data, &[2, 5])
            });
            let target = tensor(&[t, t], &[2]);
            let loss = CosineEmbedding {
                reduction: Reduction::None,
                ..Default::default()
            };
            let call = Call {
                grads: vec![Role::Input2],
                ..Call::new(Mode::Fused, &[&rows[0], &rows[1], &target])
            };
            for engine in engines() {
                let got = run(engine, &loss, &call);
                let what = format!("{value} in {place}, target {t}, {}", engine.name());
                let is_bad = t != 0.0;
                let nan = |array: &Array| array.data.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
                assert_eq!(nan(got.loss.as_ref().unwrap()), [is_bad, false], "{what}");
                for grad in [got.grad_input.as_ref(), got.grad(Role::Input2)].into_iter().flatten() {
                    assert_eq!(nan(grad), [[is_bad; 5], [false; 5]].concat(), "{what}");
                }
            }
        }
    }
}

/// Of finite scores a difference that counts nothing is 0, however large; of infinite ones it is NaN, as 0 times
/// infinity is.
#[test]
fn rankings_of_large_and_infinite_scores() {
    let numbers = [f32::MAX, -f32::MAX, 1.0, INF, -INF, f32::NAN];
    let pairs: Vec<(f32, f32, f32)> = numbers
        .iter()
        .flat_map(|&x| numbers.iter().flat_map(move |&u| [1.0, -1.0].map(|t| (x, u, t))))
        .collect();
    let column = |of: fn(&(f32, f32, f32)) -> f32| tensor(&pairs.iter().map(of).collect::<Vec<_>>(), &[pairs.len()]);
    let (x, u, t) = (column(|own| own.0), column(|own| own.1), column(|own| own.2));
    let loss = MarginRanking {
        reduction: Reduction::None,
        ..Default::default()
    };
    let call = Call {
        grads: vec![Role::Input2, Role::Target],
        ..Call::new(Mode::Fused, &[&x, &u, &t])
    };
    let want = reference::run(&loss, &call).unwrap();
    for engine in engines() {
        let got = run(engine, &loss, &call);
        let arrays = [got.grad_input.as_ref(), got.grad(Role::Input2), got.grad(Role::Target)];
        let wanted = [
            want.grad_input.as_deref(),
            want.grad(Role::Input2),
            want.grad(Role::Target),
        ];
        for (place, (grad, want)) in arrays.into_iter().zip(wanted).enumerate() {
            let want = want.unwrap();
            assert_eq!(
                misses(&format!("gradient {place}"), grad.unwrap(), want, false),
                None,
                "{}",
                engine.name()
            );
        }
        assert_eq!(
            misses("loss", got.loss.as_ref().unwrap(), &want.loss, false),
            None,
            "{}",
            engine.name()
        );
    }
}
