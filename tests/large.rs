//! 4096 × 32000 logits: 500 MiB, four bindings' worth on an adapter that binds 128 MiB. The bits are those of the same
//! rows in batches that fit into one binding.

use wgloss::{Array, CrossEntropy, Loss, Reduction, Tensor};

use crate::common::gpu;

const COLS: usize = 32_000;

/// Logits between -8 and 8 from a multiplicative hash of the index: 131 million normal numbers would take longer than
/// the loss.
fn logits(first_row: usize, rows: usize) -> Tensor {
    let at = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 20) as f32 - 8.0;
    let data: Vec<f32> = (first_row * COLS..(first_row + rows) * COLS).map(at).collect();
    Tensor::new(&data, &[rows, COLS]).unwrap()
}

fn labels(first_row: usize, rows: usize) -> Tensor {
    let data: Vec<i64> = (first_row..first_row + rows)
        .map(|row| (row * 7919 % COLS) as i64)
        .collect();
    Tensor::new(&data, &[rows]).unwrap()
}

#[test]
fn five_hundred_mebibytes_have_the_bits_of_their_parts() {
    let engine = gpu();
    let loss = CrossEntropy {
        label_smoothing: 0.1,
        reduction: Reduction::None,
        ..Default::default()
    };
    let run = |first, rows| {
        let input = engine.upload(&logits(first, rows)).unwrap();
        let values = loss
            .forward_backward(engine, &[&input, &labels(first, rows)], None)
            .unwrap()
            .read(engine)
            .unwrap();
        (values.loss.unwrap().data, values.grad_input.unwrap())
    };
    let bits = |data: &[f32]| data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let (losses, Array { data: grads, .. }) = run(0, 4096);
    for first in (0..4096).step_by(1024) {
        let (part_losses, part_grads) = run(first, 1024);
        assert_eq!(bits(&losses[first..first + 1024]), bits(&part_losses));
        let whole = &grads[first * COLS..(first + 1024) * COLS];
        assert!(
            whole
                .iter()
                .zip(&part_grads.data)
                .all(|(a, b)| a.to_bits() == b.to_bits()),
            "rows from {first}"
        );
    }
    // And they are right: a row's loss in f64.
    let row = logits(4095, 1);
    let x: Vec<f64> = row.as_slice::<f32>().unwrap().iter().map(|&x| f64::from(x)).collect();
    let lse = x.iter().map(|x| x.exp()).sum::<f64>().ln();
    let want = 0.9 * (lse - x[4095 * 7919 % COLS]) + 0.1 * (lse - x.iter().sum::<f64>() / COLS as f64);
    assert!(
        (f64::from(losses[4095]) - want).abs() < 1e-5 * want,
        "{} instead of {want}",
        losses[4095]
    );
}
