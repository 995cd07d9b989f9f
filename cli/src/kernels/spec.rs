//! What the command line says of a tensor that is not there: `4096x1000`, `bf16`, or `4096x1000:bf16`.

use wgloss::Dtype;

/// Shape and dtype, as far as they are given.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub shape: Option<Vec<usize>>,
    pub dtype: Option<Dtype>,
    /// As it was typed.
    pub text: String,
}

const DTYPES: [Dtype; 7] = [
    Dtype::F32,
    Dtype::F16,
    Dtype::Bf16,
    Dtype::U8,
    Dtype::I32,
    Dtype::U32,
    Dtype::I64,
];

/// The word for a shape without dimensions.
pub const SCALAR: &str = "scalar";

pub fn parse(text: &str) -> Result<Spec, String> {
    let dtype = |word: &str| DTYPES.into_iter().find(|own| own.name() == word);
    let (shape, named) = match text.split_once(':') {
        Some((shape, word)) => (Some(shape), Some(word)),
        None if dtype(text).is_some() => (None, Some(text)),
        None => (Some(text), None),
    };
    let shape_of = |word: &str| match word {
        SCALAR => Some(Vec::new()),
        _ => word.split('x').map(|size| size.parse().ok()).collect(),
    };
    let shape = shape
        .map(|word| shape_of(word).ok_or_else(|| expected(text)))
        .transpose()?;
    let dtype = named
        .map(|word| dtype(word).ok_or_else(|| expected(text)))
        .transpose()?;
    Ok(Spec {
        shape,
        dtype,
        text: text.into(),
    })
}

fn expected(text: &str) -> String {
    let dtypes: Vec<&str> = DTYPES.iter().map(|own| own.name()).collect();
    format!(
        "{text:?} given, expected a shape as 4096x1000 (or {SCALAR}, of no dimensions), a dtype ({}), or both as 4096x1000:bf16",
        dtypes.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_dtypes_and_both() {
        for (text, shape, dtype) in [
            ("4096x1000", Some(vec![4096, 1000]), None),
            ("8", Some(vec![8]), None),
            ("0x3", Some(vec![0, 3]), None),
            ("scalar", Some(vec![]), None),
            ("scalar:f32", Some(vec![]), Some(Dtype::F32)),
            ("bf16", None, Some(Dtype::Bf16)),
            ("2x3:u8", Some(vec![2, 3]), Some(Dtype::U8)),
        ] {
            let text = text.to_owned();
            assert_eq!(parse(&text), Ok(Spec { shape, dtype, text }));
        }
        for wrong in ["", "x", "4x", "4,5", "f64", "4:f64", ":f32", "-1", "4x5:", "4:5:f32"] {
            let message = parse(wrong).unwrap_err();
            assert!(
                message.starts_with(&format!("{wrong:?} given, expected a shape")),
                "{message}"
            );
        }
    }
}
