//! Every golden case of the losses, computed by PyTorch in float64, on the GPU and on the reference; loss and
//! gradients, in one fused call and in single ones. `tests/golden/data` holds the cases.

use std::collections::HashMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use serde::Deserialize;
use wgloss::{Call, Engine, Error, Loss, Mode, Reduction, Role, Scalar, ScalarKind, Stats, Tensor};

use crate::common::{F32, engine, gpu, report, takes};
use crate::deviations;

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

#[derive(Clone, Deserialize)]
pub struct Case {
    pub id: String,
    pub loss: String,
    pub params: HashMap<String, serde_json::Value>,
    inputs: HashMap<String, Entry>,
    expected: HashMap<String, Entry>,
}

#[derive(Clone, Deserialize)]
struct Entry {
    file: String,
    key: String,
}

pub struct Corpus {
    pub cases: Vec<Case>,
    files: HashMap<String, SafeTensors<'static>>,
}

impl Corpus {
    pub fn load() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data");
        let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
        let manifest: Manifest = serde_json::from_str(&text).unwrap();
        let mut files = HashMap::new();
        for case in &manifest.cases {
            for entry in case.inputs.values().chain(case.expected.values()) {
                // To the end of the process: what a file's tensors are is read once.
                files.entry(entry.file.clone()).or_insert_with(|| {
                    let bytes = std::fs::read(folder.join(&entry.file)).unwrap();
                    SafeTensors::deserialize(bytes.leak()).unwrap()
                });
            }
        }
        Self {
            cases: manifest.cases,
            files,
        }
    }

    fn tensor(&self, entry: &Entry) -> Tensor {
        let view = self.files[&entry.file].tensor(&entry.key).unwrap();
        match view.dtype() {
            safetensors::Dtype::F32 => Tensor::new(&to_vec::<f32>(view.data()), view.shape()).unwrap(),
            safetensors::Dtype::I64 => Tensor::new(&to_vec::<i64>(view.data()), view.shape()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What the corpus expects of an output, by its name in the manifest.
    pub fn expected(&self, case: &Case, output: &str) -> Vec<f64> {
        let entry = &case.expected[output];
        let view = self.files[&entry.file].tensor(&entry.key).unwrap();
        match view.dtype() {
            safetensors::Dtype::F64 => to_vec::<f64>(view.data()),
            safetensors::Dtype::I64 => to_vec::<i64>(view.data()).iter().map(|&x| x as f64).collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn to_vec<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
    bytemuck::pod_collect_to_vec(bytes)
}

/// The loss of a case with its options. Some groups of the corpus are options of a loss that has another name.
pub fn loss_of(corpus: &Corpus, case: &Case) -> Box<dyn Loss> {
    let name = match case.loss.as_str() {
        "cross_entropy_z_loss" | "cross_entropy_softcap" | "cross_entropy_statistics" => "cross_entropy",
        "linear_cross_entropy_more" => "linear_cross_entropy",
        "reduce_dims" => "reduce",
        "gaussian_nll_var" => "gaussian_nll",
        own => own,
    };
    let info = wgloss::find(name).unwrap_or_else(|| panic!("{name}"));
    let mut loss = (info.new)();
    if let Some(reduction) = case.params.get("reduction") {
        loss.set_reduction(reduction.as_str().unwrap().parse::<Reduction>().unwrap());
    }
    for (name, value) in &case.params {
        if let Some(option) = info.options.iter().find(|option| option.name == name) {
            let value = match option.kind {
                _ if value.is_null() => continue,
                ScalarKind::Float => Scalar::Float(value.as_f64().unwrap()),
                ScalarKind::Int => Scalar::Int(value.as_i64().unwrap()),
                ScalarKind::Ints if value.is_i64() => Scalar::Int(value.as_i64().unwrap()),
                ScalarKind::Ints => Scalar::Ints(serde_json::from_value(value.clone()).unwrap()),
                ScalarKind::Bool => Scalar::Bool(value.as_bool().unwrap()),
                ScalarKind::Choice(_) => Scalar::Choice(value.as_str().unwrap().into()),
            };
            loss.set(option.name, &value).unwrap();
        } else {
            assert_eq!(name, "reduction", "{}: an option that {} lacks", case.id, info.name);
        }
    }
    for tensor in info.tensors {
        if let Some(entry) = case.inputs.get(tensor.role.name()) {
            loss.attach(tensor.role, corpus.tensor(entry)).unwrap();
        }
    }
    loss
}

/// Runs a case and compares what the corpus knows of it.
fn check(corpus: &Corpus, case: &Case, engine: &Engine, mode: Mode) -> Result<(), String> {
    let loss = loss_of(corpus, case);
    let (info, operands) = (loss.info(), loss.info().operands);
    let tensors: Vec<Tensor> = operands
        .iter()
        .map(|own| corpus.tensor(&case.inputs[own.role.name()]))
        .collect();
    let upstream = |name| case.inputs.get(name).map(|entry| corpus.tensor(entry));
    let grad_output = upstream("grad_output");
    // Of statistics, in a call that has gradients.
    let of_stats = ["grad_lse", "grad_entropy"].map(|name| upstream(name).filter(|_| mode.wants_grad()));
    let expects = |role: &Role| case.expected.contains_key(&format!("grad_{}", role.name()));
    let call = Call {
        grad_output: grad_output.as_ref(),
        grad_lse: of_stats[0].as_ref(),
        grad_entropy: of_stats[1].as_ref(),
        stats: Stats {
            lse: case.expected.contains_key("lse"),
            entropy: case.expected.contains_key("entropy"),
            ..Default::default()
        },
        grads: info.graded().map(|(_, role)| role).filter(expects).collect(),
        ..Call::new(mode, &tensors.iter().collect::<Vec<_>>())
    };
    let values = loss
        .run(engine, &call)
        .and_then(|output| output.read(engine))
        .map_err(|error: Error| format!("{} {}: {error}", case.id, mode.name()))?;
    let result = if case.expected.contains_key("output") {
        "output"
    } else {
        "loss"
    };
    let mut outputs = vec![(result.to_string(), &values.loss), ("z_loss".into(), &values.z_loss)];
    outputs.extend([("lse".into(), &values.lse), ("entropy".into(), &values.entropy)]);
    outputs.push((format!("grad_{}", operands[0].role.name()), &values.grad_input));
    let grads: Vec<_> = values
        .grads
        .iter()
        .map(|(role, grad)| (*role, Some(grad.clone())))
        .collect();
    outputs.extend(grads.iter().map(|(role, grad)| (format!("grad_{}", role.name()), grad)));
    let mut seen = 0;
    for (name, array) in outputs {
        let Some(array) = array else {
            continue;
        };
        // Of the linear cross-entropy the corpus has the z-loss inside the loss alone.
        if name == "z_loss" && case.loss == "linear_cross_entropy_more" {
            continue;
        }
        let want = deviations::apply(case, &name, corpus.expected(case, &name));
        F32.check(&format!("{} {} {name}", case.id, mode.name()), &array.data, &want)?;
        seen += 1;
    }
    if let Some(argmax) = &values.argmax {
        let got: Vec<f64> = argmax.data.iter().map(|&i| i as f64).collect();
        if got != corpus.expected(case, result) {
            return Err(format!("{}: {got:?}", case.id));
        }
        seen += 1;
    }
    // In a fused call, all that the corpus knows has been compared.
    if mode == Mode::Fused && seen != case.expected.len() {
        return Err(format!("{}: {seen} of {} outputs", case.id, case.expected.len()));
    }
    Ok(())
}

/// In one fused call and in single ones. In the quick form on a GPU, of losses with many cases one in three, and one in
/// forty in single calls.
fn all(open: impl Fn() -> Engine) {
    let corpus = Corpus::load();
    let mut failures = Vec::new();
    let mut total = 0;
    let mut numbered: Vec<(usize, &Case)> = corpus.cases.iter().enumerate().collect();
    numbered.sort_by_key(|(_, case)| &case.loss);
    // An engine for each loss: its pipelines go with it.
    for cases in numbered.chunk_by(|(_, a), (_, b)| a.loss == b.loss) {
        let engine = open();
        for &(n, case) in cases {
            let has_grad = case.expected.keys().any(|name| name.starts_with("grad"));
            let most = if has_grad { Mode::Fused } else { Mode::Forward };
            for (m, mode) in Mode::ALL.into_iter().enumerate() {
                // An arg-max has no gradient.
                let exists = has_grad || mode == Mode::Forward;
                let every = if mode == most && cases.len() < 60 {
                    1
                } else if mode == most {
                    3
                } else {
                    40
                };
                if exists && (engine.wgpu().is_none() || takes(n + 2 * m, every)) {
                    total += 1;
                    failures.extend(check(&corpus, case, &engine, mode).err());
                }
            }
        }
    }
    assert_eq!(corpus.cases.len(), CASES, "the corpus has changed");
    report(failures, total);
}

/// All of the corpus but CTC and the optimizers.
const CASES: usize = 2067;

#[test]
fn on_the_gpu() {
    all(engine::fresh);
}

#[test]
fn on_the_reference() {
    all(Engine::cpu);
}

/// The harness notices: a loss with one option changed must not pass for the case.
#[test]
fn a_wrong_option_is_noticed() {
    let corpus = Corpus::load();
    let case = corpus
        .cases
        .iter()
        .find(|case| case.id == "cross_entropy/NC-index-mean-ls0.1")
        .unwrap();
    let mut wrong = case.clone();
    wrong.params.insert("label_smoothing".into(), 0.101.into());
    assert!(check(&corpus, case, gpu(), Mode::Fused).is_ok());
    assert!(check(&corpus, &wrong, gpu(), Mode::Forward).is_err());
    assert!(check(&corpus, &wrong, gpu(), Mode::Backward).is_err());
}
