//! What keeps a stream from going on.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use wgloss::{Call, CrossEntropy, Dtype, Engine, Error, Loss, Mode, Pages, Role, Sink, Stream, Tensor};

use crate::common::elsewhere::elsewhere;
use crate::common::gpu;

/// Pages that fail from some byte on.
#[derive(Debug)]
struct Torn(u64);

impl Pages for Torn {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        match offset + out.len() as u64 > self.0 {
            true => Err(io::Error::other("the disk is torn")),
            false => Ok(()),
        }
    }
}

/// A sink that takes nothing.
struct Full;

impl Sink for Full {
    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("the disk is full"))
    }
}

#[test]
fn what_keeps_a_stream_from_going_on_is_told() {
    let shape = [20_000usize, 100];
    let x = Tensor::new(&vec![0.5f32; 2_000_000], &shape).unwrap();
    let mut labels = vec![3i64; 20_000];
    (labels[15_003], labels[19_999]) = (100, -7);
    let bad = Tensor::new(&labels, &[20_000]).unwrap();
    let good = Tensor::new(&[3i64; 20_000], &[20_000]).unwrap();
    let loss = CrossEntropy::default();
    for engine in [gpu(), &Engine::cpu()] {
        let far = elsewhere(&x);
        let run = |call: &Call<'_>, stream: &mut Stream<'_>| stream.run(engine, &loss, call);
        // The row is that of the whole.
        let near = elsewhere(&bad);
        let call = Call::new(Mode::Forward, &[&far, &near]);
        match run(&call, &mut Stream::within(4 << 20)).unwrap_err() {
            Error::BadLabels {
                count,
                first_row,
                value,
                ..
            } => assert_eq!((count, first_row, value), (2, 15_003, 100)),
            other => panic!("{other}"),
        }
        let torn = Tensor::from_pages(Arc::new(Torn(3_000_000)), Dtype::F32, &shape).unwrap();
        let call = Call::new(Mode::Forward, &[&torn, &good]);
        let error = run(&call, &mut Stream::within(4 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "input: the disk is torn");
        let call = Call::new(Mode::Fused, &[&far, &good]);
        let mut stream = Stream::within(4 << 20);
        let mut full = Full;
        stream.sinks.push((Role::Grad(0), &mut full));
        assert_eq!(
            run(&call, &mut stream).unwrap_err().to_string(),
            "grad: the disk is full"
        );
        // What is not asked for cannot be kept.
        let call = Call::new(Mode::Forward, &[&far, &good]);
        assert!(
            run(&call, &mut stream)
                .unwrap_err()
                .to_string()
                .contains("no such result")
        );
        let mut parts = 0;
        let mut watch = |_| {
            parts += 1;
            if parts == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut stream = Stream::within(4 << 20);
        stream.progress = Some(&mut watch);
        assert!(matches!(run(&call, &mut stream).unwrap_err(), Error::Interrupted));
        assert_eq!(parts, 2);
        let error = run(&call, &mut Stream::within(64)).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
    }
    // Only a stream reads pages.
    let far = elsewhere(&x);
    for engine in [gpu(), &Engine::cpu()] {
        let error = loss.forward(engine, &[&far, &good]).unwrap_err();
        assert!(error.to_string().starts_with("input: "), "{error}");
    }
}
