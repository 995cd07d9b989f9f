//! What every loss declares in the same words: its struct, its catalogue entry and the mechanical part of
//! [`super::Loss`].

use std::hash::{Hash, Hasher};

use super::Scalar;

/// The types that a scalar option can have.
pub(crate) trait OptionValue: Sized {
    const KIND: super::ScalarKind;
    /// Other words of choices, each with the word that it stands for.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    fn to_scalar(&self) -> Option<Scalar>;

    fn from_scalar(value: &Scalar) -> Option<Self>;

    /// Writes the value, for [`super::Loss::identify`].
    fn identify(&self, state: &mut dyn Hasher);
}

macro_rules! option_value {
    ($($type:ty => $kind:ident, $bits:expr);*) => {
        $(impl OptionValue for $type {
            const KIND: super::ScalarKind = super::ScalarKind::$kind;

            fn to_scalar(&self) -> Option<Scalar> {
                Some(Scalar::$kind(*self))
            }

            fn from_scalar(value: &Scalar) -> Option<Self> {
                match value {
                    Scalar::$kind(value) => Some(*value),
                    _ => None,
                }
            }

            fn identify(&self, mut state: &mut dyn Hasher) {
                let bits: fn($type) -> _ = $bits;
                bits(*self).hash(&mut state);
            }
        })*
    };
}
option_value!(f64 => Float, f64::to_bits; i64 => Int, |x| x; bool => Bool, |x| x);

/// A list of integers, left open where it is empty; one integer is a list, too.
impl OptionValue for Vec<i64> {
    const KIND: super::ScalarKind = super::ScalarKind::Ints;

    fn to_scalar(&self) -> Option<Scalar> {
        (!self.is_empty()).then(|| Scalar::Ints(self.clone()))
    }

    fn from_scalar(value: &Scalar) -> Option<Self> {
        match value {
            Scalar::Ints(list) => Some(list.clone()),
            Scalar::Int(one) => Some(vec![*one]),
            _ => None,
        }
    }

    fn identify(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }
}

/// An option that may be left open.
impl<T: OptionValue> OptionValue for Option<T> {
    const KIND: super::ScalarKind = T::KIND;
    const ALIASES: &'static [(&'static str, &'static str)] = T::ALIASES;

    fn to_scalar(&self) -> Option<Scalar> {
        self.as_ref().and_then(T::to_scalar)
    }

    fn from_scalar(value: &Scalar) -> Option<Self> {
        T::from_scalar(value).map(Some)
    }

    fn identify(&self, mut state: &mut dyn Hasher) {
        self.is_some().hash(&mut state);
        if let Some(value) = self {
            value.identify(state);
        }
    }
}

/// An option that is one of a few words, some of which have another.
macro_rules! choice {
    ($type:ty, $($word:literal $(or $alias:literal)? => $value:expr),*) => {
        impl $crate::loss::define::OptionValue for $type {
            const KIND: $crate::options::ScalarKind = $crate::options::ScalarKind::Choice(&[$($word),*]);
            const ALIASES: &'static [(&'static str, &'static str)] = &[$($(($alias, $word),)?)*];

            fn to_scalar(&self) -> Option<$crate::options::Scalar> {
                $(if *self == $value { return Some($crate::options::Scalar::Choice($word.into())); })*
                None
            }

            fn from_scalar(value: &$crate::options::Scalar) -> Option<Self> {
                let $crate::options::Scalar::Choice(word) = value else { return None };
                match word.as_str() {
                    $($word $(| $alias)? => Some($value),)*
                    _ => None,
                }
            }

            fn identify(&self, mut state: &mut dyn std::hash::Hasher) {
                let words: &[(&str, Self)] = &[$(($word, $value)),*];
                let nth = words.iter().position(|(_, value)| value == self);
                std::hash::Hash::hash(&nth, &mut state);
            }
        }
    };
}
pub(crate) use choice;

/// A boolean option as a scalar.
pub(crate) fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// Declares a loss: the options struct with PyTorch's defaults, `INFO` for the registry, the function form, and
/// [`super::Loss`] but for what is mathematics: the inherent methods `check` and `problem`.
macro_rules! define {
    (
        $(#[$doc:meta])*
        $type:ident, $stem:ident;
        summary: $summary:literal;
        url: $url:literal;
        $(aliases: [$($alias:literal),*];)?
        $(presets: [$($preset:literal => $set:ident $word:literal),* $(,)?];)?
        operands { $($operand:ident: $kind:ident, $grad:literal, $operand_help:literal;)* }
        options { $($option:ident: $option_type:ty = $default:expr, $option_help:literal;)* }
        tensors { $($tensor:ident: $tensor_help:literal $(, grad $tensor_grad:literal)?;)* }
        $(scalars { $($scalar:ident $(= $formula:literal)?),* $(,)? })?
        reduction: $reduction:ident;
        reductions: $reductions:expr;
        $(statistics: $statistics:literal;)?
    ) => {
        pub(super) static INFO: $crate::loss::Info = $crate::loss::Info {
            name: stringify!($stem),
            summary: $summary,
            url: $url,
            aliases: &[$($($alias),*)?],
            presets: &[$($($crate::loss::Preset {
                name: $preset,
                options: &[(stringify!($set), $word)],
            }),*)?],
            operands: &[$($crate::loss::OperandInfo {
                role: $crate::loss::define::role!($operand),
                kind: $crate::loss::OperandKind::$kind,
                grad: $grad,
                help: $operand_help,
            }),*],
            options: &[$($crate::loss::OptionInfo {
                name: stringify!($option),
                kind: <$option_type as $crate::loss::define::OptionValue>::KIND,
                aliases: <$option_type as $crate::loss::define::OptionValue>::ALIASES,
                default: || $crate::loss::define::OptionValue::to_scalar(&$type::default().$option),
                help: $option_help,
            }),*],
            tensors: &[$($crate::loss::TensorInfo {
                role: $crate::loss::define::role!($tensor),
                grad: false $(|| $tensor_grad)?,
                help: $tensor_help,
            }),*],
            reductions: $reductions,
            statistics: false $(|| $statistics)?,
            new: || Box::new($type::default()),
        };

        $($crate::scalars::scalars! { Numbers { $($scalar $(= $formula)?),* } })?

        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $type {
            $(#[doc = $option_help] pub $option: $option_type,)*
            $(#[doc = $tensor_help] pub $tensor: Option<$crate::tensor::Tensor>,)*
            pub reduction: $crate::words::Reduction,
        }

        impl Default for $type {
            fn default() -> Self {
                Self {
                    $($option: $default,)*
                    $($tensor: None,)*
                    reduction: $crate::words::Reduction::$reduction,
                }
            }
        }

        impl $type {
            $(
                #[doc = concat!("A call that one can keep, of this `", stringify!($operand), "`.")]
                pub fn $operand(self, tensor: &$crate::tensor::Tensor) -> $crate::loss::OwnedCall<Self> {
                    $crate::loss::OwnedCall::of(self).tensor($crate::loss::define::role!($operand), tensor)
                }
            )*
        }

        #[doc = concat!("The function form of [`", stringify!($type), "`]: numbers on the host in, numbers out.")]
        /// Each tensor is whatever is an [`Argument`](crate::Argument).
        ///
        /// # Errors
        /// As [`crate::Loss::run`] and [`crate::Output::read`].
        pub fn $stem<'a>(
            engine: &$crate::engine::Engine,
            $($operand: impl $crate::argument::Argument<'a>,)*
            options: &$type,
            mode: $crate::words::Mode,
        ) -> $crate::error::Result<$crate::values::Values> {
            let lent = [$($crate::argument::Argument::lend($operand, stringify!($operand))?),*];
            $crate::loss::function::run(options, engine, &lent, mode)
        }

        impl $crate::loss::Loss for $type {
            fn info(&self) -> &'static $crate::loss::Info {
                &INFO
            }

            fn check(&self) -> $crate::error::Result<()> {
                $type::check(self)
            }

            fn reduction(&self) -> $crate::words::Reduction {
                self.reduction
            }

            fn set_reduction(&mut self, reduction: $crate::words::Reduction) {
                self.reduction = reduction;
            }

            fn set(&mut self, name: &str, value: &$crate::options::Scalar) -> $crate::error::Result<()> {
                let _ = value; // a loss may have no option
                match name {
                    $(stringify!($option) => {
                        if let Some(value) = $crate::loss::define::OptionValue::from_scalar(value) {
                            self.$option = value;
                            return Ok(());
                        }
                    })*
                    _ => {}
                }
                Err($crate::loss::no_option(&INFO, name))
            }

            fn tensors(&self) -> Vec<($crate::words::Role, &$crate::tensor::Tensor)> {
                let given: [($crate::words::Role, Option<&$crate::tensor::Tensor>); _] =
                    [$(($crate::loss::define::role!($tensor), self.$tensor.as_ref())),*];
                given.into_iter().filter_map(|(role, tensor)| tensor.map(|tensor| (role, tensor))).collect()
            }

            fn attach(
                &mut self,
                role: $crate::words::Role,
                tensor: $crate::tensor::Tensor,
            ) -> $crate::error::Result<()> {
                match role {
                    $($crate::loss::define::role!($tensor) => {
                        self.$tensor = Some(tensor);
                        return Ok(());
                    })*
                    _ => drop(tensor),
                }
                Err($crate::loss::no_option(&INFO, role.name()))
            }

            fn identify(&self, mut state: &mut dyn std::hash::Hasher) -> bool {
                std::hash::Hash::hash(INFO.name, &mut state);
                $($crate::loss::define::OptionValue::identify(&self.$option, state);)*
                std::hash::Hash::hash(&self.reduction, &mut state);
                true
            }

            fn problem(&self, call: &$crate::call::Call<'_>) -> $crate::error::Result<$crate::problem::Problem> {
                $type::check(self)?;
                $crate::loss::family::placed($type::problem(self, call)?, call)
            }
        }
    };
}
pub(crate) use define;

/// The role of an argument, by PyTorch's name.
macro_rules! role {
    (input) => {
        $crate::words::Role::Input
    };
    (input1) => {
        $crate::words::Role::Input1
    };
    (input2) => {
        $crate::words::Role::Input2
    };
    (anchor) => {
        $crate::words::Role::Anchor
    };
    (positive) => {
        $crate::words::Role::Positive
    };
    (negative) => {
        $crate::words::Role::Negative
    };
    (target) => {
        $crate::words::Role::Target
    };
    (var) => {
        $crate::words::Role::Var
    };
    (weight) => {
        $crate::words::Role::Weight
    };
    (pos_weight) => {
        $crate::words::Role::PosWeight
    };
    (alpha) => {
        $crate::words::Role::Alpha
    };
    (sample_weight) => {
        $crate::words::Role::SampleWeight
    };
    (linear_weight) => {
        $crate::words::Role::LinearWeight
    };
    (linear_bias) => {
        $crate::words::Role::LinearBias
    };
}
pub(crate) use role;
