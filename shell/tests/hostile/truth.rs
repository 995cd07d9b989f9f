//! What files hold, found in another way than the reading layer's.

use half::{bf16, f16};
use wgloss::Tensor;

pub fn numbers(tensor: &Tensor) -> Vec<f64> {
    macro_rules! as_f64 {
        ($($type:ty: $wide:expr),*) => {$(
            if let Some(data) = tensor.as_slice::<$type>() {
                return data.iter().map($wide).collect();
            }
        )*};
    }
    as_f64!(f32: |&x| x.into(), f16: |&x| x.to_f64(), bf16: |&x| x.to_f64(), u8: |&x| x.into());
    as_f64!(i32: |&x| x.into(), u32: |&x| x.into(), i64: |&x| x as f64);
    unreachable!("a tensor on the host");
}

pub fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    fn of<T: wgloss::Element>(tensor: &Tensor) -> Option<Vec<u8>> {
        tensor.as_slice::<T>().map(|data| bytemuck::cast_slice(data).to_vec())
    }
    let all = [
        of::<f32>, of::<f16>, of::<bf16>, of::<u8>, of::<i32>, of::<u32>, of::<i64>,
    ];
    all.iter().find_map(|of| of(tensor)).unwrap()
}

/// One element as f64, by way of what the library has: a u64 beyond i64 is the largest i64.
pub fn element(code: &str, own: &[u8]) -> f64 {
    match code {
        "b1" => f64::from(u8::from(own[0] != 0)),
        "f2" => f16::from_le_bytes([own[0], own[1]]).to_f64(),
        "V2" => bf16::from_le_bytes([own[0], own[1]]).to_f64(),
        "f4" => f32::from_le_bytes(own.try_into().unwrap()).into(),
        "f8" => (f64::from_le_bytes(own.try_into().unwrap()) as f32).into(),
        _ => {
            let mut wide = [if code.starts_with('i') && own[own.len() - 1] > 127 {
                255
            } else {
                0
            }; 16];
            wide[..own.len()].copy_from_slice(own);
            i128::from_le_bytes(wide).min(i64::MAX.into()) as f64
        }
    }
}

/// Of a header in the order that numpy writes, perhaps mutated, by plain search.
pub fn npy_truth(bytes: &[u8], _: Option<&str>) -> (Vec<usize>, Vec<f64>) {
    let (length, start) = match bytes[6] {
        1 => (usize::from(bytes[8]) + 256 * usize::from(bytes[9]), 10),
        _ => (u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize, 12),
    };
    let (text, data) = bytes[start..].split_at(length);
    let text = std::str::from_utf8(text).unwrap();
    // A key that comes twice holds what it says last, as in Python.
    let value = |key: &str| {
        let quoted = ['\'', '"'].map(|quote| text.rfind(&format!("{quote}{key}{quote}")));
        let at = quoted.into_iter().flatten().max().unwrap();
        text[at + key.len() + 2..]
            .trim_start()
            .strip_prefix(':')
            .unwrap()
            .trim_start()
    };
    let descr = value("descr");
    let descr = descr[1..].split(&descr[..1]).next().unwrap();
    let shape = value("shape").strip_prefix('(').unwrap().split(')').next().unwrap();
    let sizes = shape
        .split(',')
        .map(|size| size.trim().trim_end_matches('L').trim_end());
    let shape: Vec<usize> = sizes
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().unwrap())
        .collect();

    let code = descr.trim_start_matches(['<', '>', '|', '=']);
    let width: usize = code[1..].parse().unwrap();
    assert_eq!(shape.iter().product::<usize>() * width, data.len());
    let mut elements = Vec::new();
    for own in data.chunks_exact(width) {
        let mut own = own.to_vec();
        if descr.starts_with('>') {
            own.reverse();
        }
        elements.push(element(code, &own));
    }
    if value("fortran_order").starts_with("True") {
        elements = (0..elements.len())
            .map(|place| {
                // The index of a place in row-major order, digit by digit, as a place with the first digit fastest.
                let (mut rest, mut stride, mut at) = (place, elements.len(), 0);
                for &size in shape.iter().rev() {
                    stride /= size;
                    at += rest % size * stride;
                    rest /= size;
                }
                elements[at]
            })
            .collect();
    }
    (shape, elements)
}

/// By way of any JSON. (The crate's own reader knows not all dtypes that may lie beside.)
pub fn safetensors_truth(bytes: &[u8], key: Option<&str>) -> (Vec<usize>, Vec<f64>) {
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    let entry = &header[key.unwrap()];
    let numbers = |value: &serde_json::Value| {
        let list = value.as_array().unwrap().iter();
        list.map(|n| n.as_u64().unwrap() as usize).collect::<Vec<_>>()
    };
    let (shape, offsets) = (numbers(&entry["shape"]), numbers(&entry["data_offsets"]));
    let name = entry["dtype"].as_str().unwrap().to_lowercase();
    let code = match name.as_str() {
        "bool" => "b1".into(),
        "bf16" => "V2".into(),
        _ => format!("{}{}", &name[..1], name[1..].parse::<usize>().unwrap() / 8),
    };
    let width = code[1..].parse().unwrap();
    let elements = bytes[start..][offsets[0]..offsets[1]]
        .chunks_exact(width)
        .map(|own| element(&code, own));
    (shape, elements.collect())
}
