//! The results of a loss, and the options that write them into files.

use std::borrow::Cow;

use wgloss::{Array, Dtype, Info, Role, Values};

/// A result of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// The loss, or the value of a function.
    Loss,
    /// The gradient of the tensor at this place of the signature.
    Grad(usize),
    ZLoss,
    Lse,
    Argmax,
    Entropy,
}

/// A result with the option that names its file.
#[derive(Clone, Debug)]
pub struct Product {
    pub part: Part,
    pub option: String,
    pub what: String,
}

/// A function has a value for each element or row: there is nothing to reduce.
pub fn is_function(info: &Info) -> bool {
    info.reductions.len() == 1
}

/// All results that a loss may have.
pub fn products(info: &Info) -> Vec<Product> {
    let product = |part, option: &str, what: &str| Product {
        part,
        option: option.into(),
        what: what.into(),
    };
    let first = info.operands.first().map_or("input", |own| own.role.name());
    let mut list = vec![
        product(Part::Loss, "out", if is_function(info) { "result" } else { "loss" }),
        product(Part::Grad(0), "grad", &format!("gradient of {first}")),
    ];
    for (place, role) in info.graded() {
        let name = role.name();
        list.push(product(
            Part::Grad(place),
            &format!("grad-{}", name.replace('_', "-")),
            &format!("gradient of {name}"),
        ));
    }
    if info.statistics {
        list.extend([
            product(Part::ZLoss, "z-loss-out", "z-loss"),
            product(Part::Lse, "lse-out", "log-sum-exp of each row"),
            product(Part::Argmax, "argmax-out", "arg-max class of each row (u32)"),
            product(Part::Entropy, "entropy-out", "entropy of each row"),
        ]);
    }
    list
}

impl Product {
    /// The key in a .safetensors file that is named without one.
    pub fn key(&self) -> String {
        match self.part {
            Part::Loss => "loss".into(),
            _ => self.option.trim_end_matches("-out").replace('-', "_"),
        }
    }
}

impl Part {
    /// The library's name of it.
    pub fn role(self) -> Role {
        match self {
            Self::Loss => Role::Loss,
            Self::Grad(place) => Role::Grad(place as u8),
            Self::ZLoss => Role::ZLoss,
            Self::Lse => Role::Lse,
            Self::Argmax => Role::Argmax,
            Self::Entropy => Role::Entropy,
        }
    }

    /// The result among those of a call.
    pub fn of<'a>(self, info: &Info, values: &'a Values) -> Option<Stored<'a>> {
        match self {
            // An arg-max is all that such a reduction has.
            Self::Loss => values
                .loss
                .as_ref()
                .map(Stored::floats)
                .or(values.argmax.as_ref().map(Stored::integers)),
            Self::Grad(0) => values.grad_input.as_ref().map(Stored::floats),
            Self::Grad(place) => values.grad(info.role(place)?).map(Stored::floats),
            Self::ZLoss => values.z_loss.as_ref().map(Stored::floats),
            Self::Lse => values.lse.as_ref().map(Stored::floats),
            Self::Entropy => values.entropy.as_ref().map(Stored::floats),
            Self::Argmax => values.argmax.as_ref().map(Stored::integers),
        }
    }
}

/// An array as files hold it: little-endian.
pub struct Stored<'a> {
    pub dtype: Dtype,
    pub shape: &'a [usize],
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Stored<'a> {
    pub fn floats(array: &'a Array) -> Self {
        let numbers = array.data.iter();
        let bytes = match array.dtype {
            Dtype::F16 => numbers.flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect(),
            Dtype::Bf16 => numbers.flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect(),
            _ if cfg!(target_endian = "little") => Cow::Borrowed(bytemuck::cast_slice(&array.data)),
            _ => numbers.flat_map(|x| x.to_le_bytes()).collect(),
        };
        Self {
            dtype: array.dtype,
            shape: &array.shape,
            bytes,
        }
    }

    fn integers(array: &'a Array<i64>) -> Self {
        let numbers = array.data.iter();
        Self {
            dtype: array.dtype,
            shape: &array.shape,
            bytes: match array.dtype {
                Dtype::U32 => numbers.flat_map(|&x| (x as u32).to_le_bytes()).collect(),
                _ => numbers.flat_map(|x| x.to_le_bytes()).collect(),
            },
        }
    }
}
