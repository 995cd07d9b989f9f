//! Memory that was stated, and progress.

use std::ops::ControlFlow;

use wgloss::{Call, CrossEntropy, Engine, Loss, Mode, Mse, Stream, Tensor};

use crate::common::data::{Data, row_shape};
use crate::common::elsewhere::elsewhere;
use crate::common::gpu;

#[test]
fn parts_stay_within_the_memory() {
    let mut data = Data::new(5);
    let shape = [3000usize, 1001];
    let x = Tensor::new(&data.logits(3_003_000), &shape).unwrap();
    let labels = Tensor::new(&data.labels(3000, 1001, Some(-100)), &row_shape(&shape)).unwrap();
    let loss = CrossEntropy::default();
    let whole = loss.forward(gpu(), &[&x, &labels]).unwrap().read(gpu()).unwrap();
    for memory in [2 << 20, 4 << 20, 32 << 20] {
        let (far, near) = (elsewhere(&x), elsewhere(&labels));
        let mut seen = 0;
        let mut last = 0;
        let mut watch = |progress: wgloss::Progress| {
            seen += 1;
            assert!(progress.bytes >= last && progress.bytes <= progress.of_bytes);
            last = progress.bytes;
            ControlFlow::Continue(())
        };
        let mut stream = Stream::within(memory);
        stream.progress = Some(&mut watch);
        let call = Call::new(Mode::Forward, &[&far, &near]);
        let (values, report) = stream.run(gpu(), &loss, &call).unwrap();
        assert_eq!(values, whole);
        assert_eq!(report.read_bytes, 3_003_000 * 4 + 2 * 3000 * 8, "labels are read twice");
        assert!(report.memory <= memory, "{report:?}");
        assert_eq!(report.parts, seen);
    }
}

/// The reference reads what has no slices once for each part, and says so ahead.
#[test]
fn progress_comes_to_what_was_said() {
    let mut data = Data::new(6);
    let (rows, cols) = (300usize, 50usize);
    let x = elsewhere(&Tensor::new(&data.logits(rows * cols), &[rows, cols]).unwrap());
    let labels = elsewhere(&Tensor::new(&data.labels(rows, cols, Some(-100)), &[rows]).unwrap());
    let weight = elsewhere(&Tensor::new(&data.uniform(cols, 0.5, 2.0), &[cols]).unwrap());
    let target = elsewhere(&Tensor::new(&data.uniform(cols, 0.5, 2.0), &[cols]).unwrap());
    let weighted = CrossEntropy {
        weight: Some(weight),
        ..Default::default()
    };
    let (plain, mse) = (CrossEntropy::default(), Mse::default());
    let calls: [(&dyn Loss, [&Tensor; 2]); 3] = [
        (&weighted, [&x, &labels]),
        (&plain, [&x, &labels]),
        (&mse, [&x, &target]),
    ];
    for (engine, memories) in [(gpu(), [1 << 21, 1 << 30]), (&Engine::cpu(), [40_000, 1 << 30])] {
        for (loss, tensors) in calls {
            for memory in memories {
                let mut last = (0, 0);
                let mut watch = |progress: wgloss::Progress| {
                    last = (progress.bytes, progress.of_bytes);
                    ControlFlow::Continue(())
                };
                let mut stream = Stream::within(memory);
                stream.progress = Some(&mut watch);
                let (_, report) = stream.run(engine, loss, &Call::new(Mode::Forward, &tensors)).unwrap();
                assert!(memory != 40_000 || report.parts > 1, "{report:?}");
                assert_eq!(
                    last,
                    (report.read_bytes, report.read_bytes),
                    "{} {report:?}",
                    loss.info().name
                );
            }
        }
    }
}
