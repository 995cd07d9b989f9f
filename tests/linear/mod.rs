//! The loss of a layer: whatever the scratch, the limits and the rows that are left out, with the same bits.

mod memory;

use wgloss::limits::MAX_ITERATIONS;
use wgloss::plan::plan;
use wgloss::{Call, Dtype, Engine, GradTo, Limits, LinearCrossEntropy, Loss, Mode, Reduction, Role, Stats, Tensor};

use crate::common::against::{against_reference, on_gpu, on_hardware};
use crate::common::data::Data;
use crate::common::own::values;
use crate::common::{bits, engine, gpu, report, takes};

/// What a layer is applied to, and what is wanted. The bias is of the matrix's dtype, all else of the input's.
#[derive(Clone)]
struct Case {
    inputs: usize,
    features: usize,
    classes: usize,
    head: Vec<usize>,
    dtypes: [Dtype; 2],
    full: bool,
    bias: bool,
    weights: bool,
    stats: Stats,
    of_stats: bool,
    reduction: Reduction,
}

/// The loss and the tensors of a case.
struct Tensors {
    loss: LinearCrossEntropy,
    signature: [Tensor; 3],
    upstream: Option<Tensor>,
    of_stats: Option<[Tensor; 2]>,
}

const GRADS: [Role; 2] = [Role::LinearWeight, Role::LinearBias];

impl Case {
    fn new(inputs: usize, features: usize, classes: usize) -> Self {
        Self {
            inputs,
            features,
            classes,
            head: Vec::new(),
            dtypes: [Dtype::F32; 2],
            full: false,
            bias: true,
            weights: false,
            stats: Stats::default(),
            of_stats: false,
            reduction: Reduction::Mean,
        }
    }

    fn tensors(&self) -> Tensors {
        let mut data = Data::new(5);
        let heads: usize = self.head.iter().product();
        let rows = self.inputs * heads;
        let terms = [&[self.inputs][..], &self.head].concat();
        let lines = [&[self.classes][..], &self.head].concat();
        let matrix = [&lines[..], &[self.features]].concat();
        let scale = (self.features as f32).powf(-0.5);
        let mut of = |shape: &[usize], low: f32, high: f32, dtype: Dtype| {
            let numbers = data.uniform(shape.iter().product(), low, high);
            Tensor::new(&numbers, shape).unwrap().to_dtype(dtype).unwrap()
        };
        let input = of(&[self.inputs, self.features], -2.0, 2.0, self.dtypes[0]);
        let linear_weight = of(&matrix, -2.0 * scale, 2.0 * scale, self.dtypes[1]);
        let linear_bias = self.bias.then(|| of(&lines, -0.5, 0.5, self.dtypes[1]));
        let weight = self.weights.then(|| of(&[self.classes], 0.5, 2.0, self.dtypes[0]));
        let sample_weight = self.weights.then(|| of(&terms, 0.5, 2.0, self.dtypes[0]));
        let mut of_terms = || of(&terms, -1.0, 1.0, Dtype::F32);
        let upstream = (self.reduction == Reduction::None).then(&mut of_terms);
        let of_stats = self.of_stats.then(|| [of_terms(), of_terms()]);
        let full = [&[self.inputs, self.classes][..], &self.head].concat();
        let target = match self.full {
            true => of(&full, 0.0, 2.0 / self.classes as f32, self.dtypes[0]),
            false => {
                let labels = data.labels(rows, self.classes, Some(-100));
                Tensor::new(&labels, &terms).unwrap()
            }
        };
        let loss = LinearCrossEntropy {
            linear_bias,
            weight,
            sample_weight,
            label_smoothing: if self.weights { 0.1 } else { 0.0 },
            reduction: self.reduction,
            ..Default::default()
        };
        Tensors {
            loss,
            signature: [input, linear_weight, target],
            upstream,
            of_stats,
        }
    }

    fn with<T>(&self, mode: Mode, run: impl FnOnce(&LinearCrossEntropy, &Call<'_>) -> T) -> T {
        let own = self.tensors();
        let signature: Vec<&Tensor> = own.signature.iter().collect();
        let mut grads: Vec<Role> = GRADS[..1 + usize::from(self.bias)].to_vec();
        grads.extend(self.full.then_some(Role::Target));
        let grads = if mode.wants_grad() { grads } else { Vec::new() };
        let call = Call {
            grad_output: own.upstream.as_ref().filter(|_| mode.wants_grad()),
            grad_lse: own.of_stats.as_ref().filter(|_| mode.wants_grad()).map(|own| &own[0]),
            grad_entropy: own.of_stats.as_ref().filter(|_| mode.wants_grad()).map(|own| &own[1]),
            grads,
            stats: self.stats,
            ..Call::new(mode, &signature)
        };
        run(&own.loss, &call)
    }

    fn name(&self) -> String {
        let Self {
            inputs,
            features,
            classes,
            head,
            dtypes,
            ..
        } = self;
        let marks = [
            (self.full, " full"),
            (self.bias, " bias"),
            (self.weights, " weights"),
            (self.stats.any(), " stats"),
            (self.of_stats, " of_stats"),
        ];
        let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
        format!(
            "{inputs}x{features}x{classes} {head:?} {dtypes:?}{marks} {:?}",
            self.reduction
        )
    }
}

/// Layers of every kind: one tile and several, quads and odd sizes, heads, 16-bit operands, probabilities, statistics.
fn cases() -> Vec<Case> {
    let stats = Stats {
        lse: true,
        entropy: true,
        argmax: true,
        ..Default::default()
    };
    let plain = Case::new(150, 24, 300);
    vec![
        plain.clone(),
        Case {
            weights: true,
            reduction: Reduction::None,
            ..Case::new(131, 13, 77)
        },
        Case {
            full: true,
            weights: true,
            ..Case::new(70, 16, 132)
        },
        Case {
            head: vec![3],
            weights: true,
            reduction: Reduction::Sum,
            ..Case::new(70, 10, 90)
        },
        Case {
            head: vec![2, 2],
            full: true,
            reduction: Reduction::None,
            ..Case::new(20, 12, 67)
        },
        Case {
            dtypes: [Dtype::F16, Dtype::F16],
            ..Case::new(100, 20, 140)
        },
        // The matrix's gradient has no room in the smallest scratch, and comes apart.
        Case {
            dtypes: [Dtype::Bf16, Dtype::Bf16],
            ..Case::new(90, 40, 210)
        },
        Case {
            dtypes: [Dtype::Bf16, Dtype::F32],
            stats: Stats {
                accuracy: true,
                ..Default::default()
            },
            ..Case::new(90, 18, 101)
        },
        Case {
            dtypes: [Dtype::F32, Dtype::Bf16],
            head: vec![2],
            bias: false,
            ..Case::new(66, 18, 70)
        },
        // 16-bit floats of both kinds.
        Case {
            dtypes: [Dtype::F16, Dtype::Bf16],
            full: true,
            weights: true,
            ..Case::new(70, 20, 140)
        },
        Case {
            dtypes: [Dtype::Bf16, Dtype::F16],
            weights: true,
            reduction: Reduction::None,
            ..Case::new(80, 19, 70)
        },
        Case { stats, ..plain.clone() },
        Case {
            of_stats: true,
            stats,
            reduction: Reduction::None,
            ..plain.clone()
        },
        Case {
            of_stats: true,
            dtypes: [Dtype::Bf16, Dtype::Bf16],
            ..Case::new(65, 31, 65)
        },
    ]
}

#[test]
fn against_the_reference() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, case) in cases().into_iter().enumerate() {
        for (m, mode) in Mode::ALL.into_iter().enumerate() {
            if mode != Mode::Fused && !takes(n + m, 4) {
                continue;
            }
            total += 1;
            failures.extend(case.with(mode, |loss, call| {
                let name = format!("{} {}", case.name(), mode.name());
                match n % 3 {
                    0 => against_reference(&name, loss, call),
                    1 => on_gpu(&name, loss, call),
                    _ => on_hardware(&name, loss, call),
                }
            }));
        }
    }
    report(failures, total);
}

/// Logits of some rows and columns at a time: blocks of whole rows, and runs of columns that are computed again.
fn scratches(case: &Case) -> [u64; 4] {
    let row = 4 * (case.classes * case.head.iter().product::<usize>()) as u64;
    [64 << 20, (70 * row).max(40_000), 3 * 64 * 64 * 4 * 4, 64 * 64 * 4 * 4]
}

/// Whatever fits into the scratch and into a binding.
#[test]
fn neither_scratch_nor_limits_change_a_bit() {
    let mut failures = Vec::new();
    let mut engine = engine::fresh();
    let whole = engine.plan_limits().unwrap();
    let mut ways = std::collections::BTreeSet::new();
    let all = cases();
    for (n, case) in all.iter().enumerate() {
        let mut want = None;
        let small = Limits {
            max_binding_bytes: 40 << 10,
            max_dispatch_bytes: 100 << 10,
            ..whole
        };
        let limits = scratches(case).map(|scratch_bytes| Limits { scratch_bytes, ..whole });
        for (nth, limits) in limits.into_iter().chain([small]).enumerate() {
            engine.set_plan_limits(limits).unwrap();
            let (got, dispatches) = case.with(Mode::Fused, |loss, call| {
                let problem = loss.problem(call).unwrap();
                let plan = plan(&problem, &limits, &engine.tuning().unwrap()).unwrap();
                assert!(
                    plan.dispatches().all(|own| own.iterations < MAX_ITERATIONS),
                    "{}",
                    case.name()
                );
                let got = loss.run(&engine, call).unwrap().read(&engine).unwrap();
                (bits(&got), plan.dispatches().count())
            });
            ways.insert((n, dispatches));
            let want = want.get_or_insert_with(|| got.clone());
            if *want != got {
                let differ = got.iter().zip(&*want).filter(|(a, b)| a != b).count();
                failures.push(format!("{}: {differ} of {} words, way {nth}", case.name(), got.len()));
            }
        }
    }
    assert!(ways.len() > 3 * all.len() / 2, "{ways:?}");
    report(failures, all.len());
}

/// A row that is ignored is never read, whatever it holds, and its gradient is 0.
#[test]
fn ignored_rows_are_left_out() {
    let (inputs, features, classes) = (200usize, 12, 90);
    let case = Case::new(inputs, features, classes);
    let own = case.tensors();
    let labels: Vec<i64> = (0..inputs)
        .map(|n| if n % 3 == 0 { -100 } else { (n % classes) as i64 })
        .collect();
    let mut data = own.signature[0].as_slice::<f32>().unwrap().to_vec();
    let clean = Tensor::new(&data, &[inputs, features]).unwrap();
    for (n, row) in data.chunks_mut(features).enumerate() {
        if n % 3 == 0 {
            row.fill(f32::NAN);
        }
    }
    let input = Tensor::new(&data, &[inputs, features]).unwrap();
    let target = Tensor::new(&labels, &[inputs]).unwrap();
    for engine in [gpu(), crate::common::hardware(), &Engine::cpu()] {
        let run = |input: &Tensor, stats| {
            let call = Call {
                grads: GRADS.to_vec(),
                stats,
                ..Call::new(Mode::Fused, &[input, &own.signature[1], &target])
            };
            own.loss.run(engine, &call).unwrap().read(engine).unwrap()
        };
        for stats in [
            Stats::default(),
            Stats {
                lse: true,
                accuracy: true,
                ..Default::default()
            },
        ] {
            let (got, want) = (run(&input, stats), run(&clean, stats));
            let grad = &got.grad_input.as_ref().unwrap().data;
            let rows = grad.chunks(features).enumerate();
            assert!(
                rows.filter(|(n, _)| n % 3 == 0)
                    .all(|(_, row)| row.iter().all(|g| *g == 0.0))
            );
            let parts = |values: &wgloss::Values| {
                let mut all = values.loss.as_ref().unwrap().data.clone();
                all.extend(&values.grad_input.as_ref().unwrap().data);
                GRADS
                    .iter()
                    .for_each(|role| all.extend(&values.grad(*role).unwrap().data));
                all
            };
            assert_eq!(parts(&got), parts(&want), "{} {stats:?}", engine.name());
        }
    }
}

/// A sum that began with a bias of 256 would be rounded to 3e-5 at each of its 512 terms; this one is so once.
#[test]
fn a_large_bias_is_added_to_whole_sums() {
    let (inputs, features, classes) = (9, 512, 70);
    let mut data = Data::new(11);
    let mut of = |shape: [usize; 2]| Tensor::new(&data.uniform(shape[0] * shape[1], -1.0, 1.0), &shape).unwrap();
    let (input, matrix) = (of([inputs, features]), of([classes, features]));
    let labels: Vec<i64> = (0..inputs as i64).map(|n| n * 7).collect();
    let target = Tensor::new(&labels, &[inputs]).unwrap();
    let loss = LinearCrossEntropy {
        linear_bias: Some(Tensor::new(&vec![256f32; classes], &[classes]).unwrap()),
        reduction: Reduction::None,
        ..Default::default()
    };
    let call = Call::new(Mode::Forward, &[&input, &matrix, &target]);
    let [got, want] = [gpu(), &Engine::cpu()].map(|engine| values(&loss.run(engine, &call).unwrap(), engine));
    for (got, want) in got.loss.unwrap().data.iter().zip(want.loss.unwrap().data) {
        // Half an ulp of the label's logit and of the largest ones each, and what the rest of f32 takes.
        assert!((got - want).abs() < 5e-5, "{got}, {want}");
    }
}

/// Shapes and dtypes that do not go together are told by their numbers.
#[test]
fn refusals() {
    let zeros = |shape: &[usize]| Tensor::new(&vec![0f32; shape.iter().product()], shape).unwrap();
    let labels = Tensor::new(&[0i64; 4], &[4]).unwrap();
    let problem = |tensors: &[&Tensor], change: &dyn Fn(&mut LinearCrossEntropy, &mut Call<'_>)| {
        let (mut loss, mut call) = (LinearCrossEntropy::default(), Call::new(Mode::Fused, tensors));
        change(&mut loss, &mut call);
        loss.problem(&call).unwrap_err().to_string()
    };
    let nothing = |_: &mut LinearCrossEntropy, _: &mut Call<'_>| {};
    let (x, w) = (zeros(&[4, 6]), zeros(&[9, 6]));
    let other = zeros(&[9, 5]);
    let text = problem(&[&x, &other, &labels], &nothing);
    assert!(text.contains("input has 6 features, linear_weight 5"), "{text}");
    let deep = zeros(&[2, 2, 6]);
    assert!(problem(&[&deep, &w, &labels], &nothing).contains("[2, 2, 6]"));
    assert!(problem(&[&x, &zeros(&[9]), &labels], &nothing).contains("(C, H)"));
    let short = Tensor::new(&[0i64; 3], &[3]).unwrap();
    assert!(problem(&[&x, &w, &short], &nothing).contains("[3]"));
    let bias = |loss: &mut LinearCrossEntropy, _: &mut Call<'_>| loss.linear_bias = Some(zeros(&[8]));
    assert!(problem(&[&x, &w, &labels], &bias).contains("linear_bias"));
    let no_bias = |_: &mut LinearCrossEntropy, call: &mut Call<'_>| call.grads.push(Role::LinearBias);
    assert!(problem(&[&x, &w, &labels], &no_bias).contains("was not given"));
    let over = |_: &mut LinearCrossEntropy, call: &mut Call<'_>| call.grad_input = GradTo::InPlace;
    assert!(problem(&[&x, &w, &labels], &over).contains("grad_input"));
}

/// The gradients of several batches add up in one buffer, and go where the caller wants them.
#[test]
fn gradients_go_where_they_are_wanted() {
    let case = Case::new(70, 13, 66);
    for dtype in [Dtype::F32, Dtype::F16] {
        let case = Case {
            dtypes: [dtype; 2],
            ..case.clone()
        };
        case.with(Mode::Fused, |loss, call| {
            let want = values(&loss.run(gpu(), call).unwrap(), gpu());
            let (x, w) = (call.tensors[0], call.tensors[1]);
            let ones = |own: &Tensor| {
                let ones = vec![1f32; own.shape().iter().product()];
                gpu()
                    .upload(&Tensor::new(&ones, own.shape()).unwrap().to_dtype(dtype).unwrap())
                    .unwrap()
            };
            let (sum, matrix) = (ones(x), ones(w));
            let call = Call {
                grad_input: GradTo::AddTo(&sum),
                into: vec![(Role::LinearWeight, &matrix)],
                ..call.clone()
            };
            loss.run(gpu(), &call).unwrap().read(gpu()).unwrap();
            let read = |own: &Tensor| match dtype {
                Dtype::F16 => {
                    let all = own.read::<half::f16>(gpu()).unwrap();
                    all.iter().map(|x| x.to_f32()).collect()
                }
                _ => own.read::<f32>(gpu()).unwrap(),
            };
            let near = |a: &f32, b: &f32| (a - b).abs() <= 1e-3;
            let want_sum: Vec<f32> = want.grad_input.as_ref().unwrap().data.iter().map(|g| 1.0 + g).collect();
            assert!(read(&sum).iter().zip(&want_sum).all(|(a, b)| near(a, b)), "{dtype}");
            assert_eq!(read(&matrix), want.grad(Role::LinearWeight).unwrap().data, "{dtype}");
        });
    }
}
