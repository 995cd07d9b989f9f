//! The log of what many calls found: nothing is lost that nobody read, and nothing waits for it.

use std::sync::Arc;

use wgloss::{
    Bce, Call, Checks, CrossEntropy, Engine, Error, Faults, Found, Loss, Mode, MultilabelMargin, OnNan, Softmax, Tensor,
};

use crate::common::engine::{fresh, gpu};
use crate::common::own::{activity, tensor, values};

fn labels(list: &[i64]) -> Tensor {
    Tensor::new(list, &[list.len()]).unwrap()
}

/// Without what tells of the error's values.
fn told(found: &Found) -> (u64, u64, u64, String) {
    (found.calls, found.count, found.first_call, found.first.to_string())
}

/// Class targets in rows and in lists, and values that break a rule: as each call by itself tells of them, run or
/// recorded, and the processor tells the same.
#[test]
fn what_nobody_read_is_told_in_the_end() {
    let fresh = fresh();
    for engine in [&fresh, &Engine::cpu()] {
        let (device, is_device) = (engine.wgpu(), engine.wgpu().is_some());
        let x = tensor(1, &[4, 5]);
        let probabilities = Tensor::new(&[0.5f32; 20], &[4, 5]).unwrap();
        let with = |place: usize, value: f32| {
            let mut data = [0.5f32; 20];
            data[place] = value;
            Tensor::new(&data, &[4, 5]).unwrap()
        };
        let lists = |value: i64| Tensor::new(&[1, -1, 0, 0, 0, 2, value, 1, -1, 0], &[2, 5]).unwrap();
        let rows = tensor(2, &[2, 5]);
        let (ce, bce, list) = (CrossEntropy::default(), Bce::default(), MultilabelMargin::default());
        let good = labels(&[0, 4, -100, 2]);
        // Each with what it finds, and the words of its own error.
        let calls: [(&dyn Loss, [&Tensor; 2], u64, &str); 7] = [
            (&ce, [&x, &good], 0, ""),
            (&bce, [&probabilities, &probabilities], 0, ""),
            (&ce, [&x, &labels(&[0, 5, -3, 9])], 3, "the first is 5 in row 1"),
            (&bce, [&with(7, 1.5), &probabilities], 1, "the first is 1.5 at [1, 2]"),
            (&bce, [&with(19, -2.0), &probabilities], 1, "the first is -2 at [3, 4]"),
            (&list, [&rows, &lists(7)], 1, "the first is 7 in row 1"),
            (&ce, [&x, &good], 0, ""),
        ];
        for first in 0..calls.len() {
            for way in 0..3 {
                if way > 0 && !is_device {
                    continue;
                }
                let faults = Faults::new(engine).unwrap();
                assert!(faults.read(engine).unwrap().is_none());
                let mut encoder = device.map(|(device, _)| device.create_command_encoder(&Default::default()));
                for (nth, (loss, tensors, ..)) in calls[first..].iter().enumerate() {
                    let call = Call::new(Mode::Fused, tensors);
                    let number = match (&mut encoder, way) {
                        (Some(encoder), 1) => {
                            let output = loss.encode(engine, encoder, &call).unwrap();
                            faults.encode(engine, encoder, &output).unwrap()
                        }
                        (Some(encoder), 2) => {
                            let output = loss.run(engine, &call).unwrap();
                            faults.encode(engine, encoder, &output).unwrap()
                        }
                        _ => faults.add(engine, &loss.run(engine, &call).unwrap()).unwrap(),
                    };
                    assert_eq!(number, nth as u64);
                }
                if let (Some((_, queue)), Some(encoder)) = (device, encoder) {
                    if way > 0 {
                        assert!(faults.read(engine).unwrap().is_none(), "nothing was submitted");
                    }
                    queue.submit([encoder.finish()]);
                }
                let found = faults.read(engine).unwrap();
                let all = &calls[first..];
                let count: u64 = all.iter().map(|(_, _, count, _)| count).sum();
                let Some(at) = all.iter().position(|(_, _, count, _)| *count > 0) else {
                    assert!(found.is_none());
                    continue;
                };
                let found = found.unwrap();
                let (loss, tensors, _, words) = &all[at];
                let own = loss
                    .forward(engine, tensors)
                    .unwrap()
                    .read(engine)
                    .unwrap_err()
                    .to_string();
                assert!(own.contains(words), "{own}");
                let faulty = all.iter().filter(|(_, _, count, _)| *count > 0).count() as u64;
                assert_eq!(told(&found), (faulty, count, at as u64, own), "{first} {way}");
            }
        }
    }
}

/// A call with several records is one call; what was read of its results before is as it was.
#[test]
fn a_call_of_several_records_is_one() {
    for engine in [gpu(), &Engine::cpu()] {
        let faults = Arc::new(Faults::new(engine).unwrap());
        let x = Tensor::new(&[1.0f32, f32::NAN, 0.0, 0.0, 1.0, f32::NAN], &[2, 3]).unwrap();
        let all = Checks {
            strict: true,
            nan: OnNan::Error,
        };
        let call = CrossEntropy::default()
            .input(&x)
            .target(&labels(&[1, 8]))
            .checks(all)
            .faults(&faults);
        for nth in 0..3 {
            let output = call.run(engine).unwrap();
            assert!(matches!(output.read(engine), Err(Error::BadLabels { .. })));
            let found = faults.read(engine).unwrap().unwrap();
            assert_eq!(
                (found.calls, found.count, found.first_call),
                (nth + 1, 3 * (nth + 1), 0)
            );
            assert!(matches!(
                found.first,
                Error::BadLabels {
                    count: 1,
                    first_row: 1,
                    value: 8,
                    ..
                }
            ));
        }
        let mut faults = Arc::into_inner({
            drop(call);
            faults
        })
        .unwrap();
        faults.clear(engine).unwrap();
        assert!(faults.read(engine).unwrap().is_none());
    }
}

/// A loop that logs makes nothing new on the device, waits for nothing, and its results come with their own submission.
#[test]
fn logging_makes_nothing() {
    let engine = fresh();
    let (x, t) = (tensor(1, &[16, 10]), labels(&[3; 16]));
    let (x, t) = (engine.upload(&x).unwrap(), engine.upload(&t).unwrap());
    let faults = Arc::new(Faults::new(&engine).unwrap());
    let call = CrossEntropy::default().input(&x).target(&t).fused().faults(&faults);
    let (device, queue) = engine.wgpu().unwrap();
    for encodes in [false, true] {
        let run = || {
            if !encodes {
                return drop(values(&call.run(&engine).unwrap(), &engine));
            }
            let mut encoder = device.create_command_encoder(&Default::default());
            let output = call.encode(&engine, &mut encoder).unwrap();
            queue.submit([encoder.finish()]);
            drop(values(&output, &engine));
        };
        run();
        run();
        let before = activity(&engine);
        for _ in 0..50 {
            run();
        }
        let after = activity(&engine);
        assert_eq!(
            (after.buffers, after.bind_groups),
            (before.buffers, before.bind_groups),
            "{encodes}"
        );
        assert_eq!(after.submissions - before.submissions, if encodes { 0 } else { 100 });
    }
    assert!(faults.read(&engine).unwrap().is_none());
}

#[test]
fn logs_and_results_are_of_one_engine() {
    let (here, there) = (gpu(), fresh());
    let (x, t) = (tensor(1, &[4, 5]), labels(&[0; 4]));
    let output = |engine: &Engine| CrossEntropy::default().forward(engine, &[&x, &t]).unwrap();
    let faults = Faults::new(here).unwrap();
    let is_refused = |result: wgloss::Result<u64>, wanted: &str| {
        assert!(
            matches!(&result, Err(Error::Operand { name, .. }) if *name == wanted),
            "{result:?}"
        );
    };
    is_refused(faults.add(here, &output(&there)), "output");
    is_refused(faults.add(&there, &output(&there)), "faults");
    is_refused(faults.add(&Engine::cpu(), &output(&Engine::cpu())), "faults");
    is_refused(faults.add(here, &output(&Engine::cpu())), "output");
    let mut never = here.wgpu().unwrap().0.create_command_encoder(&Default::default());
    let recorded = CrossEntropy::default()
        .encode(here, &mut never, &Call::new(Mode::Forward, &[&x, &labels(&[9; 4])]))
        .unwrap();
    assert!(matches!(
        faults.add(here, &recorded),
        Err(Error::NotSubmitted { name: "output", .. })
    ));
    assert_eq!(faults.encode(here, &mut never, &recorded).unwrap(), 0);
    drop(never);
    assert!(faults.read(here).unwrap().is_none());
    assert_eq!(faults.add(here, &output(here)).unwrap(), 1);
}

/// A log of any length keeps what there is to know of each kind of call once.
#[test]
fn kinds_of_calls_are_kept_once() {
    for engine in [gpu(), &Engine::cpu()] {
        let faults = Faults::new(engine).unwrap();
        for step in 0..30 {
            let rows = 1 + step % 3;
            let target = labels(&vec![if step == 28 { 5 } else { 1 }; rows]);
            let loss = CrossEntropy::default().forward(engine, &[&tensor(1, &[rows, 3]), &target]);
            faults.add(engine, &loss.unwrap()).unwrap();
            let other = Softmax::default().forward(engine, &[&tensor(2, &[1, 3])]);
            faults.add(engine, &other.unwrap()).unwrap();
        }
        let found = faults.read(engine).unwrap().unwrap();
        assert_eq!((found.calls, found.count, found.first_call), (1, 2, 56));
        assert!(found.first.to_string().contains("2 of 2"), "{}", found.first);
        assert_eq!(format!("{faults:?}").matches("Known {").count(), 4);
    }
}
