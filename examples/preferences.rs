//! DPO's and GRPO's losses, which are functions of numbers of each token alone: the log-probability of the token that
//! was taken, and the entropy of those that could have been. The logits, which are as many as there are words for each
//! token, stay where they are: one call brings the numbers, one takes their gradients, and what lies between is a page
//! of f64.
//!
//! `cargo run --release --example preferences`

use wgloss::{Call, CrossEntropy, Engine, Loss, Mode, Reduction, Result, Stats, Tensor};

/// What is known of each token. The log-probability of one that is ignored is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    pub log_p: Vec<f64>,
    pub entropy: Vec<f64>,
}

/// A loss of it, with the derivatives by each number.
#[derive(Clone, Debug)]
pub struct Slopes {
    pub loss: f64,
    pub by: Tokens,
}

fn each() -> CrossEntropy {
    CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    }
}

/// The numbers of logits (tokens, words), of words taken, -100 where none was.
pub fn tokens(engine: &Engine, logits: &Tensor, taken: &Tensor) -> Result<Tokens> {
    let call = Call {
        stats: Stats {
            entropy: true,
            ..Default::default()
        },
        ..Call::new(Mode::Forward, &[logits, taken])
    };
    let values = each().run(engine, &call)?.read(engine)?;
    let wide = |array: Option<wgloss::Array>| array.into_iter().flat_map(|own| own.data).map(f64::from);
    Ok(Tokens {
        log_p: wide(values.loss).map(|loss| -loss).collect(),
        entropy: wide(values.entropy).collect(),
    })
}

/// The gradient of a loss by the logits.
pub fn gradient(engine: &Engine, logits: &Tensor, taken: &Tensor, by: &Tokens) -> Result<Vec<f32>> {
    let narrow = |own: &[f64], sign: f64| {
        let own: Vec<f32> = own.iter().map(|by| (sign * by) as f32).collect();
        engine.upload(&Tensor::new(&own, &[own.len()])?)
    };
    // The loss of a token is minus its log-probability.
    let (by_loss, by_entropy) = (narrow(&by.log_p, -1.0)?, narrow(&by.entropy, 1.0)?);
    let call = Call {
        grad_output: Some(&by_loss),
        grad_entropy: Some(&by_entropy),
        ..Call::new(Mode::Backward, &[logits, taken])
    };
    // Left on the device, it would go on from there: `Output::grad_input`, or the caller's own tensor (`GradTo`).
    let values = each().run(engine, &call)?.read(engine)?;
    Ok(values.grad_input.map(|own| own.data).unwrap_or_default())
}

/// Direct preference optimization: -log σ(β ((π_c - ref_c) - (π_r - ref_r))), the mean over pairs of texts, of which
/// the chosen one stands before the rejected one. π is the log-probability of a text, the sum of those of its `len`
/// tokens, and `reference` that of another model.
pub fn dpo(tokens: &Tokens, len: usize, reference: &[f64], beta: f64) -> Slopes {
    let texts: Vec<f64> = tokens.log_p.chunks(len).map(|own| own.iter().sum()).collect();
    let pairs = texts.len() / 2;
    let mut loss = 0.0;
    let mut by = Vec::with_capacity(tokens.log_p.len());
    for (own, other) in texts.chunks_exact(2).zip(reference.chunks_exact(2)) {
        let margin = beta * ((own[0] - other[0]) - (own[1] - other[1]));
        loss += ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0)) / pairs as f64;
        let slope = -beta / (1.0 + margin.exp()) / pairs as f64;
        by.extend(
            [slope, -slope]
                .into_iter()
                .flat_map(|slope| std::iter::repeat_n(slope, len)),
        );
    }
    let entropy = vec![0.0; by.len()];
    Slopes {
        loss,
        by: Tokens { log_p: by, entropy },
    }
}

/// What goes into [`grpo`] beside the tokens: their log-probabilities when they were taken, and under another model;
/// the advantage of the text that each belongs to, and which of them count.
#[derive(Clone, Debug)]
pub struct Taken {
    pub old: Vec<f64>,
    pub reference: Vec<f64>,
    pub advantage: Vec<f64>,
    pub counts: Vec<bool>,
}

/// How far a ratio goes, and the factors of the divergence and of the entropy.
#[derive(Clone, Copy, Debug)]
pub struct Grpo {
    pub clip: f64,
    pub beta: f64,
    pub entropy: f64,
}

/// Group relative policy optimization, with a bonus for entropy: the mean over the tokens that count of
///
/// ```text
/// -min(r A, clamp(r, 1 - clip, 1 + clip) A) + beta (exp(d) - d - 1) - entropy H
/// r = exp(log_p - old),  d = reference - log_p
/// ```
pub fn grpo(tokens: &Tokens, taken: &Taken, how: Grpo) -> Slopes {
    let count = taken.counts.iter().filter(|counts| **counts).count().max(1) as f64;
    let none = vec![0.0; tokens.log_p.len()];
    let (mut loss, mut by) = (
        0.0,
        Tokens {
            log_p: none.clone(),
            entropy: none,
        },
    );
    for i in (0..tokens.log_p.len()).filter(|&i| taken.counts[i]) {
        let (log_p, advantage) = (tokens.log_p[i], taken.advantage[i]);
        let ratio = (log_p - taken.old[i]).exp();
        let clipped = ratio.clamp(1.0 - how.clip, 1.0 + how.clip) * advantage;
        let far = taken.reference[i] - log_p;
        let divergence = far.exp() - far - 1.0;
        loss += how.beta * divergence - (ratio * advantage).min(clipped) - how.entropy * tokens.entropy[i];
        let pull = if ratio * advantage <= clipped {
            ratio * advantage
        } else {
            0.0
        };
        by.log_p[i] = (how.beta * (1.0 - far.exp()) - pull) / count;
        by.entropy[i] = -how.entropy / count;
    }
    Slopes { loss: loss / count, by }
}

/// Advantages of a group of texts: rewards less their mean, over their deviation.
pub fn advantages(rewards: &[f64]) -> Vec<f64> {
    let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
    let variance = rewards.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / rewards.len() as f64;
    rewards.iter().map(|r| (r - mean) / (variance.sqrt() + 1e-4)).collect()
}

#[allow(dead_code, reason = "tests call what it calls")]
fn main() -> Result<()> {
    const WORDS: usize = 1000;
    const LEN: usize = 8;
    let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
    // Four texts; the logits themselves are what is learned.
    let numbers = |n: usize, step: usize, of: usize| (0..n).map(move |i| (i * step + i / 7) % of);
    let logits: Vec<f32> = numbers(4 * LEN * WORDS, 37, 101).map(|x| x as f32 / 50.0).collect();
    let taken: Vec<i64> = numbers(4 * LEN, 613, WORDS).map(|word| word as i64).collect();
    let taken = engine.upload(&Tensor::new(&taken, &[4 * LEN])?)?;
    let shape = [4 * LEN, WORDS];
    let start = |own: &[f32]| engine.upload(&Tensor::new(own, &shape)?);
    let learn = |name: &str, rate: f32, loss: &dyn Fn(&Tokens, &Tokens) -> Slopes| -> Result<()> {
        let mut own = logits.clone();
        let first = tokens(&engine, &start(&own)?, &taken)?;
        for step in 0..5 {
            let logits = start(&own)?;
            let slopes = loss(&tokens(&engine, &logits, &taken)?, &first);
            println!("{name}, step {step}: {:.5}", slopes.loss);
            let grad = gradient(&engine, &logits, &taken, &slopes.by)?;
            own.iter_mut().zip(grad).for_each(|(x, g)| *x -= rate * g);
        }
        Ok(())
    };
    learn("DPO", 20.0, &|now, first| {
        let reference: Vec<f64> = first.log_p.chunks(LEN).map(|own| own.iter().sum()).collect();
        dpo(now, LEN, &reference, 0.1)
    })?;
    let rewards = advantages(&[1.0, 0.0, 0.5, 0.0]);
    learn("GRPO", 20.0, &|now, first| {
        let how = Grpo {
            clip: 0.2,
            beta: 0.04,
            entropy: 0.01,
        };
        let taken = Taken {
            old: first.log_p.clone(),
            reference: first.log_p.clone(),
            advantage: rewards.iter().flat_map(|own| std::iter::repeat_n(*own, LEN)).collect(),
            counts: vec![true; 4 * LEN],
        };
        grpo(now, &taken, how)
    })
}
