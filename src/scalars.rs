//! The numbers that a loss or an optimizer hands to its shader and to its definition in f64, by name. They travel in
//! the params: no pipeline is made for a value. This file alone knows their places.
//!
//! Not promised by semver.

use crate::shader::Const;

/// As many as there is room for in the params.
const ROOM: usize = 8;

/// Numbers by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scalars {
    names: &'static [&'static str],
    values: [f64; ROOM],
}

impl Scalars {
    pub const NONE: Self = Self {
        names: &[],
        values: [0.0; ROOM],
    };

    pub(crate) fn new<const N: usize>(names: &'static [&'static str; N], given: [f64; N]) -> Self {
        const { assert!(N <= ROOM, "more scalars than there is room for in the params") };
        let mut values = [0.0; ROOM];
        values[..N].copy_from_slice(&given);
        Self { names, values }
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<f64> {
        let nth = self.names.iter().position(|own| *own == name);
        nth.map(|nth| self.values[nth])
    }

    /// All places, for what `scalars!` declares.
    #[inline]
    pub(crate) fn values(&self) -> &[f64; ROOM] {
        &self.values
    }

    /// As the params hold them, four to a vector.
    pub fn rounded(&self) -> [[f32; 4]; 2] {
        self.each(|x| x as f32)
    }

    /// The same, but for one beyond the range of f32, which becomes a quarter of the largest: 0 times infinity would be
    /// NaN, and drivers fold scalars with constants of their own (log2 e in exp).
    pub fn clamped(&self) -> [[f32; 4]; 2] {
        self.each(|x| (x as f32).clamp(f32::MIN / 4.0, f32::MAX / 4.0))
    }

    fn each(&self, round: impl Fn(f64) -> f32) -> [[f32; 4]; 2] {
        let [a, b, c, d, e, f, g, h] = self.values.map(round);
        [[a, b, c, d], [e, f, g, h]]
    }

    /// The functions by which a shader reads them, each of a scalar's name.
    pub fn accessors(&self) -> impl Iterator<Item = Const> {
        const PLACES: [&str; ROOM] = [
            "params.scalars_0_3.x",
            "params.scalars_0_3.y",
            "params.scalars_0_3.z",
            "params.scalars_0_3.w",
            "params.scalars_4_7.x",
            "params.scalars_4_7.y",
            "params.scalars_4_7.z",
            "params.scalars_4_7.w",
        ];
        self.names
            .iter()
            .zip(PLACES)
            .map(|(name, place)| Const::Scalar(name, place))
    }
}

/// Declares the scalars of a loss or an optimizer: a struct to make them of, which definitions read them from again. A
/// formula says what one is made of.
macro_rules! scalars {
    ($name:ident { $($scalar:ident $(= $formula:literal)?),* $(,)? }) => {
        /// What the shader and the definition read besides tensors.
        #[derive(Clone, Copy, Debug)]
        struct $name {
            $($(#[doc = $formula])? $scalar: f64,)*
        }

        impl From<$name> for $crate::scalars::Scalars {
            fn from(own: $name) -> Self {
                Self::new(&[$(stringify!($scalar)),*], [$(own.$scalar),*])
            }
        }

        impl From<&$crate::scalars::Scalars> for $name {
            #[inline]
            fn from(all: &$crate::scalars::Scalars) -> Self {
                let [$($scalar,)* ..] = *all.values();
                Self { $($scalar),* }
            }
        }
    };
}
pub(crate) use scalars;
