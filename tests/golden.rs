//! Every golden case of these losses, computed by PyTorch in float64, on the GPU and on the reference; loss and
//! gradients, in one fused call and in single ones. `tests/golden/data` holds the cases.

use std::collections::HashMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use serde::Deserialize;
use wgloss::{Call, Engine, Error, GradTo, Loss, Mode, ReduceOp, Reduction, Scalar, ScalarKind, Tensor};

use crate::common::{F32, gpu, report};
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
    files: HashMap<String, Vec<u8>>,
}

impl Corpus {
    pub fn load() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data");
        let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
        let manifest: Manifest = serde_json::from_str(&text).unwrap();
        let mut files = HashMap::new();
        for case in &manifest.cases {
            for entry in case.inputs.values().chain(case.expected.values()) {
                files
                    .entry(entry.file.clone())
                    .or_insert_with(|| std::fs::read(folder.join(&entry.file)).unwrap());
            }
        }
        Self {
            cases: manifest.cases,
            files,
        }
    }

    fn tensor(&self, entry: &Entry) -> Tensor {
        let file = SafeTensors::deserialize(&self.files[&entry.file]).unwrap();
        let view = file.tensor(&entry.key).unwrap();
        match view.dtype() {
            safetensors::Dtype::F32 => Tensor::new(&to_vec::<f32>(view.data()), view.shape()).unwrap(),
            safetensors::Dtype::I64 => Tensor::new(&to_vec::<i64>(view.data()), view.shape()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What the corpus expects of an output, by its name in the manifest.
    pub fn expected(&self, case: &Case, output: &str) -> Vec<f64> {
        let entry = &case.expected[output];
        let file = SafeTensors::deserialize(&self.files[&entry.file]).unwrap();
        let view = file.tensor(&entry.key).unwrap();
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

/// The loss of a case with its options.
pub fn loss_of(corpus: &Corpus, case: &Case) -> Box<dyn Loss> {
    let info = wgloss::find(&case.loss).unwrap();
    let mut loss = (info.new)();
    loss.set_reduction(case.params["reduction"].as_str().unwrap().parse::<Reduction>().unwrap());
    for option in info.options {
        if let Some(value) = case.params.get(option.name) {
            let value = match option.kind {
                ScalarKind::Float => Scalar::Float(value.as_f64().unwrap()),
                ScalarKind::Int => Scalar::Int(value.as_i64().unwrap()),
            };
            loss.set(option.name, value).unwrap();
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
    let (input, target) = (
        corpus.tensor(&case.inputs["input"]),
        corpus.tensor(&case.inputs["target"]),
    );
    let grad_output = case.inputs.get("grad_output").map(|entry| corpus.tensor(entry));
    let call = Call {
        grad_output: grad_output.as_ref(),
        grad_input: GradTo::New,
        grad_target: mode.wants_grad() && case.expected.contains_key("grad_target"),
        ..Call::new(mode, &input, &target)
    };
    let values = loss
        .run(engine, &call)
        .and_then(|output| output.read(engine))
        .map_err(|error: Error| format!("{} {}: {error}", case.id, mode.name()))?;
    let outputs = [
        ("loss", &values.loss),
        ("grad_input", &values.grad_input),
        ("grad_target", &values.grad_target),
    ];
    for (name, array) in outputs {
        let Some(array) = array else {
            continue;
        };
        let want = deviations::apply(case, name, corpus.expected(case, name));
        F32.check(&format!("{} {} {name}", case.id, mode.name()), &array.data, &want)?;
    }
    Ok(())
}

fn all_losses(engine: &Engine) {
    let corpus = Corpus::load();
    let mut failures = Vec::new();
    let mut total = 0;
    for case in corpus.cases.iter().filter(|case| case.loss != "reduce") {
        for mode in Mode::ALL {
            total += 1;
            failures.extend(check(&corpus, case, engine, mode).err());
        }
    }
    assert_eq!(total, 3 * 699, "the corpus has changed");
    report(failures, total);
}

#[test]
fn losses_on_the_gpu() {
    all_losses(gpu());
}

#[test]
fn losses_on_the_reference() {
    all_losses(&Engine::cpu());
}

fn all_reductions(engine: &Engine) {
    let corpus = Corpus::load();
    let mut failures = Vec::new();
    let mut total = 0;
    for case in corpus.cases.iter().filter(|case| case.loss == "reduce") {
        let name = case.params["op"].as_str().unwrap();
        let op = ReduceOp::ALL.into_iter().find(|op| op.name() == name).unwrap();
        let input = corpus.tensor(&case.inputs["input"]);
        let output = wgloss::reduce(engine, op, &input).unwrap();
        assert_eq!(output.shape(), [0usize; 0]);
        let want = corpus.expected(case, "output");
        total += 1;
        if op == ReduceOp::Argmax {
            let got = output.read::<i64>(engine).unwrap();
            if got[0] as f64 != want[0] {
                failures.push(format!("{}: {} instead of {}", case.id, got[0], want[0]));
            }
        } else {
            failures.extend(F32.check(&case.id, &output.read::<f32>(engine).unwrap(), &want).err());
        }
    }
    assert_eq!(total, 49, "the corpus has changed");
    report(failures, total);
}

#[test]
fn reductions_on_the_gpu() {
    all_reductions(gpu());
}

#[test]
fn reductions_on_the_reference() {
    all_reductions(&Engine::cpu());
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
