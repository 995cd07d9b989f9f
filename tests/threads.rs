//! One engine, many threads: it may be shared, its results are those of a thread alone, and nothing waits forever.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use wgloss::{
    BceWithLogits, CrossEntropy, Engine, Error, Loss, Optimizer, Output, REGISTRY, Reduction, Tensor, Values,
};

use crate::common::cases::{Case, Setup, by_rows, make};
use crate::common::data::Data;
use crate::common::{bits, engine, gpu};

const THREADS: usize = 8;

/// What one shares between threads, of which the compiler has to be convinced.
#[test]
fn everything_may_be_shared() {
    fn shared<T: Send + Sync + ?Sized>() {}
    fn sent<T: Send>(_: T) {}
    shared::<Engine>();
    shared::<Tensor>();
    shared::<Output>();
    shared::<Values>();
    shared::<Error>();
    shared::<dyn Loss>();
    shared::<dyn Optimizer>();
    let cpu = Engine::cpu();
    let x = Tensor::new(&[1.0f32], &[1]).unwrap();
    let output = BceWithLogits::default().forward(&cpu, &[&x, &x]).unwrap();
    sent(output.read_async(&cpu));
}

/// Fails where `work` has not ended in time, instead of hanging with it.
fn within(seconds: u64, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_secs(seconds)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end within {seconds} seconds: a deadlock"),
        _ => worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Runs `work` on eight threads at once, which start together.
fn at_once(work: impl Fn(usize) + Sync) {
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(thread);
            });
        }
    });
}

/// A case of every loss, cut into rows of one lane or of a workgroup.
fn cases() -> Vec<Case> {
    let make = |(n, info): (usize, &&'static wgloss::Info)| {
        let setup = Setup {
            given: n % 3 == 0,
            reduction: info.reductions[n % info.reductions.len()],
            setting: by_rows(info),
            seed: n as u64,
            ..Setup::new(if n % 2 == 0 { &[300, 9] } else { &[20, 150] })
        };
        make(info, &setup)
    };
    let cases: Vec<Case> = REGISTRY.iter().enumerate().filter_map(make).collect();
    assert!(cases.len() > 20);
    cases
}

fn run(case: &Case, engine: &Engine) -> Output {
    case.loss.run(engine, &case.call(case.most())).unwrap()
}

/// Many rounds of all losses, every thread at another one; `first` and `engine` may be different engines of one
/// adapter.
fn compare(first: &Engine, engine: &Engine, cases: &[Case], rounds: usize) {
    let alone: Vec<Vec<u32>> = cases
        .iter()
        .map(|case| bits(&run(case, first).read(first).unwrap()))
        .collect();
    at_once(|thread| {
        for turn in 0..rounds * cases.len() {
            let nth = (turn + thread * 5) % cases.len();
            let output = run(&cases[nth], engine);
            let values = if (turn + thread) % 2 == 0 {
                output.read(engine)
            } else {
                pollster::block_on(output.read_async(engine))
            };
            let what = &cases[nth].what;
            assert!(
                bits(&values.unwrap()) == alone[nth],
                "{what}, turn {turn} of thread {thread}"
            );
        }
    });
}

#[test]
fn eight_threads_have_the_bits_of_one() {
    within(300, || compare(gpu(), gpu(), &cases(), 8));
}

/// The engine is new, and the threads compile its pipelines at the same time: of a few losses, since every thread does.
#[test]
fn eight_threads_may_compile_at_once() {
    within(300, || compare(gpu(), &engine::fresh(), &cases()[..4], 2));
}

#[test]
fn eight_threads_on_the_processor_have_the_bits_of_one() {
    within(300, || compare(&Engine::cpu(), &Engine::cpu(), &cases(), 8));
}

/// A call, and what it gives.
fn small() -> (CrossEntropy, Tensor, Tensor) {
    let mut data = Data::new(5);
    let x = Tensor::new(&data.logits(64 * 100), &[64, 100]).unwrap();
    let labels = Tensor::new(&data.labels(64, 100, Some(-100)), &[64]).unwrap();
    let loss = CrossEntropy {
        reduction: Reduction::Mean,
        ..Default::default()
    };
    (loss, x, labels)
}

/// Another thread of the user's polls the device all the time, or waits for it, or nobody does: every readback comes to
/// its end, blocking or not.
#[test]
fn readbacks_end_whoever_polls() {
    // Readers that block poll for those that do not: once there are none.
    let polls = [
        (None, 1),
        (None, 2),
        (Some(wgpu::PollType::Poll), 2),
        (Some(wgpu::PollType::wait_indefinitely()), 2),
    ];
    for (poll, kinds) in polls {
        within(120, move || {
            let engine = engine::fresh();
            let (loss, x, labels) = small();
            let (x, labels) = (engine.upload(&x).unwrap(), engine.upload(&labels).unwrap());
            let call = || loss.forward_backward(&engine, &[&x, &labels], None).unwrap();
            let want = bits(&call().read(&engine).unwrap());
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                if let Some(poll) = poll {
                    let (device, over) = (engine.wgpu().unwrap().0, &over);
                    scope.spawn(move || {
                        while !over.load(Ordering::Relaxed) {
                            device.poll(poll.clone()).unwrap();
                        }
                    });
                }
                // Also where a reader panics: the scope waits for the poller.
                let stop = Stop(&over);
                at_once(|thread| {
                    for turn in 0..100 {
                        let output = call();
                        let values = match (turn + thread) % kinds {
                            0 => pollster::block_on(output.read_async(&engine)),
                            _ => output.read(&engine),
                        };
                        assert!(bits(&values.unwrap()) == want, "turn {turn} of thread {thread}");
                    }
                });
                drop(stop);
            });
        });
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Futures given up before, during and after their work, beside readers that want theirs; and more of them than buffers
/// would fit in memory if they stayed.
#[test]
fn dropped_readbacks_harm_nobody() {
    within(120, || {
        let engine = engine::fresh();
        let (loss, x, labels) = small();
        let (x, labels) = (engine.upload(&x).unwrap(), engine.upload(&labels).unwrap());
        let call = || loss.forward_backward(&engine, &[&x, &labels], None).unwrap();
        let want = bits(&call().read(&engine).unwrap());
        at_once(|thread| {
            for turn in 0..60 {
                let output = call();
                for polls in 0..(turn + thread) % 4 {
                    let mut reading = pin!(output.read_async(&engine));
                    for _ in 0..polls {
                        // May be ready at once: then it is dropped with its result.
                        if reading
                            .as_mut()
                            .poll(&mut Context::from_waker(Waker::noop()))
                            .is_ready()
                        {
                            break;
                        }
                    }
                }
                assert!(
                    bits(&output.read(&engine).unwrap()) == want,
                    "turn {turn} of thread {thread}"
                );
            }
        });
    });
}

/// A call that fails fails its own thread: with the tensor of another device, or a bad label. The others neither hear
/// of it nor take its error away.
#[test]
fn errors_stay_in_their_thread() {
    within(120, || {
        let here = engine::fresh();
        let (loss, x, labels) = small();
        let foreign = engine::fresh().upload(&x).unwrap();
        let bad = Tensor::new(&[100i64; 64], &[64]).unwrap();
        let want = bits(&loss.forward(&here, &[&x, &labels]).unwrap().read(&here).unwrap());
        at_once(|thread| {
            for turn in 0..400 {
                let read = |tensors: &[&Tensor]| loss.forward(&here, tensors).and_then(|output| output.read(&here));
                match thread {
                    0 => assert!(
                        matches!(read(&[&foreign, &labels]), Err(Error::Operand { name: "input", .. })),
                        "turn {turn}"
                    ),
                    1 => assert!(matches!(read(&[&x, &bad]), Err(Error::BadLabels { .. })), "turn {turn}"),
                    _ => assert!(
                        bits(&read(&[&x, &labels]).unwrap()) == want,
                        "turn {turn} of thread {thread}"
                    ),
                }
            }
        });
    });
}

/// Tensors outlive the engine that made them, in whatever thread they end.
#[test]
fn an_engine_may_be_dropped_anywhere() {
    within(120, || {
        let engine = Arc::new(engine::fresh());
        let (loss, x, labels) = small();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (engine, loss, x, labels) = (Arc::clone(&engine), loss.clone(), x.clone(), labels.clone());
                std::thread::spawn(move || {
                    let output = loss.forward_backward(&engine, &[&x, &labels], None).unwrap();
                    drop(engine);
                    output
                })
            })
            .collect();
        drop(engine);
        for thread in threads {
            assert!(thread.join().unwrap().grad_input.is_some());
        }
    });
}

/// The watchdog itself.
#[test]
#[should_panic(expected = "a deadlock")]
fn a_deadlock_is_noticed() {
    within(1, || {
        loop {
            std::thread::park();
        }
    });
}
