//! The golden cases, on the GPU and on the processor.

use std::collections::HashMap;

use safetensors::SafeTensors;
use serde::Deserialize;
use wgloss::optim::{self, Setting, State};
use wgloss::{Engine, Optimizer, Tensor, Tuning};

use crate::common::{F32, engine, gpu, report};

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub struct Case {
    pub id: String,
    pub loss: String,
    pub params: HashMap<String, serde_json::Value>,
    pub inputs: HashMap<String, Entry>,
    pub expected: HashMap<String, Entry>,
}

#[derive(Deserialize)]
pub struct Entry {
    file: String,
    key: String,
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

fn cases() -> Vec<Case> {
    cases_in("optimizers.json")
}

/// Those of clipping.
pub fn clips() -> Vec<Case> {
    cases_in("clips.json")
}

fn cases_in(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(format!("{FOLDER}/{file}")).unwrap();
    let manifest: Manifest = serde_json::from_str(&text).unwrap();
    manifest.cases
}

/// Shape and numbers of an array of the corpus.
pub fn array(entry: &Entry) -> (Vec<usize>, Vec<f64>) {
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

pub fn singles(data: &[f64]) -> Vec<f32> {
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
    assert_eq!(cases.len(), 49);
    let failures = cases.iter().filter_map(|case| check(case, engine).err());
    report(failures.collect(), cases.len());
}

#[test]
fn golden_cases_on_the_gpu() {
    all(&engine::fresh());
    all(&engine::passing_tuned(Tuning::HARDWARE));
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
        ("adagrad/01-lr_decay0.1", "lr_decay", 0.11),
        ("adagrad/00-plain", "initial_accumulator_value", 0.01),
    ] {
        let mut case = cases().into_iter().find(|case| case.id == id).unwrap();
        assert!(check(&case, gpu()).is_ok());
        case.params.insert(name.into(), value.into());
        assert!(check(&case, gpu()).is_err(), "{id}");
    }
}
