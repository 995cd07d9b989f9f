//! Optimizer steps: the golden cases, 16-bit parameters, cutting, the user's buffers and what is refused.

use std::collections::{BTreeSet, HashMap};

use safetensors::SafeTensors;
use serde::Deserialize;
use wgloss::limits::MAX_ITERATIONS;
use wgloss::optim::{self, OPTIMIZERS, Setting, State, Update};
use wgloss::plan::{Dispatch, Source, plan_update};
use wgloss::{Adam, AdamW, Dtype, Engine, Limits, Optimizer, Role, Sgd, Tensor, Tuning, View};

use crate::common::data::Data;
use crate::common::{F32, engine, gpu, hardware, report};

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    loss: String,
    params: HashMap<String, serde_json::Value>,
    inputs: HashMap<String, Entry>,
    expected: HashMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    key: String,
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(format!("{FOLDER}/optimizers.json")).unwrap();
    let manifest: Manifest = serde_json::from_str(&text).unwrap();
    manifest.cases
}

/// Shape and numbers of an array of the corpus.
fn array(entry: &Entry) -> (Vec<usize>, Vec<f64>) {
    let bytes = std::fs::read(format!("{FOLDER}/data/{}", entry.file)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(&entry.key).unwrap();
    let data = match view.dtype() {
        safetensors::Dtype::F32 => bytemuck::pod_collect_to_vec::<u8, f32>(view.data())
            .iter()
            .map(|&x| x.into())
            .collect(),
        safetensors::Dtype::F64 => bytemuck::pod_collect_to_vec(view.data()),
        other => panic!("{other:?}"),
    };
    (view.shape().to_vec(), data)
}

fn singles(data: &[f64]) -> Vec<f32> {
    data.iter().map(|&x| x as f32).collect()
}

fn optimizer_of(case: &Case) -> Box<dyn Optimizer> {
    let mut optimizer = (optim::find(&case.loss).unwrap().new)();
    for (name, value) in &case.params {
        let setting = match value {
            serde_json::Value::Bool(value) => Setting::Bool(*value),
            serde_json::Value::Array(pair) => Setting::Pair(pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap()),
            number => Setting::Float(number.as_f64().unwrap()),
        };
        optimizer.set(name, setting).unwrap();
    }
    optimizer
}

/// All steps of a case.
fn check(case: &Case, engine: &Engine) -> Result<(), String> {
    let optimizer = optimizer_of(case);
    let (shape, param) = array(&case.inputs["param"]);
    let (_, grads) = array(&case.inputs["grads"]);
    let (_, want) = array(&case.expected["params"]);
    let mut param = engine.upload(&Tensor::new(&singles(&param), &shape).unwrap()).unwrap();
    let len = param.view().len() as usize;
    let mut state = State::default();
    for (step, (grad, want)) in grads.chunks(len).zip(want.chunks(len)).enumerate() {
        let grad = Tensor::new(&singles(grad), &shape).unwrap();
        param = optimizer
            .step(engine, &param, &grad, &mut state)
            .map_err(|e| e.to_string())?;
        let got = param.read::<f32>(engine).unwrap();
        F32.check(&format!("{} step {step}", case.id), &got, want)?;
    }
    Ok(())
}

fn all(engine: &Engine) {
    let cases = cases();
    assert_eq!(cases.len(), 42);
    let failures = cases.iter().filter_map(|case| check(case, engine).err());
    report(failures.collect(), cases.len());
}

#[test]
fn golden_cases_on_the_gpu() {
    all(gpu());
    all(hardware());
}

#[test]
fn golden_cases_on_the_reference() {
    all(&Engine::cpu());
}

/// The harness notices: an option changed must not pass for the case.
#[test]
fn a_wrong_option_is_noticed() {
    for (id, name, value) in [
        ("sgd/02-momentum0.9-dampening0.1", "dampening", 0.11),
        ("adam/02-eps1e-08-weight_decay0.05", "weight_decay", 0.06),
        ("adamw/02-eps1e-08-weight_decay0.05", "lr", 0.0101),
    ] {
        let mut case = cases().into_iter().find(|case| case.id == id).unwrap();
        assert!(check(&case, gpu()).is_ok());
        case.params.insert(name.into(), value.into());
        assert!(check(&case, gpu()).is_err(), "{id}");
    }
}

/// Every option that changes code.
fn optimizers() -> Vec<Box<dyn Optimizer>> {
    let mut list: Vec<Box<dyn Optimizer>> = Vec::new();
    for bits in 0..8 {
        let [maximize, decays, more] = [1, 2, 4].map(|bit| bits & bit != 0);
        let weight_decay = if decays { 0.05 } else { 0.0 };
        for momentum in [0.0, 0.9] {
            list.push(Box::new(Sgd {
                lr: 0.1,
                momentum,
                weight_decay,
                nesterov: more && momentum > 0.0,
                maximize,
                ..Default::default()
            }));
        }
        list.push(Box::new(Adam {
            weight_decay,
            amsgrad: more,
            maximize,
            ..Default::default()
        }));
        list.push(Box::new(AdamW {
            weight_decay,
            amsgrad: more,
            maximize,
            ..Default::default()
        }));
    }
    list
}

const DTYPES: [(Dtype, Dtype); 5] = [
    (Dtype::F32, Dtype::F32),
    (Dtype::F16, Dtype::F16),
    (Dtype::F16, Dtype::F32),
    (Dtype::Bf16, Dtype::Bf16),
    (Dtype::Bf16, Dtype::F32),
];

/// Steps that bring up every shader.
pub fn updates() -> Vec<Update> {
    let mut list = Vec::new();
    for optimizer in optimizers() {
        for (dtype, grad) in DTYPES {
            for len in [70_000, 70_001] {
                let view = |dtype| View::contiguous(dtype, &[len]);
                list.push(optimizer.update(&view(dtype), &view(grad), &State::default()).unwrap());
            }
        }
    }
    list
}

fn floats(tensor: &Tensor, engine: &Engine) -> Vec<f32> {
    tensor.numbers(engine).unwrap().data
}

/// The place of a 16-bit float among those of its dtype.
fn rank(x: f32, dtype: Dtype) -> i32 {
    let bits = match dtype {
        Dtype::F16 => half::f16::from_f32(x).to_bits(),
        _ => half::bf16::from_f32(x).to_bits(),
    };
    let size = i32::from(bits & 0x7fff);
    if bits >> 15 == 1 { -size } else { size }
}

/// A state with its tensors on the host.
fn on_host(state: &State, engine: &Engine) -> State {
    let mut host = State::after(state.step);
    for (role, tensor) in state.tensors() {
        host.attach(*role, Tensor::new(&floats(tensor, engine), tensor.shape()).unwrap());
    }
    host
}

/// How many parameters of a step are not the reference's, all of them near enough: a 16-bit parameter is the number
/// rounded, and near the middle between two neighbours it may be the other one; near 0, where those lie closer than f32
/// errors of what is subtracted there, it keeps the tolerance of f32.
fn others(what: &str, dtype: Dtype, got: &[f32], want: &[f32]) -> Result<usize, String> {
    let wide: Vec<f64> = want.iter().map(|&x| x.into()).collect();
    if dtype == Dtype::F32 {
        return F32.check(what, got, &wide).map(|()| 0);
    }
    let apart = |(&g, &w): (&f32, &f32)| (rank(g, dtype) - rank(w, dtype)).abs();
    let far = got
        .iter()
        .zip(want)
        .map(|(g, w)| if apart((g, w)) > 1 { *g } else { *w });
    F32.check(what, &far.collect::<Vec<_>>(), &wide)?;
    Ok(got.iter().zip(want).filter(|&pair| apart(pair) > 0).count())
}

/// Each step of the GPU against one of the reference from the same numbers; the state is f32 and judged as such.
#[test]
fn sixteen_bit_parameters_are_the_references_rounded() {
    let cpu = Engine::cpu();
    let (mut failures, mut total, mut other) = (Vec::new(), 0, 0);
    let mut data = Data::new(31);
    for (n, optimizer) in optimizers().iter().enumerate() {
        let engine = if n % 2 == 0 { gpu() } else { hardware() };
        // Not all at each: pipelines take time.
        for (dtype, grad_dtype) in [DTYPES[n % 5], DTYPES[(n + 1) % 5]] {
            for len in [1usize, 2, 7, 1024, 20_001] {
                let what = format!("{optimizer:?} {dtype} {grad_dtype} {len}");
                let mut random = |dtype| Tensor::new(&data.logits(len), &[len]).unwrap().to_dtype(dtype).unwrap();
                let mut param = engine.upload(&random(dtype)).unwrap();
                let mut state = State::default();
                for _ in 0..3 {
                    let grad = random(grad_dtype);
                    let mut reference = on_host(&state, engine);
                    let start = Tensor::new(&floats(&param, engine), &[len])
                        .unwrap()
                        .to_dtype(dtype)
                        .unwrap();
                    let want = optimizer.step(&cpu, &start, &grad, &mut reference).unwrap();
                    param = optimizer.step(engine, &param, &grad, &mut state).unwrap();
                    match others(&what, dtype, &floats(&param, engine), &floats(&want, &cpu)) {
                        Ok(count) => other += count,
                        Err(message) => failures.push(message),
                    }
                    total += len;
                    assert_eq!(state.step, reference.step);
                    for (role, tensor) in reference.tensors() {
                        let want: Vec<f64> = floats(tensor, &cpu).iter().map(|&x| x.into()).collect();
                        let got = floats(state.get(*role).unwrap(), engine);
                        failures.extend(F32.check(&format!("{what} {}", role.name()), &got, &want).err());
                    }
                }
            }
        }
    }
    println!("{other} of {total} parameters are the other neighbour");
    report(failures, total);
    assert!(other * 10_000 < total, "{other} of {total}");
}

/// What PyTorch does where a number is none.
#[test]
fn nan_and_infinity_spread_as_in_pytorch() {
    let param = Tensor::new(&[1.0f32, 1.0, f32::INFINITY, 1.0], &[4]).unwrap();
    let grads = [[f32::NAN, f32::INFINITY, 1.0, 0.0], [1.0; 4]];
    let adam = Adam {
        amsgrad: true,
        ..Default::default()
    };
    for engine in [gpu(), &Engine::cpu()] {
        for optimizer in [&adam as &dyn Optimizer, &Sgd::default()] {
            let (mut param, mut state) = (engine.upload(&param).unwrap(), State::default());
            for grad in grads {
                let grad = Tensor::new(&grad, &[4]).unwrap();
                param = optimizer.step(engine, &param, &grad, &mut state).unwrap();
            }
            let got = floats(&param, engine);
            assert!(
                got[0].is_nan() && got[2] == f32::INFINITY && got[3] < 1.0,
                "{optimizer:?} {got:?}"
            );
            assert!(if optimizer.info().name == "sgd" {
                got[1] == f32::NEG_INFINITY
            } else {
                got[1].is_nan()
            });
            if let Some(peak) = state.get(Role::MaxExpAvgSq) {
                let peak = floats(peak, engine);
                assert!(
                    peak[0].is_nan() && peak[1] == f32::INFINITY && peak[3] > 0.0,
                    "{peak:?}"
                );
            }
        }
    }
}

fn bits(tensor: &Tensor, engine: &Engine) -> Vec<u32> {
    floats(tensor, engine).iter().map(|x| x.to_bits()).collect()
}

#[test]
fn cutting_changes_no_bit() {
    let cut = engine::cut(80 << 10);
    let mut data = Data::new(32);
    for (dtype, grad_dtype) in DTYPES {
        for len in [100_000usize, 100_003] {
            let mut random = |dtype| Tensor::new(&data.logits(len), &[len]).unwrap().to_dtype(dtype).unwrap();
            let (start, grads) = (random(dtype), [random(grad_dtype), random(grad_dtype)]);
            for optimizer in [
                &Sgd {
                    momentum: 0.9,
                    ..Default::default()
                } as &dyn Optimizer,
                &AdamW {
                    amsgrad: true,
                    ..Default::default()
                },
            ] {
                let update = optimizer
                    .update(start.view(), grads[0].view(), &State::default())
                    .unwrap();
                let plan = plan_update(&update, &cut.plan_limits().unwrap(), &Tuning::SOFTWARE).unwrap();
                assert!(plan.steps.len() > 5, "{} steps", plan.steps.len());
                let run = |engine: &Engine| {
                    let (mut param, mut state) = (engine.upload(&start).unwrap(), State::default());
                    for grad in &grads {
                        param = optimizer.step(engine, &param, grad, &mut state).unwrap();
                    }
                    let mut all = bits(&param, engine);
                    all.extend(state.tensors().iter().flat_map(|(_, tensor)| bits(tensor, engine)));
                    all
                };
                assert!(run(gpu()) == run(&cut), "{optimizer:?} {dtype} {grad_dtype} {len}");
            }
        }
    }
}

/// Bindings of 128 KiB, where a tile has up to 64.
const INVENTED: Limits = Limits {
    max_binding_bytes: 128 << 10,
    max_buffer_bytes: 1 << 40,
    max_dispatch_bytes: 1 << 30,
    offset_alignment: 32,
    uniform_alignment: 256,
    max_groups: 3,
    max_width: 256,
    subgroup: 1,
};

/// Chunks keep the limits and cover every element once; nothing here is computed.
#[test]
fn plans_keep_invented_limits() {
    let limits = INVENTED;
    for update in updates() {
        for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
            let plan = plan_update(&update, &limits, &tuning).unwrap();
            let (mut tile, mut end) = (0, 0);
            for dispatch in plan.dispatches() {
                assert_eq!(dispatch.tiles.0, tile);
                tile = dispatch.tiles.1;
                let [x, y] = dispatch.groups;
                assert!(
                    x <= limits.max_groups && y <= limits.max_groups && u64::from(x * y) >= tile - dispatch.tiles.0
                );
                assert!(dispatch.iterations < MAX_ITERATIONS);
                for own in &dispatch.bindings {
                    assert!(own.size <= limits.max_binding_bytes && own.offset.is_multiple_of(limits.offset_alignment));
                    if own.source == Source::Tensor(Role::Param) {
                        end = own.offset + own.size;
                    }
                }
            }
            assert_eq!(tile, update.param.len().div_ceil(u64::from(tuning.tile)));
            assert_eq!(end, update.param.end().next_multiple_of(4));
        }
    }
    let tiny = Limits {
        max_binding_bytes: 1 << 10,
        ..limits
    };
    let error = plan_update(&updates()[0], &tiny, &Tuning::SOFTWARE).unwrap_err();
    assert!(error.to_string().contains("does not fit into one binding"), "{error}");
}

/// Two variants of one label would be told apart by nobody.
#[test]
fn labels_tell_variants_apart() {
    let mut seen: HashMap<String, Dispatch> = HashMap::new();
    for update in updates() {
        let plan = plan_update(&update, &INVENTED, &Tuning::SOFTWARE).unwrap();
        for dispatch in plan.dispatches() {
            let old = seen.insert(dispatch.variant.label.clone(), dispatch.clone());
            assert!(
                old.is_none_or(|old| old.variant == dispatch.variant),
                "{}",
                dispatch.variant.label
            );
        }
    }
    let names: BTreeSet<_> = seen
        .keys()
        .map(|label| label.split('/').next().unwrap().to_string())
        .collect();
    assert!(OPTIMIZERS.iter().all(|info| names.contains(info.name)));
}

/// Windows of the user's buffers, at odd places, updated in place: nothing around them changes. Two steps in one encoder
/// are two steps.
#[test]
fn windows_of_the_users_buffers_are_updated_in_place() {
    let engine = gpu();
    let (device, queue) = engine.wgpu().unwrap();
    let buffer = |bytes: &[u8]| {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        queue.write_buffer(&buffer, 0, bytes);
        buffer
    };
    let mut data = Data::new(33);
    for (skip, len) in [(3usize, 1001usize), (1, 4), (8, 1000), (0, 3)] {
        let half = |data: Vec<f32>| data.into_iter().map(half::bf16::from_f32).collect::<Vec<_>>();
        let (start, grad) = (half(data.logits(len)), half(data.logits(len)));
        let sentinel = half::bf16::from_f32(-7.0);
        let mut padded = vec![sentinel; (skip + len + 5).next_multiple_of(2)];
        let all = padded.len();
        padded[skip..skip + len].copy_from_slice(&start);
        let whole = buffer(bytemuck::cast_slice(&padded));
        let window = Tensor::from_buffer(whole.clone(), 2 * skip as u64, Dtype::Bf16, &[len], None).unwrap();
        let dense = engine.upload(&Tensor::new(&start, &[len]).unwrap()).unwrap();
        let grad = engine.upload(&Tensor::new(&grad, &[len]).unwrap()).unwrap();

        let optimizer = AdamW::default();
        let (mut state, mut recorded) = (State::default(), State::default());
        let mut encoder = device.create_command_encoder(&Default::default());
        for _ in 0..2 {
            optimizer.step(engine, &dense, &grad, &mut state).unwrap();
            let same = optimizer
                .encode(engine, &mut encoder, &window, &grad, &mut recorded)
                .unwrap();
            assert_eq!(same.buffer(), Some(&whole));
        }
        queue.submit([encoder.finish()]);
        assert_eq!(bits(&window, engine), bits(&dense, engine), "{skip} {len}");
        assert_ne!(dense.read::<half::bf16>(engine).unwrap(), start);
        assert_eq!((state.step, recorded.step), (2, 2));
        for (role, tensor) in state.tensors() {
            assert_eq!(bits(tensor, engine), bits(recorded.get(*role).unwrap(), engine));
        }
        let around = Tensor::from_buffer(whole, 0, Dtype::Bf16, &[all], None).unwrap();
        let mut around = around.read::<half::bf16>(engine).unwrap();
        around.drain(skip..skip + len);
        assert!(around.iter().all(|&x| x == sentinel), "{skip} {len}");
    }
}

/// A host tensor stays as it is; no elements, one without dimensions and a state from the host are fine.
#[test]
fn host_tensors_and_small_shapes() {
    for engine in [gpu(), &Engine::cpu()] {
        for shape in [&[][..], &[0], &[2, 0, 3], &[1, 1]] {
            let len = shape.iter().product();
            let (param, grad) = (vec![1.0f32; len], vec![0.5f32; len]);
            let (param, grad) = (Tensor::new(&param, shape).unwrap(), Tensor::new(&grad, shape).unwrap());
            let sgd = Sgd {
                lr: 0.5,
                momentum: 0.5,
                dampening: 0.5,
                ..Default::default()
            };
            let mut state = State::default();
            let once = sgd.step(engine, &param, &grad, &mut state).unwrap();
            assert_eq!(
                floats(&once, engine),
                vec![0.75; len],
                "the buffer begins as the gradient"
            );
            let mut host = on_host(&state, engine);
            let twice = sgd.step(engine, &once, &grad, &mut host).unwrap();
            assert_eq!(floats(&twice, engine), vec![0.5; len]);
            assert_eq!((twice.shape(), host.step), (shape, 2));
            assert_eq!(param.as_slice::<f32>().unwrap(), vec![1.0; len]);
        }
    }
}

#[test]
fn options_outside_their_domain_are_refused() {
    let refused = |name: &str, option: &str, setting: Setting, wanted: &str| {
        let mut optimizer = (optim::find(name).unwrap().new)();
        optimizer.set(option, setting).unwrap();
        let message = optimizer.check().unwrap_err().to_string();
        assert!(message.starts_with(wanted), "{message}");
    };
    for info in OPTIMIZERS {
        assert!((info.new)().check().is_ok());
        for option in info
            .options
            .iter()
            .filter(|option| matches!((option.default)(), Setting::Float(_)))
        {
            for value in [f64::NAN, f64::INFINITY, -1.0] {
                if option.name != "dampening" || !value.is_finite() {
                    refused(info.name, option.name, Setting::Float(value), option.name);
                }
            }
        }
        let mut optimizer = (info.new)();
        assert!(optimizer.set("lr", Setting::Bool(true)).is_err());
        assert!(optimizer.set("learning_rate", Setting::Float(0.1)).is_err());
    }
    for betas in [(1.0, 0.9), (0.9, -0.1), (0.9, f64::NAN)] {
        refused("adam", "betas", Setting::Pair(betas.0, betas.1), "betas: ");
    }
    refused("sgd", "nesterov", Setting::Bool(true), "nesterov: needs momentum");
}

#[test]
fn wrong_tensors_are_refused() {
    let ones = |shape: &[usize]| Tensor::new(&vec![1.0f32; shape.iter().product()], shape).unwrap();
    let with = |role: Role, tensor: Tensor| {
        let mut state = State::default();
        state.attach(role, tensor);
        state
    };
    let half = ones(&[2, 3]).to_dtype(Dtype::F16).unwrap();
    let amsgrad = Adam {
        amsgrad: true,
        ..Default::default()
    };
    let mut late = State::after(3);
    late.attach(Role::ExpAvg, ones(&[2, 3]));
    late.attach(Role::ExpAvgSq, ones(&[2, 3]));
    let fresh = State::default();
    let cases: [(&dyn Optimizer, Tensor, Tensor, &State, &str); 6] = [
        (
            &Adam::default(),
            ones(&[2, 3]),
            ones(&[3, 2]),
            &fresh,
            "grad: expected shape [2, 3]",
        ),
        (
            &Adam::default(),
            ones(&[2, 3]),
            half.clone(),
            &fresh,
            "grad: expected dtype f32",
        ),
        (
            &Adam::default(),
            Tensor::new(&[1i64], &[1]).unwrap(),
            ones(&[1]),
            &fresh,
            "param: expected dtype",
        ),
        (
            &Adam::default(),
            ones(&[2]),
            ones(&[2]),
            &with(Role::ExpAvg, ones(&[3])),
            "exp_avg: expected shape [2]",
        ),
        (
            &Sgd::default(),
            ones(&[2]),
            ones(&[2]),
            &with(Role::ExpAvg, ones(&[2])),
            "exp_avg: is no state of sgd",
        ),
        (
            &amsgrad,
            ones(&[2, 3]),
            ones(&[2, 3]),
            &late,
            "max_exp_avg_sq: is missing",
        ),
    ];
    for engine in [gpu(), &Engine::cpu()] {
        for (optimizer, param, grad, state, wanted) in &cases {
            let mut state = (*state).clone();
            let before = (state.step, state.tensors().len());
            let message = optimizer.step(engine, param, grad, &mut state).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{message}");
            assert_eq!((state.step, state.tensors().len()), before);
        }
    }
    // Without the option, the same state is taken.
    assert!(
        Adam::default()
            .step(gpu(), &ones(&[2, 3]), &ones(&[2, 3]), &mut late)
            .is_ok()
    );

    let shared = gpu().upload(&ones(&[4])).unwrap();
    let error = Sgd::default()
        .step(gpu(), &shared, &shared, &mut State::default())
        .unwrap_err();
    assert!(
        error.to_string().starts_with("grad: lies in the same buffer as param"),
        "{error}"
    );
    let error = Sgd::default()
        .step(&Engine::cpu(), &shared, &ones(&[4]), &mut State::default())
        .unwrap_err();
    assert!(error.to_string().starts_with("param: is on a device"), "{error}");
    let buffer = shared.buffer().unwrap().clone();
    let gaps = Tensor::from_buffer(buffer, 0, Dtype::F32, &[2, 1], Some(2)).unwrap();
    let error = Sgd::default()
        .step(gpu(), &gaps, &ones(&[2, 1]), &mut State::default())
        .unwrap_err();
    assert!(
        error.to_string().starts_with("param: has rows 2 elements apart"),
        "{error}"
    );
}
