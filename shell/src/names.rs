//! The names of losses as a command line has them, and slips of a finger.

use wgloss::optim::{self, OPTIMIZERS};
use wgloss::{REGISTRY, find, find_preset};

use crate::args::dashed;

/// Our word for a loss or a preset of one.
pub fn loss(name: &str) -> Result<String, String> {
    let own = find(name).map(|info| dashed(info.name));
    let own = own.or_else(|| find_preset(name).map(|(_, preset)| preset.name.to_owned()));
    own.ok_or_else(|| {
        let presets = |info: &wgloss::Info| info.presets.iter().map(|own| own.name);
        let all = REGISTRY.iter().flat_map(|info| info.names().chain(presets(info)));
        format!(
            "there is no loss {name:?}{}; `wgloss losses` lists those that there are",
            meant(name, all)
        )
    })
}

/// The same, or our word for an optimizer.
pub fn loss_or_optimizer(name: &str) -> Result<String, String> {
    match optim::find(name) {
        Some(info) => Ok(info.name.to_owned()),
        None => loss(name).map_err(|message| {
            let all: Vec<&str> = OPTIMIZERS.iter().map(|info| info.name).collect();
            format!("{message}, and the optimizers are {}", all.join(", "))
        }),
    }
}

/// The one of these that was meant, where there is little doubt.
fn meant<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> String {
    let found = all.into_iter().find(|own| is_slip(name, own));
    found.map_or(String::new(), |own| format!(" (did you mean {own}?)"))
}

/// Words that are a slip of a finger apart. What is further off, short, or differs in a digit (`input1`, `input2`) is
/// another thing, which would compute something else.
pub fn is_slip(a: &str, b: &str) -> bool {
    let plain = |word: &str| word.trim_start_matches('-').replace('-', "_").to_ascii_lowercase();
    let digits = |word: &str| word.chars().filter(char::is_ascii_digit).collect::<String>();
    let (a, b) = (plain(a), plain(b));
    a.len().min(b.len()) >= 5 && digits(&a) == digits(&b) && strsim::osa_distance(&a, &b) == 1
}
