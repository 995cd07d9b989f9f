//! Every loss of the registry has its function here, and computes what the f64 reference does: forward, and backward
//! through autodiff with an upstream gradient.

use burn::tensor::{Device, Int, Tensor, TensorData};
use wgloss::{Call, Dtype, GradTo, Mode, OperandKind, Reduction, Role};
use wgloss_burn::{LossCall, Operand, wgloss};

use crate::common::{Numbers, device, near};

const ROWS: usize = 6;
const CLASSES: usize = 5;

/// Of each loss a call with a reduction, and its function.
type Entry = (
    &'static str,
    fn(Reduction) -> LossCall,
    fn(&[Operand], Reduction) -> wgloss::Result<Tensor<1>>,
);

macro_rules! entries {
    ($($stem:ident $type:ident($($nth:literal),+);)*) => {
        [$((
            stringify!($stem),
            |reduction| LossCall::of(&wgloss_burn::$type { reduction, ..Default::default() }),
            |given, reduction| {
                let options = wgloss_burn::$type { reduction, ..Default::default() };
                let quiet = wgloss_burn::$stem::<1>($(&given[$nth],)+ &options);
                let checked = wgloss_burn::checked::$stem::<1>($(&given[$nth],)+ &options);
                assert_eq!(quiet.is_ok(), checked.is_ok());
                quiet
            },
        )),*]
    };
}

#[allow(clippy::needless_update, reason = "some losses have no other option")]
const ENTRIES: [Entry; 27] = entries! {
    l1 L1(0, 1);
    mse Mse(0, 1);
    smooth_l1 SmoothL1(0, 1);
    huber Huber(0, 1);
    gaussian_nll GaussianNll(0, 1, 2);
    poisson_nll PoissonNll(0, 1);
    bce Bce(0, 1);
    bce_with_logits BceWithLogits(0, 1);
    sigmoid_focal SigmoidFocal(0, 1);
    kl_div KlDiv(0, 1);
    nll Nll(0, 1);
    cross_entropy CrossEntropy(0, 1);
    softmax_focal SoftmaxFocal(0, 1);
    hinge_embedding HingeEmbedding(0, 1);
    soft_margin SoftMargin(0, 1);
    margin_ranking MarginRanking(0, 1, 2);
    multi_margin MultiMargin(0, 1);
    multilabel_margin MultilabelMargin(0, 1);
    multilabel_soft_margin MultilabelSoftMargin(0, 1);
    cosine_embedding CosineEmbedding(0, 1, 2);
    triplet_margin TripletMargin(0, 1, 2);
    softmax Softmax(0);
    log_softmax LogSoftmax(0);
    sigmoid Sigmoid(0);
    log_sigmoid LogSigmoid(0);
    reduce Reduce(0);
    linear_cross_entropy LinearCrossEntropy(0, 1, 2);
};

/// A tensor on the host and on the device.
struct Given {
    role: Role,
    has_grad: bool,
    ours: Operand,
    tracked: Option<Track>,
    host: wgloss::Tensor,
}

enum Track {
    Row(Tensor<1>),
    Array(Tensor<2>),
}

fn given(name: &str, role: Role, kind: OperandKind, has_grad: bool, random: &mut Numbers, device: &Device) -> Given {
    let shape: &[usize] = match (name, kind) {
        ("cosine_embedding", OperandKind::Sign) => &[ROWS],
        (_, OperandKind::Index | OperandKind::IndexOrDistribution) => &[ROWS],
        _ => &[ROWS, CLASSES],
    };
    let len = shape.iter().product();
    let labels = match kind {
        OperandKind::Index | OperandKind::IndexOrDistribution => Some(random.classes(len, CLASSES)),
        OperandKind::IndexList => Some((0..len).map(|i| [2, 0, -1, 4, 1][i % CLASSES]).collect()),
        _ => None,
    };
    if let Some(labels) = labels {
        let host = wgloss::Tensor::new(&labels, shape).unwrap();
        let data = TensorData::new(labels, shape.to_vec());
        let ours = match shape.len() {
            1 => Tensor::<1, Int>::from_data(data, device).into(),
            _ => Tensor::<2, Int>::from_data(data, device).into(),
        };
        let (has_grad, tracked) = (false, None);
        return Given {
            role,
            has_grad,
            ours,
            tracked,
            host,
        };
    }
    let number = |x: f32| match kind {
        OperandKind::LogProbability => -0.1 - x,
        OperandKind::UnitInterval | OperandKind::MaybeLogProbability => 0.05 + 0.9 * x,
        OperandKind::Count => (4.0 * x).floor(),
        OperandKind::Variance => 0.2 + x,
        OperandKind::Sign => {
            if x < 0.5 {
                -1.0
            } else {
                1.0
            }
        }
        _ => 4.0 * x - 2.0,
    };
    let numbers: Vec<f32> = (0..len).map(|_| number(random.next())).collect();
    let host = wgloss::Tensor::new(&numbers, shape).unwrap();
    let data = TensorData::new(numbers, shape.to_vec());
    let (ours, tracked) = match shape.len() {
        1 => {
            let tensor = Tensor::<1>::from_data(data, device).require_grad();
            (Operand::from(&tensor), Track::Row(tensor))
        }
        _ => {
            let tensor = Tensor::<2>::from_data(data, device).require_grad();
            (Operand::from(&tensor), Track::Array(tensor))
        }
    };
    Given {
        role,
        has_grad,
        ours,
        tracked: Some(tracked),
        host,
    }
}

#[test]
fn every_loss_has_its_function() {
    let names: Vec<_> = wgloss::REGISTRY.iter().map(|info| info.name).collect();
    assert_eq!(wgloss_burn::FUNCTIONS, names);
    assert_eq!(
        ENTRIES.map(|(name, ..)| name).to_vec(),
        names,
        "the entries of this test"
    );
}

#[test]
fn every_loss_is_that_of_the_reference() {
    let device = device().autodiff();
    for (nth, (name, call, function)) in ENTRIES.into_iter().enumerate() {
        let info = wgloss::find(name).unwrap();
        for &reduction in info.reductions {
            let what = format!("{name} {}", reduction.name());
            let mut random = Numbers::new(nth as u64 + 7);
            let operands = info.operands.iter();
            let all: Vec<_> = operands
                .map(|own| given(name, own.role, own.kind, own.grad, &mut random, &device))
                .collect();

            let mut native = (info.new)();
            native.set_reduction(reduction);
            let host: Vec<_> = all.iter().map(|own| &own.host).collect();
            let problem = native.problem(&Call::new(Mode::Forward, &host)).unwrap();
            let shape = problem.loss_shape().to_vec();
            let upstream: Vec<f32> = (0..shape.iter().product()).map(|_| random.next() + 0.5).collect();
            let slope = wgloss::Tensor::new(&upstream, &shape).unwrap();
            let grads = all.iter().skip(1).filter(|own| own.has_grad).map(|own| own.role);
            let truth = wgloss::reference::run(
                native.as_ref(),
                &Call {
                    grad_output: Some(&slope),
                    grads: grads.collect(),
                    grad_input: GradTo::New,
                    ..Call::new(Mode::Fused, &host)
                },
            );
            let truth = truth.unwrap();

            let ours = all
                .iter()
                .fold(call(reduction), |call, own| call.tensor(own.role, &own.ours));
            let outputs = ours.run().unwrap();
            let upstream = TensorData::new(upstream.clone(), [upstream.len()]);
            let upstream = Tensor::<1>::from_data(upstream, &device);
            let loss = match shape.len() {
                0 | 1 => outputs.loss::<1>().unwrap(),
                _ => outputs.loss::<2>().unwrap().reshape([-1]),
            };
            let found: Vec<f64> = loss.clone().into_data().iter::<f64>().collect();
            near(&what, &found, &truth.loss, 1e-5);
            assert_eq!(problem.loss_dtype(), Dtype::F32);

            let found = (loss * upstream).sum().backward();
            for own in all.iter().filter(|own| own.has_grad) {
                let grad: Vec<f64> = match own.tracked.as_ref().unwrap() {
                    Track::Row(tensor) => tensor.grad(&found).unwrap().into_data().iter::<f64>().collect(),
                    Track::Array(tensor) => tensor.grad(&found).unwrap().into_data().iter::<f64>().collect(),
                };
                let is_first = info.operands.first().is_some_and(|first| first.role == own.role);
                let wanted = match is_first {
                    true => truth.grad_input.as_deref(),
                    false => truth.grad(own.role),
                };
                let wanted = wanted.unwrap();
                near(&format!("{what}, gradient of {}", own.role.name()), &grad, wanted, 1e-5);
            }

            let operands: Vec<_> = all.iter().map(|own| own.ours.clone()).collect();
            let by_function = function(&operands, reduction);
            assert_eq!(by_function.is_ok(), shape.len() < 2, "{what}: rank 1 is asked for");
        }
    }
}
