//! What an error says of a call that PyTorch's users write: the tensor that is wrong, and what would be right.

use std::sync::Arc;

use wgloss::{
    Call, CosineEmbedding, CrossEntropy, Dtype, Engine, Error, Loss, MarginRanking, Mode, Mse, MultiMargin,
    MultilabelMargin, Nll, Pages, Role, SoftMargin, SoftmaxFocal, Stream, Tensor, TripletMargin,
};

use crate::common::gpu;

fn floats(shape: &[usize]) -> Tensor {
    Tensor::new(&vec![0.5f32; shape.iter().product()], shape).unwrap()
}

fn classes(shape: &[usize]) -> Tensor {
    Tensor::new(&vec![0i64; shape.iter().product()], shape).unwrap()
}

/// What a call is refused with, which is the same on every engine and in a stream.
fn refusal(loss: &dyn Loss, call: &Call<'_>) -> String {
    let refused = loss.problem(call).err().map(|error| error.to_string());
    let ran = loss.run(&Engine::cpu(), call).err().map(|error| error.to_string());
    assert_eq!(refused, ran);
    refused.unwrap_or_else(|| panic!("{loss:?} took it"))
}

fn says(loss: &dyn Loss, tensors: &[&Tensor], wanted: &str) {
    assert_eq!(refusal(loss, &Call::new(Mode::Forward, tensors)), wanted);
}

#[test]
fn float_labels_are_told_from_probabilities() {
    let ce = CrossEntropy::default();
    let why = "as the input (a float target holds a probability for each class; class labels are integers: save them as int64)";
    for (x, t) in [
        (&[4, 3][..], &[4][..]),
        (&[4, 3, 5], &[4, 5]),
        (&[3], &[]),
        (&[4, 3], &[4, 1]),
    ] {
        let wanted = format!("target: expected shape {x:?} {why}, got {t:?}");
        says(&ce, &[&floats(x), &floats(t)], &wanted);
        // The shape comes before an option that goes with labels alone.
        let ignore = CrossEntropy {
            ignore_index: 2,
            ..Default::default()
        };
        says(&ignore, &[&floats(x), &floats(t)], &wanted);
    }
    says(
        &ce,
        &[&floats(&[4, 3]), &classes(&[4, 3])],
        "target: expected shape [4] for class indices of an input [4, 3] (probabilities, one-hot targets among them, are floats), got [4, 3]",
    );
    let labels = [
        &Nll::default() as &dyn Loss,
        &SoftmaxFocal::default(),
        &MultiMargin::default(),
    ];
    let expected = "target: expected dtype u8 or i32 or u32 or i64, got f32: it holds";
    for loss in labels {
        let wanted = format!("{expected} the class of each row, as integers (save it as int64)");
        says(loss, &[&floats(&[4, 3]), &floats(&[4])], &wanted);
        says(loss, &[&floats(&[4, 3]), &floats(&[4, 3])], &wanted);
    }
    let wanted = format!("{expected} the classes of each row, as integers (save it as int64)");
    says(
        &MultilabelMargin::default(),
        &[&floats(&[4, 3]), &floats(&[4, 3])],
        &wanted,
    );
}

#[test]
fn the_odd_one_is_named() {
    let (matrix, row) = (floats(&[4, 3]), floats(&[4]));
    let ranking = MarginRanking::default();
    let says_of = |tensors: &[&Tensor], name: &str, others: &str| {
        let wanted = format!("{name}: expected as many dimensions as {others}, got [4]");
        says(&ranking, tensors, &wanted);
    };
    says_of(&[&matrix, &matrix, &row], "target", "input1 [4, 3] and input2 [4, 3]");
    says_of(&[&matrix, &row, &matrix], "input2", "input1 [4, 3] and target [4, 3]");
    says_of(&[&row, &matrix, &matrix], "input1", "input2 [4, 3] and target [4, 3]");
    let other = floats(&[2, 3]);
    says(
        &ranking,
        &[&other, &matrix, &matrix],
        "input1: shape [2, 3] does not broadcast with input2 [4, 3] and target [4, 3]",
    );
    says(
        &TripletMargin::default(),
        &[&other, &matrix, &matrix],
        "anchor: expected the shape of positive [4, 3] and negative [4, 3], got [2, 3]",
    );
    says(
        &TripletMargin::default(),
        &[&matrix, &other, &matrix],
        "positive: expected the shape of anchor [4, 3] and negative [4, 3], got [2, 3]",
    );
    says(
        &CosineEmbedding::default(),
        &[&matrix, &other, &row],
        "input2: expected the shape of input1 [4, 3], got [2, 3]",
    );
    says(
        &SoftMargin::default(),
        &[&row, &floats(&[2, 4])],
        "target: shape [2, 4] does not broadcast to the input's [4], which the losses have here",
    );
}

#[test]
fn gradients_that_there_are_not() {
    let (x, t, signs) = (floats(&[4, 3]), classes(&[4]), floats(&[4, 3]));
    let by = |loss: &dyn Loss, tensors: &[&Tensor], role: Role| {
        let call = Call {
            grads: vec![role],
            ..Call::new(Mode::Fused, tensors)
        };
        assert!(matches!(loss.problem(&call), Err(Error::Operand { .. })));
        refusal(loss, &call)
    };
    let indices = "target: class indices have no gradient";
    assert_eq!(by(&CrossEntropy::default(), &[&x, &t], Role::Target), indices);
    assert_eq!(by(&Nll::default(), &[&x, &t], Role::Target), indices);
    assert_eq!(
        by(&SoftMargin::default(), &[&x, &signs], Role::Target),
        "target: soft_margin has no gradient by it, only by input"
    );
    assert_eq!(
        by(&CrossEntropy::default(), &[&x, &t], Role::Weight),
        "weight: cross_entropy has no gradient by it, only by input and target"
    );
}

/// The least that is named does, and it is what can be asked for before.
#[test]
fn a_stream_says_what_memory_it_takes() {
    let loss = Mse::default();
    let x = Tensor::from_pages(Arc::new(Zeros), Dtype::F32, &[1 << 18]).unwrap();
    let call = Call::new(Mode::Fused, &[&x, &x]);
    for engine in [gpu(), &Engine::cpu()] {
        let least = Stream::within(0).least(engine, &loss, &call).unwrap();
        let run = |memory: u64| Stream::within(memory).run(engine, &loss, &call);
        for memory in [10, least - 1] {
            match run(memory).err() {
                Some(Error::Memory {
                    least: named, given, ..
                }) => assert_eq!((named, given), (least, memory)),
                other => panic!("{memory}: {other:?}"),
            }
        }
        let text = run(10).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            text.starts_with(&format!(
                "memory: 10 bytes are allowed, the stream takes at least {least}: "
            )),
            "{text}"
        );
        assert_eq!(run(least).unwrap().0.scalar(), Some(0.0));
    }
}

#[derive(Debug)]
struct Zeros;

impl Pages for Zeros {
    fn read_at(&self, _: u64, out: &mut [u8]) -> std::io::Result<()> {
        out.fill(0);
        Ok(())
    }
}
