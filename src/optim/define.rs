//! What every optimizer declares in the same words: its struct, its catalogue entry and the mechanical part of
//! [`super::Optimizer`].

use super::Setting;

/// The types that an option can have.
pub trait OptionType: Copy {
    fn setting(self) -> Setting;

    fn of(setting: Setting) -> Option<Self>;
}

macro_rules! option_type {
    ($($type:ty: $pattern:pat => $value:expr, $own:ident => $setting:expr;)*) => {
        $(impl OptionType for $type {
            fn setting(self) -> Setting {
                let $own = self;
                $setting
            }

            fn of(setting: Setting) -> Option<Self> {
                match setting {
                    $pattern => Some($value),
                    _ => None,
                }
            }
        })*
    };
}
option_type! {
    f64: Setting::Float(x) => x, x => Setting::Float(x);
    bool: Setting::Bool(x) => x, x => Setting::Bool(x);
    (f64, f64): Setting::Pair(a, b) => (a, b), pair => Setting::Pair(pair.0, pair.1);
}

/// Declares an optimizer: the options struct with PyTorch's defaults, `INFO` for the registry, and
/// [`super::Optimizer`] but for what is mathematics: the inherent methods `check`, `rule` and `element`.
macro_rules! define {
    (
        $(#[$doc:meta])*
        $type:ident, $name:literal;
        summary: $summary:literal;
        url: $url:literal;
        states: $states:expr;
        counts_steps: $counts_steps:literal;
        options { $($option:ident: $option_type:ty = $default:expr, $help:literal;)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $type {
            $(#[doc = $help] pub $option: $option_type,)*
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $($option: $default,)* }
            }
        }

        impl $type {
            pub(super) const INFO: $crate::optim::Info = $crate::optim::Info {
                name: $name,
                summary: $summary,
                url: $url,
                options: &[$($crate::optim::OptionInfo {
                    name: stringify!($option),
                    default: || $crate::optim::define::OptionType::setting($type::default().$option),
                    help: $help,
                }),*],
                states: $states,
                counts_steps: $counts_steps,
                new: || Box::new($type::default()),
            };
        }

        impl $crate::optim::Optimizer for $type {
            fn info(&self) -> &'static $crate::optim::Info {
                const { &Self::INFO }
            }

            fn check(&self) -> $crate::error::Result<()> {
                $type::check(self)
            }

            fn set(&mut self, name: &str, value: $crate::optim::Setting) -> $crate::error::Result<()> {
                match name {
                    $(stringify!($option) => {
                        if let Some(value) = $crate::optim::define::OptionType::of(value) {
                            self.$option = value;
                            return Ok(());
                        }
                    })*
                    _ => {}
                }
                Err($crate::error::Error::option($name, format!("has no option {name:?} of that kind")))
            }

            fn rule(&self, state: &$crate::optim::State) -> $crate::optim::UpdateRule {
                $type::rule(self, state)
            }

            fn element(&self, rule: &$crate::optim::UpdateRule, param: f64, grad: f64, state: &mut [f64; 3]) -> f64 {
                $type::element(self, rule, param, grad, state)
            }
        }
    };
}
pub(crate) use define;
