//! Rows of the softmax family, and reductions.

use wgloss::{
    Call, CrossEntropy, LogSoftmax, Loss, Mode, Reduce, ReduceOp, Role, Softmax, SoftmaxFocal, Tensor, reference,
};

use super::{INF, MAX, NAN, NONE, Trial, against, column, labels, tensor};
use crate::common::against::compare;

/// Rows of logits: lanes that see -inf first, nothing but -inf, a NaN, +inf twice, differences beyond f32, plain ones,
/// -inf in column 1, and +inf once.
fn logits(cols: usize) -> Tensor {
    let plain = |row: usize| (0..cols).map(move |c| ((c * 7 + row * 3) % 11) as f32 * 0.5 - 2.0);
    let mut rows: Vec<Vec<f32>> = (0..8).map(|row| plain(row).collect()).collect();
    rows[0][..cols * 2 / 3].fill(-INF);
    rows[1].fill(-INF);
    rows[2][cols / 2] = NAN;
    rows[3][cols / 2] = INF;
    rows[3][0] = INF;
    rows[4].fill(-3e38);
    rows[4][cols - 1] = 3e38;
    rows[6][1] = -INF;
    rows[7][cols / 3] = INF;
    tensor(&rows.concat(), &[8, cols])
}

fn classes(cols: usize) -> Tensor {
    labels(&[cols as i64 - 1, 0, 0, 1, cols as i64 - 1, 2, 1, 0])
}

fn class_weights(cols: usize) -> Tensor {
    let mut weights: Vec<f32> = (0..cols).map(|c| 0.5 + (c % 3) as f32).collect();
    weights[1] = 0.0;
    column(&weights)
}

pub fn rows_of_softmax() -> Vec<Trial> {
    let mut list = Vec::new();
    for cols in [70, 6] {
        let (x, t) = (logits(cols), classes(cols));
        let plain = CrossEntropy {
            reduction: NONE,
            ..Default::default()
        };
        let smooth = CrossEntropy {
            weight: Some(class_weights(cols)),
            label_smoothing: 0.1,
            ..plain.clone()
        };
        list.push(
            against("cross_entropy", plain.clone(), vec![x.clone(), t.clone()])
                .stats()
                .trial(),
        );
        // Of rows that are ignored, those without probabilities have none.
        let by = column(&[0.5, 0.0, 0.0, 0.0, -1.5, 2.0, 1.0, 0.0]);
        let ignored = against("statistics", plain.clone(), vec![x.clone(), labels(&[-100; 8])]);
        list.push(ignored.of_stats(by).trial());
        let weighted = CrossEntropy {
            weight: Some(class_weights(cols)),
            ..plain.clone()
        };
        list.push(against("cross_entropy weighted", weighted.clone(), vec![x.clone(), t.clone()]).trial());
        // The row of differences beyond f32 has a loss beyond it.
        let finite = tensor(&x.as_slice::<f32>().unwrap()[5 * cols..7 * cols], &[2, cols]);
        let first = tensor(&x.as_slice::<f32>().unwrap()[..4 * cols], &[4, cols]);
        let t_first = labels(&[cols as i64 - 1, 0, 0, 1]);
        list.push(
            against(
                "cross_entropy smooth",
                smooth.clone(),
                vec![finite.clone(), labels(&[2, 1])],
            )
            .trial(),
        );
        list.push(
            against(
                "cross_entropy smooth, masked",
                smooth.clone(),
                vec![first.clone(), t_first],
            )
            .trial(),
        );
        let mut broken: Vec<f32> = vec![1.0; cols];
        broken[2] = NAN;
        let nan_weight = CrossEntropy {
            weight: Some(column(&broken)),
            ..smooth.clone()
        };
        list.push(
            against(
                "cross_entropy NaN weight",
                nan_weight,
                vec![finite.clone(), labels(&[0, 1])],
            )
            .trial(),
        );
        let mut p: Vec<f32> = vec![0.0; 2 * cols];
        p[2] = 1.0;
        p[cols + 3] = 1.0;
        let p = tensor(&p, &[2, cols]);
        let of_p = against("cross_entropy probabilities", weighted, vec![finite, p]).grads(&[Role::Target]);
        list.push(of_p.trial());
        // Infinite and NaN losses of rows that weigh nothing.
        let unweighted = CrossEntropy {
            sample_weight: Some(column(&[0.0, 1.0, 0.0, 0.0])),
            ..plain
        };
        list.push(
            against(
                "cross_entropy sample weights",
                unweighted,
                vec![first, labels(&[0, 0, 0, 1])],
            )
            .trial(),
        );
        list.push(
            against(
                "softmax_focal",
                SoftmaxFocal {
                    gamma: 1.5,
                    reduction: NONE,
                    ..Default::default()
                },
                vec![x.clone(), classes(cols)],
            )
            .trial(),
        );
        let upstream: Vec<f32> = (0..8 * cols).map(|i| (i % 5) as f32 - 1.5).collect();
        let upstream = tensor(&upstream, &[8, cols]);
        list.push(
            against("softmax", Softmax::default(), vec![x.clone()])
                .upstream(upstream.clone())
                .trial(),
        );
        list.push(
            against("log_softmax", LogSoftmax::default(), vec![x.clone()])
                .upstream(upstream)
                .trial(),
        );
        for op in [ReduceOp::LogSumExp, ReduceOp::Max] {
            let of_rows = Reduce {
                op,
                dim: vec![1],
                ..Default::default()
            };
            list.push(against("reduce of rows", of_rows, vec![x.clone()]).trial());
        }
    }
    // z lse^2 of logits whose square is beyond f32.
    let large = CrossEntropy {
        z_loss: 1e-30,
        reduction: NONE,
        ..Default::default()
    };
    let x = tensor(&[1e20, 0.0, 3e19, -1e20, 2e20, 1.0], &[2, 3]);
    list.push(against("cross_entropy z-loss", large, vec![x, labels(&[0, 1])]).trial());
    list.push(Trial {
        name: "cross_entropy z-loss beyond f32",
        run: Box::new(|engine| {
            let loss = CrossEntropy {
                z_loss: 10.0,
                ..Default::default()
            };
            let (x, class) = (tensor(&[MAX, 0.0, -MAX, 1.0], &[1, 4]), labels(&[0]));
            let call = Call::new(Mode::Fused, &[&x, &class]);
            let got = loss.run(engine, &call).unwrap().read(engine).unwrap();
            let grad = got.grad_input.unwrap().data;
            if grad[1..] == [0.0; 3] {
                Vec::new()
            } else {
                vec![format!("{grad:?}")]
            }
        }),
    });
    list
}

/// Reductions of everything and along several dimensions.
pub fn reductions() -> Vec<Trial> {
    let mut list = Vec::new();
    let n = 3000;
    let of = move |special: f32| {
        let mut x: Vec<f32> = (0..n).map(|i| ((i * 31) % 97) as f32 * 0.1 - 4.0).collect();
        x[..700].fill(-INF);
        x[1234] = special;
        column(&x)
    };
    for (op, special) in [
        (ReduceOp::LogSumExp, 1.0),
        (ReduceOp::LogSumExp, NAN),
        (ReduceOp::LogSumExp, INF),
        (ReduceOp::Max, NAN),
        (ReduceOp::Argmax, NAN),
    ] {
        let loss = Reduce {
            op,
            ..Default::default()
        };
        let trial = Trial {
            name: "reduce of everything",
            run: Box::new(move |engine| {
                let x = of(special);
                let call = Call::new(Mode::Forward, &[&x]);
                let want = reference::run(&loss, &call).unwrap();
                let got = loss.run(engine, &call).unwrap().read(engine).unwrap();
                compare("reduce of everything", &loss, &call, &got, &want)
            }),
        };
        list.push(trial);
    }
    let mut x: Vec<f32> = (0..4 * 5 * 6).map(|i| (i % 7) as f32 - 3.0).collect();
    // Of the five results along the outer dimensions one is +inf, one -inf.
    for (i, x) in x.iter_mut().enumerate() {
        match i / 6 % 5 {
            1 => *x = -INF,
            3 if i < 30 => *x = INF,
            _ => {}
        }
    }
    let scattered = Reduce {
        op: ReduceOp::LogSumExp,
        dim: vec![0, 2],
        ..Default::default()
    };
    list.push(against("reduce, scattered", scattered, vec![tensor(&x, &[4, 5, 6])]).trial());
    list
}
