//! The user's device and encoder, and calls without either.

use wgloss::{
    BceWithLogits, Call, CrossEntropy, Engine, Error, GradTo, Loss, Mode, Reduce, SigmoidFocal, Tensor, TripletMargin,
};

use crate::common::data::Data;
use crate::common::{bits, engine, gpu};

/// On the user's device, with WebGPU's default limits and no feature, into the user's encoder: nothing is submitted by
/// us, several calls share a submission, and each keeps its own params and results.
#[test]
fn encode_into_the_users_encoder() {
    let (device, queue) = engine::webgpu_device();
    let engine = Engine::from_wgpu(device.clone(), queue.clone());
    let mut data = Data::new(13);
    let x = engine
        .upload(&Tensor::new(&data.logits(64 * 100), &[64, 100]).unwrap())
        .unwrap();
    let labels = engine
        .upload(&Tensor::new(&data.labels(64, 100, Some(7)), &[64]).unwrap())
        .unwrap();
    let loss = |label_smoothing, ignore_index| CrossEntropy {
        label_smoothing,
        ignore_index,
        ..Default::default()
    };
    let losses = [loss(0.0, 7), loss(0.0, -100), loss(0.1, 7), loss(0.3, 7)];
    let mut encoder = device.create_command_encoder(&Default::default());
    let call = Call::new(Mode::Fused, &[&x, &labels]);
    let outputs: Vec<_> = losses
        .iter()
        .map(|loss| loss.encode(&engine, &mut encoder, &call).unwrap())
        .collect();
    let grad = outputs[0].grad_input.as_ref().unwrap();
    let sum = Reduce::default()
        .encode(&engine, &mut encoder, &Call::new(Mode::Forward, &[grad]))
        .unwrap();
    queue.submit([encoder.finish()]);
    for (loss, output) in losses.iter().zip(&outputs) {
        let alone = loss.run(&engine, &call).unwrap().read(&engine).unwrap();
        let together = pollster::block_on(output.read_async(&engine)).unwrap();
        assert_eq!(bits(&together), bits(&alone), "{loss:?}");
    }
    assert!(
        sum.read(&engine).unwrap().scalar().unwrap().abs() < 1e-5,
        "the gradient of a softmax adds up to 0"
    );
    assert_ne!(
        outputs[0].read(&engine).unwrap().loss,
        outputs[3].read(&engine).unwrap().loss
    );
}

#[test]
fn the_function_form() {
    use wgloss::functional::{bce_with_logits, cross_entropy, sigmoid_focal, triplet_margin};
    let mut data = Data::new(14);
    let (x, labels, t) = (data.logits(12), data.labels(4, 3, None), data.targets(12));
    for engine in [gpu(), &Engine::cpu()] {
        let (x, t) = ((&x[..], [4, 3]), (&t[..], [4, 3]));
        let ce = cross_entropy(engine, x, (&labels[..], [4]), &CrossEntropy::default(), Mode::Fused).unwrap();
        let grad = ce.grad_input.unwrap();
        assert_eq!(grad.shape, [4, 3]);
        let again = Tensor::try_from(&grad).unwrap();
        assert_eq!(again.shape(), [4, 3]);
        let bce = bce_with_logits(engine, x, t, &BceWithLogits::default(), Mode::Forward).unwrap();
        assert!(bce.loss.unwrap().data[0] > 0.0 && bce.grad_input.is_none());
        let focal = sigmoid_focal(engine, x, t, &SigmoidFocal::default(), Mode::Forward).unwrap();
        assert_eq!(
            focal.loss.unwrap().shape,
            [4, 3],
            "torchvision's default reduction is none"
        );
        let triplet = triplet_margin(engine, x, t, x, &TripletMargin::default(), Mode::Fused).unwrap();
        assert_eq!(triplet.grad_input.unwrap().shape, [4, 3]);
        assert!(matches!(
            cross_entropy(engine, (&labels[..], [4]), t, &CrossEntropy::default(), Mode::Forward),
            Err(Error::Operand { name: "target", .. })
        ));
    }
}

/// A tensor of another engine's device is an error, and nothing is read or written through it.
#[test]
fn tensors_of_another_engine_are_refused() {
    let other = engine::fresh();
    let x = other.upload(&Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap()).unwrap();
    let labels = Tensor::new(&[1i64], &[1]).unwrap();
    let here = gpu();
    assert!(matches!(
        CrossEntropy::default().forward(here, &[&x, &labels]),
        Err(Error::Operand { name: "input", .. })
    ));
    assert!(matches!(
        CrossEntropy::default().forward(&Engine::cpu(), &[&x, &labels]),
        Err(Error::Operand { .. })
    ));
    let on_host = Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap();
    let call = Call {
        grad_input: GradTo::Into(&on_host),
        ..Call::new(Mode::Fused, &[&on_host, &labels])
    };
    assert!(matches!(
        CrossEntropy::default().run(here, &call),
        Err(Error::Operand { name: "grad_input", .. })
    ));
    assert!(
        CrossEntropy::default()
            .forward(here, &[&on_host, &labels])
            .unwrap()
            .read(here)
            .is_ok(),
        "and life goes on"
    );
}
