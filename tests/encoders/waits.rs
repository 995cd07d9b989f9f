//! Nobody waits for what is not theirs.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};

use wgloss::{Call, CrossEntropy, Loss, Mode, Output};

use super::{Load, encoder, operands, submit, wait};
use crate::common::bits;
use crate::common::engine::fresh;
use crate::common::own::values;

/// Results that are there are read while the device is busy with what came later; those that are not are not waited for
/// by who only asks.
#[test]
fn reads_wait_for_their_own_submission_alone() {
    let engine = fresh();
    let mut load = Load::new(&engine);
    let loss = CrossEntropy::default();
    for shape in [(16, 50), (300, 200)] {
        let (x, t) = operands(&engine, shape.0, shape.1);
        let call = Call::new(Mode::Fused, &[&x, &t]);
        let want = bits(&values(&loss.run(&engine, &call).unwrap(), &engine));
        let is_small = shape.0 * shape.1 * 4 <= 64 << 10;
        let encoded = || {
            let mut own = encoder(&engine);
            let output = loss.encode(&engine, &mut own, &call).unwrap();
            submit(&engine, own);
            output
        };
        let run = || loss.run(&engine, &call).unwrap();
        // Compiled and bound.
        for own in [&encoded as &dyn Fn() -> Output, &run] {
            drop(values(&own(), &engine));
        }
        for own in [&encoded as &dyn Fn() -> Output, &run] {
            // Large ones are copied by a submission of their own.
            if is_small {
                assert!(
                    load.outlasts(
                        &engine,
                        || {
                            let (early, tried) = (own(), own());
                            wait(&engine);
                            (early, tried)
                        },
                        |(early, tried)| {
                            assert!(bits(&values(early, &engine)) == want);
                            let there = tried.try_read(&engine).unwrap();
                            assert!(bits(&there.expect("what was submitted first is there")) == want);
                        }
                    ),
                    "a read waited for what came later"
                );
            }
            let mut late = None;
            assert!(
                load.outlasts(
                    &engine,
                    || (),
                    |&()| {
                        let output = own();
                        let start = Instant::now();
                        late = Some((output.try_read(&engine).unwrap(), output));
                        assert!(start.elapsed() < Duration::from_millis(100));
                    }
                ),
                "asking waited"
            );
            let (mut there, late) = late.unwrap();
            assert!(there.is_none(), "there before what was submitted first");
            while there.is_none() {
                std::thread::sleep(Duration::from_millis(2));
                there = late.try_read(&engine).unwrap();
            }
            assert!(there.is_some_and(|values| bits(&values) == want));
            // And again, from the same output.
            assert!(bits(&values(&late, &engine)) == want);
        }
    }
}

/// Counts wakes.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that waits is not polled again until there is something to see.
#[test]
fn futures_do_not_spin() {
    let engine = fresh();
    let load = Load::new(&engine);
    let (x, t) = operands(&engine, 16, 50);
    let loss = CrossEntropy::default();
    let call = Call::new(Mode::Fused, &[&x, &t]);
    let want = bits(&values(&loss.run(&engine, &call).unwrap(), &engine));
    for _ in 0..2 {
        load.submit(&engine);
        let output = pollster::block_on(loss.run_async(&engine, &call)).unwrap();
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        let mut reading = pin!(output.read_async(&engine));
        let mut polls = 0;
        let got = loop {
            polls += 1;
            let before = count.0.load(Ordering::SeqCst);
            match reading.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(got) => break got.unwrap(),
                Poll::Pending => {
                    let start = Instant::now();
                    while count.0.load(Ordering::SeqCst) == before {
                        assert!(start.elapsed() < Duration::from_secs(60), "nobody woke the future");
                        std::thread::sleep(Duration::from_micros(100));
                    }
                }
            }
        };
        assert!(bits(&got) == want);
        assert!(polls <= 3, "polled {polls} times");
    }
}

/// A call in parts does not wait for them where no watchdog minds long ones, and never as a future.
#[test]
fn calls_in_parts_return_at_once_on_software_adapters() {
    let mut engine = fresh();
    let limits = wgloss::Limits {
        max_dispatch_bytes: 64 << 10,
        ..engine.plan_limits().unwrap()
    };
    let (x, t) = operands(&engine, 300, 1000);
    let loss = CrossEntropy::default();
    let call = Call::new(Mode::Forward, &[&x, &t]);
    let want = bits(&values(&loss.run(&engine, &call).unwrap(), &engine));
    let mut load = Load::new(&engine);
    engine.set_plan_limits(limits).unwrap();
    assert!(bits(&values(&loss.run(&engine, &call).unwrap(), &engine)) == want);
    let is_software = engine.adapter_info().unwrap().device_type == wgpu::DeviceType::Cpu;
    let before = engine.activity().unwrap().submissions;
    let output = loss.run(&engine, &call).unwrap();
    // Of twenty dispatches: 1, 2, 4, 8, and what is left.
    assert!((3..8).contains(&(engine.activity().unwrap().submissions - before)));
    drop(values(&output, &engine));
    if is_software {
        let (device, queue) = engine.wgpu().unwrap();
        let other = wgloss::Engine::from_wgpu(device.clone(), queue.clone());
        let mut last = None;
        assert!(
            load.outlasts(&other, || (), |&()| last = Some(loss.run(&engine, &call).unwrap())),
            "the call waited"
        );
        assert!(bits(&values(&last.unwrap(), &engine)) == want);
    }
    let output = pollster::block_on(loss.run_async(&engine, &call)).unwrap();
    assert!(bits(&values(&output, &engine)) == want);
}
