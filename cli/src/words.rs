//! The words of a command line: PyTorch's names taken as ours, and what is said of those that there are not.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use wgloss::optim::{self, OPTIMIZERS};
use wgloss_shell::{Failure, names};

use crate::args::{dashed, joined};

/// The arguments of the process, in the words that clap knows.
pub fn given() -> Result<Vec<OsString>, Failure> {
    renamed(joined(with_dashes(std::env::args_os())))
}

/// `--label_smoothing`, as PyTorch writes it, becomes `--label-smoothing`.
fn with_dashes(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut is_option = true;
    words.map(move |word| {
        is_option &= word != "--"; // files follow
        let Some(text) = word.to_str().filter(|text| is_option && text.starts_with("--")) else {
            return word;
        };
        let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
        format!("{}{value}", dashed(name)).into()
    })
}

/// Puts our word for a loss or an optimizer in the place of another. One that there is not is refused here: clap would
/// suggest whatever is spelled alike.
fn renamed(mut words: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let word = |at: usize| words.get(at).and_then(|word| word.to_str());
    let is_help = |at: usize| usize::from(word(at) == Some("help"));
    let at = 1 + is_help(1);
    let (command, at) = (word(at), at + 1 + is_help(at + 1));
    let Some(name) = word(at).filter(|name| !name.is_empty() && !name.starts_with('-')) else {
        return Ok(words);
    };
    let own = match command {
        Some("compute") => names::loss(name),
        // A preset is an option of its loss, which takes lists here.
        Some("plot") => match wgloss::find_preset(name) {
            Some((info, _)) => Ok(dashed(info.name)),
            None => names::loss(name),
        },
        Some("step") => optimizer(name),
        Some("shader" | "plan") => names::loss_or_optimizer(name),
        _ => return Ok(words),
    };
    words[at] = own.map_err(Failure::Usage)?.into();
    Ok(words)
}

fn optimizer(name: &str) -> Result<String, String> {
    optim::find(name).map(|info| info.name.to_owned()).ok_or_else(|| {
        let all: Vec<&str> = OPTIMIZERS.iter().map(|info| info.name).collect();
        format!("there is no optimizer {name:?}, expected one of {}", all.join(", "))
    })
}

/// A clap error without tips that lead astray.
pub fn without_wrong_tips(mut error: clap::Error) -> clap::Error {
    // That an option could be a value behind `--`: here nobody means that.
    error.remove(ContextKind::Suggested);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    for (kind, given) in [
        (ContextKind::SuggestedArg, text(ContextKind::InvalidArg)),
        (ContextKind::SuggestedSubcommand, text(ContextKind::InvalidSubcommand)),
        (ContextKind::SuggestedValue, text(ContextKind::InvalidValue)),
    ] {
        let given = given.unwrap_or_default();
        let is_near = match error.get(kind) {
            Some(ContextValue::String(tip)) => names::is_slip(&given, tip),
            Some(ContextValue::Strings(tips)) => tips.iter().all(|tip| names::is_slip(&given, tip)),
            _ => continue,
        };
        if !is_near {
            error.remove(kind);
            // It would show what is suggested, too.
            error.remove(ContextKind::Usage);
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn names_of_pytorch_become_ours() {
        let own = |text: &str| renamed(words(text));
        for (given, wanted) in [
            ("wgloss compute l1_loss a b", "wgloss compute l1 a b"),
            (
                "wgloss compute CrossEntropyLoss a b",
                "wgloss compute cross-entropy a b",
            ),
            ("wgloss compute cross_entropy a b", "wgloss compute cross-entropy a b"),
            ("wgloss compute binary-cross-entropy a b", "wgloss compute bce a b"),
            (
                "wgloss compute BCEWithLogitsLoss a b",
                "wgloss compute bce-with-logits a b",
            ),
            ("wgloss compute amax a", "wgloss compute amax a"),
            ("wgloss compute help nll_loss", "wgloss compute help nll"),
            ("wgloss help compute MSELoss", "wgloss help compute mse"),
            ("wgloss plot HuberLoss --delta 1", "wgloss plot huber --delta 1"),
            ("wgloss plot amax", "wgloss plot reduce"),
            ("wgloss step AdamW p g", "wgloss step adamw p g"),
            ("wgloss shader L1Loss --shape 4", "wgloss shader l1 --shape 4"),
            ("wgloss plan AdamW --shape 4", "wgloss plan adamw --shape 4"),
            ("wgloss help plan mse_loss", "wgloss help plan mse"),
            ("wgloss compute --help", "wgloss compute --help"),
            ("wgloss losses l1_loss", "wgloss losses l1_loss"),
        ] {
            assert_eq!(own(given), Ok(words(wanted)), "{given}");
        }
        let usage = |text: &str| match own(text) {
            Err(Failure::Usage(message)) => message,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            usage("wgloss compute huber_los a b"),
            "there is no loss \"huber_los\" (did you mean huber_loss?); `wgloss losses` lists those that there are"
        );
        for name in [
            "ctc_loss",
            "nll_loss2d",
            "dice",
            "mae",
            "l2_loss",
            "softmin",
            "log_softmin",
            "argmin",
            "std",
        ] {
            let wanted = format!("there is no loss {name:?}; `wgloss losses` lists those that there are");
            assert_eq!(usage(&format!("wgloss compute {name} a b")), wanted);
        }
        assert_eq!(
            usage("wgloss step rmsprop p g"),
            "there is no optimizer \"rmsprop\", expected one of sgd, adam, adamw, adagrad"
        );
    }

    #[test]
    fn options_may_have_underscores() {
        let given = words("wgloss --label_smoothing --on_nan=a_b file_a -- --a_b");
        let wanted = words("wgloss --label-smoothing --on-nan=a_b file_a -- --a_b");
        assert_eq!(with_dashes(given.into_iter()).collect::<Vec<_>>(), wanted);
    }
}
