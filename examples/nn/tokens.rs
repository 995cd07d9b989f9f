//! Files of logits as a language model would leave them.

use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use wgloss::Sink;
use wgloss_shell::draft::{self, Draft};
use wgloss_shell::numbers::Dtype;
use wgloss_shell::{Failure, npy};

use super::Done;

/// A whole .npy file, of rows that come one after the other.
fn write<T: bytemuck::Pod>(place: &Path, dtype: Dtype, shape: &[usize], rows: impl Iterator<Item = Vec<T>>) -> Done {
    let header = npy::header(dtype, shape).map_err(Failure::Failed)?;
    let length = (shape.iter().product::<usize>() * dtype.bytes()) as u64;
    let mut draft = Draft::new(place.display().to_string(), place, &header, length).map_err(Failure::Failed)?;
    let mut at = 0;
    for row in rows {
        let bytes: &[u8] = bytemuck::cast_slice(&row);
        draft
            .write_at(at, bytes)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        at += bytes.len() as u64;
    }
    draft::publish(vec![draft])
}

/// `logits.npy` of (tokens, words) and `targets.npy`, the words that come next, of a model that knows something: the
/// logits of these are 6 larger than at random.
pub fn make(folder: &Path, seed: u64, tokens: usize, words: usize) -> Done {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let next: Vec<i64> = (0..tokens).map(|_| random.random_range(0..words as i64)).collect();
    let rows = next.iter().map(|&next| {
        let mut row: Vec<f32> = (0..words).map(|_| random.random_range(-3.0..3.0)).collect();
        row[next as usize] += 6.0;
        row
    });
    write(&folder.join("logits.npy"), Dtype::F32, &[tokens, words], rows)?;
    write(
        &folder.join("targets.npy"),
        Dtype::I64,
        &[tokens],
        std::iter::once(next.clone()),
    )
}
