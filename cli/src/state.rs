//! An optimizer's state in a .safetensors file: the count of steps, and a tensor under each of PyTorch's names.

use std::path::Path;

use wgloss::optim::{Info, State};
use wgloss::{Dtype, Engine, Sink};
use wgloss_shell::draft::Draft;
use wgloss_shell::numbers;
use wgloss_shell::source::ArrayFile;
use wgloss_shell::{Failure, files, keyed};

use crate::output;
use crate::parts::Stored;

/// The key of the step count in a state file.
pub const STEP: &str = "step";

/// Reads a state. What there is to be said of it is added to the notes.
pub fn read(file: &Path, info: &Info, notes: &mut Vec<String>) -> Result<State, String> {
    let role_of = |key: &str| info.states.iter().copied().find(|role| role.name() == key);
    let open = |key: &str| {
        let mut keyed = file.as_os_str().to_owned();
        keyed.push(":");
        keyed.push(key);
        files::open(&keyed)
    };
    let keys = files::keys(file)?;
    let mut state = State::default();
    if keys.iter().any(|key| key == STEP) {
        state = State::after(count(&open(STEP)?)?);
    } else if info.counts_steps {
        return Err(format!(
            "has no key {STEP:?}, and {} needs the count of the steps taken; add it as one number; its keys: {}",
            info.name,
            keys.join(", ")
        ));
    } else {
        notes.push(format!(
            "{} has no {STEP}, which {} does not need: this run is counted as step 1",
            file.display(),
            info.name
        ));
    }
    for key in keys.iter().filter(|key| *key != STEP) {
        let role = role_of(key).ok_or_else(|| {
            let names: Vec<&str> = info.states.iter().map(|role| role.name()).collect();
            let (name, names) = (info.name, names.join(", "));
            format!("has a key {key:?}, which is no state of {name}: that has {STEP}, {names}")
        })?;
        let source = open(key)?;
        if source.stored() == numbers::Dtype::F64 {
            notes.push(format!(
                "{key} ({}) is f64 in its file: it is rounded to f32, in which states are kept",
                file.display()
            ));
        }
        state.attach(role, source.into_dtype(Dtype::F32).read_whole()?);
    }
    Ok(state)
}

/// PyTorch has it as a float.
fn count(source: &ArrayFile) -> Result<u64, String> {
    source.count().map_err(|other| {
        format!(
            "{STEP} is {other}, expected one whole number from 0 to {}",
            State::MAX_STEP
        )
    })
}

/// The state as a file to be published.
pub fn write(path: &Path, state: &State, engine: &Engine) -> Result<Draft, Failure> {
    let label = format!("--state-out {}", path.display());
    let failed = |why: String| Failure::Failed(format!("{label}: {why}"));
    let mut arrays = Vec::new();
    for (role, tensor) in state.tensors() {
        arrays.push((role.name(), tensor.numbers(engine)?));
    }
    let count = i64::try_from(state.step()).map_err(|_| failed(format!("{} steps are beyond i64", state.step())))?;
    let count = Stored {
        dtype: Dtype::I64,
        shape: &[],
        bytes: count.to_le_bytes().to_vec().into(),
    };
    let mut list = vec![(STEP, count)];
    list.extend(arrays.iter().map(|(key, array)| (*key, Stored::floats(array))));

    let header: Vec<_> = list
        .iter()
        .map(|(key, own)| (*key, own.dtype.into(), own.shape))
        .collect();
    let header = keyed::header(&header).map_err(failed)?;
    let length = list.iter().map(|(_, own)| own.bytes.len() as u64).sum();
    let mut draft = Draft::new(label, path, &header, length).map_err(Failure::Failed)?;
    let mut at = 0;
    for (_, own) in &list {
        draft.write_at(at, &own.bytes).map_err(output::failed)?;
        at += own.bytes.len() as u64;
    }
    Ok(draft)
}
