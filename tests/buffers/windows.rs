//! Windows of every dtype, for every loss.

use wgloss::{Dtype, GradTo, Mode, REGISTRY, Tensor};

use super::{halves, memory, within_an_ulp};
use crate::common::cases::{Setup, by_rows, make};
use crate::common::{engine, is_long, takes};

/// Every loss in windows of the user's buffers, of every dtype, with rows of odd length, an odd number of elements and
/// an odd offset: gradients into a window, added to it, and over the input. The bits are those of dense tensors (but
/// for the order of sums where whole quads are read, within the tolerance), and nothing between the rows, before or
/// behind changes.
#[test]
fn windows_of_every_dtype() {
    const CANARY: u16 = 0x5a5a;
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, info) in REGISTRY.iter().enumerate() {
        // Compiling takes most of the time: each loss in two of the layouts, in 16 bits, and some in f32; in the quick
        // form in one, with its gradient in one of the places, and of the losses every other.
        if !takes(n + 1, 2) {
            continue;
        }
        let all = if n % 4 == 0 { 0..3 } else { 0..2 };
        let only = [2, 1, 0, 1, 1, 0, 2, 0][n % 8];
        for k in all.filter(|&k| is_long() || k == only) {
            let dtype = [
                [Dtype::F16, Dtype::Bf16, Dtype::F32],
                [Dtype::Bf16, Dtype::F16, Dtype::F32],
            ][n % 2][k];
            let (rows, cols, stride, skip) =
                [(5usize, 7usize, 9usize, 1usize), (3, 9, 9, 3), (3, 8, 12, 4)][(n / 2 + k) % 3];
            let shape = [rows, cols];
            let reduction = info.reductions[(n + k) % info.reductions.len()];
            let setup = Setup {
                dtype,
                other: dtype,
                reduction,
                setting: by_rows(info),
                ..Setup::new(&shape)
            };
            let Some(case) = make(info, &setup) else { continue };
            // A layer's rows are of features.
            let (gap, cols) = (stride - cols, case.tensors[0].shape()[1]);
            let (shape, stride) = ([rows, cols], cols + gap);
            let engine = &*engine::passing();
            total += 1;
            let per = dtype.bytes() as usize / 2;
            let words = |data: &[u16], fill: u16| {
                let mut all = vec![fill; (skip + rows * stride + 5).next_multiple_of(2) * per];
                for row in 0..rows {
                    let at = (skip + row * stride) * per;
                    all[at..at + cols * per].copy_from_slice(&data[row * cols * per..][..cols * per]);
                }
                all
            };
            let window = |buffer: &wgpu::Buffer| {
                let offset = skip as u64 * dtype.bytes();
                Tensor::from_buffer(engine, buffer.clone(), offset, dtype, &shape, Some(stride)).unwrap()
            };
            let whole = |buffer: &wgpu::Buffer| {
                let len = (buffer.size() / dtype.bytes()) as usize;
                halves(
                    &Tensor::from_buffer(engine, buffer.clone(), 0, dtype, &[len], None).unwrap(),
                    engine,
                )
            };
            let outside = |memory: &[u16]| -> usize {
                let inside = |i: usize| i >= skip && i < skip + rows * stride && (i - skip) % stride < cols;
                (0..memory.len())
                    .filter(|&i| !inside(i / per) && memory[i] != CANARY)
                    .count()
            };
            let data = halves(&case.tensors[0], engine);
            let dense = case
                .loss
                .run(engine, &case.call(Mode::Fused))
                .and_then(|output| output.include_placed().read(engine));
            let dense = match dense {
                Ok(dense) => dense,
                Err(error) => {
                    failures.push(format!("{}: {error}", case.what));
                    continue;
                }
            };
            let want: Vec<f64> = dense
                .grad_input
                .as_ref()
                .unwrap()
                .data
                .iter()
                .map(|&g| f64::from(g))
                .collect();
            let twice: Vec<f64> = want.iter().map(|g| 2.0 * g).collect();
            let ways = ["into", "added", "in place"].into_iter().enumerate();
            for way in ways.filter(|(w, _)| takes(n / 2 + w, 3)).map(|(_, way)| way) {
                let source = memory(engine, dtype, &words(&data, CANARY));
                let input = window(&source);
                let target = memory(engine, dtype, &words(&vec![0; data.len()], CANARY));
                let into = window(&target);
                let mut call = case.call(Mode::Fused);
                call.tensors = std::iter::once(&input).chain(&case.tensors[1..]).collect();
                call.grad_input = match way {
                    "into" => GradTo::Into(&into),
                    "added" => GradTo::AddTo(&into),
                    _ => GradTo::InPlace,
                };
                let what = format!("{} in rows of {stride}, {way}", case.what);
                let first = case
                    .loss
                    .run(engine, &call)
                    .and_then(|output| output.include_placed().read(engine));
                let (got, wanted) = match (first, way) {
                    // 16-bit sums are of rounded numbers, and the double of one is exact.
                    (Ok(_), "added") => (
                        case.loss
                            .run(engine, &call)
                            .and_then(|output| output.include_placed().read(engine)),
                        &twice,
                    ),
                    (first, _) => (first, &want),
                };
                match got {
                    Ok(got) => failures.extend(within_an_ulp(&what, dtype, &got, wanted)),
                    // A loss whose columns meet each other has nothing else to read.
                    Err(error) if way == "in place" && error.to_string().contains("cannot go over") => continue,
                    Err(error) => failures.push(format!("{what}: {error}")),
                }
                let written = whole(if way == "in place" { &source } else { &target });
                if outside(&written) > 0 {
                    failures.push(format!(
                        "{what}: {} words outside of the window changed",
                        outside(&written)
                    ));
                }
            }
        }
    }
    assert!(total > if is_long() { 50 } else { 12 }, "only {total}");
    crate::common::report(failures, total);
}
