//! 4096 × 32000 logits: 500 MiB, four bindings' worth on an adapter that binds 128 MiB; in the quick form an eighth of
//! both. The bits are those of the same rows in batches that fit into one binding.

use wgloss::{Array, CrossEntropy, Loss, Reduction, Tensor};

use crate::common::{engine, gpu, is_long};

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
fn rows_of_several_bindings_have_the_bits_of_their_parts() {
    let small = (!is_long()).then(|| engine::cut(16 << 20));
    let engine = small.as_ref().unwrap_or(gpu());
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
    let rows = if is_long() { 4096 } else { 500 };
    let part = rows / 4;
    assert!((rows * COLS * 4) as u64 > 3 * engine.plan_limits().unwrap().max_binding_bytes.min(128 << 20));
    let (losses, Array { data: grads, .. }) = run(0, rows);
    for first in (0..rows).step_by(part) {
        let (part_losses, part_grads) = run(first, part);
        assert_eq!(bits(&losses[first..first + part]), bits(&part_losses));
        let whole = &grads[first * COLS..(first + part) * COLS];
        assert!(
            whole
                .iter()
                .zip(&part_grads.data)
                .all(|(a, b)| a.to_bits() == b.to_bits()),
            "rows from {first}"
        );
    }
    // And they are right: a row's loss in f64.
    let row = logits(rows - 1, 1);
    let x: Vec<f64> = row.as_slice::<f32>().unwrap().iter().map(|&x| f64::from(x)).collect();
    let lse = x.iter().map(|x| x.exp()).sum::<f64>().ln();
    let want = 0.9 * (lse - x[(rows - 1) * 7919 % COLS]) + 0.1 * (lse - x.iter().sum::<f64>() / COLS as f64);
    assert!(
        (f64::from(losses[rows - 1]) - want).abs() < 1e-5 * want,
        "{} instead of {want}",
        losses[rows - 1]
    );
}
