//! Every dtype, whole and window by window.

use std::io::Write;

use half::{bf16, f16};

use super::*;
use crate::numbers::Dtype as Stored;

/// A file of elements behind an odd number of other bytes.
fn source(stored: Stored, big_endian: bool, data: &[u8]) -> ArrayFile {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 13]).unwrap();
    file.write_all(data).unwrap();
    let layout = Layout {
        start: 13,
        member: None,
        stored,
        big_endian,
        fortran_order: false,
        shape: vec![data.len() / stored.bytes()],
    };
    ArrayFile::new("x.npy".into(), file, 13 + data.len() as u64, layout)
}

fn little<const N: usize, T: Copy>(data: &[T], bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    data.iter().flat_map(|&x| bytes(x)).collect()
}

/// The elements of a dtype as bytes of what they are read as, `as` Rust has it.
fn cases() -> Vec<(Stored, Vec<u8>, Dtype, Vec<u8>)> {
    let n = 37;
    let x: Vec<f64> = (0..n)
        .map(|i| (f64::from(i) - 17.3) * 1.7e3f64.powi(i % 5 - 2))
        .collect();
    let f32s: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    let f16s: Vec<f16> = f32s.iter().map(|&x| f16::from_f32(x)).collect();
    let bf16s: Vec<bf16> = f32s.iter().map(|&x| bf16::from_f32(x)).collect();
    let i: Vec<i64> = (0..i64::from(n)).map(|i| (i - 9) * 0x0001_2345_6789_abcd).collect();
    let as_f32 = |data: &[i64]| little(&data.iter().map(|&x| x as f32).collect::<Vec<_>>(), f32::to_ne_bytes);
    macro_rules! integer {
        ($own:ty, $stored:ident, $wide:ty, $dtype:ident) => {{
            let own: Vec<$own> = i.iter().map(|&x| (x as $own) >> 1 as $own).collect();
            let wide: Vec<$wide> = own.iter().map(|&x| x as $wide).collect();
            let all: Vec<i64> = own.iter().map(|&x| x as i64).collect();
            let bytes = little(&own, <$own>::to_le_bytes);
            [
                (
                    Stored::$stored,
                    bytes.clone(),
                    Dtype::$dtype,
                    little(&wide, <$wide>::to_ne_bytes),
                ),
                (Stored::$stored, bytes, Dtype::F32, as_f32(&all)),
            ]
        }};
    }
    let f16_bytes = little(&f16s, f16::to_le_bytes);
    let widened: Vec<f32> = f16s.iter().map(|x| x.to_f32()).collect();
    let f32_bytes = little(&f32s, f32::to_le_bytes);
    let mut list = vec![
        (
            Stored::F64,
            little(&x, f64::to_le_bytes),
            Dtype::F32,
            little(&f32s, f32::to_ne_bytes),
        ),
        (
            Stored::F64,
            little(&x, f64::to_le_bytes),
            Dtype::Bf16,
            little(&bf16s, bf16::to_ne_bytes),
        ),
        (
            Stored::F32,
            f32_bytes.clone(),
            Dtype::F32,
            little(&f32s, f32::to_ne_bytes),
        ),
        (Stored::F32, f32_bytes, Dtype::F16, little(&f16s, f16::to_ne_bytes)),
        (
            Stored::F16,
            f16_bytes.clone(),
            Dtype::F16,
            little(&f16s, f16::to_ne_bytes),
        ),
        (Stored::F16, f16_bytes, Dtype::F32, little(&widened, f32::to_ne_bytes)),
        (
            Stored::Bf16,
            little(&bf16s, bf16::to_le_bytes),
            Dtype::Bf16,
            little(&bf16s, bf16::to_ne_bytes),
        ),
    ];
    list.extend(integer!(i8, I8, i32, I32));
    list.extend(integer!(u8, U8, u8, U8));
    list.extend(integer!(i16, I16, i32, I32));
    list.extend(integer!(u16, U16, i32, I32));
    list.extend(integer!(i32, I32, i32, I32));
    list.extend(integer!(u32, U32, u32, U32));
    list.extend(integer!(i64, I64, i64, I64));
    list.extend(integer!(u64, U64, i64, I64));
    list
}

#[test]
fn a_window_holds_what_the_whole_holds_wherever_it_begins() {
    for (stored, little, dtype, want) in cases() {
        let mut big = little.clone();
        big.chunks_mut(stored.bytes()).for_each(<[u8]>::reverse);
        for (bytes, big_endian) in [(&little, false), (&big, true)] {
            let source = source(stored, big_endian, bytes).into_dtype(dtype);
            let what = format!("{stored:?} big {big_endian} as {dtype}");
            assert_eq!(source.bytes(), want.len() as u64, "{what}");
            let whole = source.read_whole().unwrap();
            assert_eq!((whole.dtype(), whole.shape()), (dtype, &[37][..]), "{what}");
            for begin in 0..want.len() {
                for end in [begin, begin + 1, begin + 4, begin + 12, want.len() - 3, want.len()] {
                    let Some(want) = want.get(begin..end) else { continue };
                    let mut out = vec![0xee; want.len()];
                    source.read_at(begin as u64, &mut out).unwrap();
                    assert_eq!(out, want, "{what}: {begin} to {end}");
                }
            }
            let words = want.len().next_multiple_of(4);
            let mut out = vec![0xee; words + 1];
            source.read_at(0, &mut out[..words]).unwrap();
            assert!(
                out[..want.len()] == want && out[want.len()..words].iter().all(|&x| x == 0),
                "{what}"
            );
            let error = source.read_at(0, &mut out).unwrap_err().to_string();
            assert!(error.starts_with("x.npy: bytes 0 to"), "{error}");
        }
    }
}

#[test]
fn pieces_meet_without_a_seam() {
    let count = PIECE / 8 * 2 + 3;
    let data: Vec<f64> = (0..count).map(|i| i as f64).collect();
    let source = source(Stored::F64, false, &little(&data, f64::to_le_bytes));
    let whole = source.read_whole().unwrap();
    assert!(
        whole
            .as_slice::<f32>()
            .unwrap()
            .iter()
            .enumerate()
            .all(|(i, &x)| x == i as f32)
    );
    let mut out = vec![0u8; PIECE];
    source.read_at(12, &mut out).unwrap();
    assert!(out == bytemuck::cast_slice::<f32, u8>(whole.as_slice().unwrap())[12..12 + PIECE]);
}

/// A byte that is not 0 is true, as in numpy; a u64 is its own value.
#[test]
fn booleans_and_wide_integers_are_their_values() {
    let bools = || source(Stored::Bool, false, &[0, 1, 2, 255]);
    assert_eq!((bools().dtype(), bools().stored_name()), (Dtype::U8, "bool"));
    assert_eq!(bools().read_whole().unwrap().as_slice::<u8>().unwrap(), [0, 1, 1, 1]);
    let floats = |dtype| bools().into_dtype(dtype).read_whole().unwrap();
    assert_eq!(floats(Dtype::F32).as_slice::<f32>().unwrap(), [0.0, 1.0, 1.0, 1.0]);
    let half = f16::from_f32;
    assert_eq!(
        floats(Dtype::F16).as_slice::<f16>().unwrap(),
        [0.0, 1.0, 1.0, 1.0].map(half)
    );
    let brain = bf16::from_f32;
    assert_eq!(
        floats(Dtype::Bf16).as_slice::<bf16>().unwrap(),
        [0.0, 1.0, 1.0, 1.0].map(brain)
    );

    let all = [7, u64::MAX, 1 << 63, (1 << 24) + 1];
    for big_endian in [false, true] {
        let bytes = if big_endian { u64::to_be_bytes } else { u64::to_le_bytes };
        let wide = || source(Stored::U64, big_endian, &little(&all, bytes));
        let floats = wide().into_dtype(Dtype::F32).read_whole().unwrap();
        assert_eq!(
            floats.as_slice::<f32>().unwrap(),
            [
                7.0,
                18_446_744_073_709_551_616.0,
                9_223_372_036_854_775_808.0,
                16_777_216.0
            ]
        );
    }
}

/// Labels beyond i64 are bad ones: no class, never the one that is ignored, and named as they stand in the file.
#[test]
fn labels_beyond_i64_are_no_class_and_are_named_as_they_are() {
    let largest = i64::MAX as u64;
    let wide = || {
        source(
            Stored::U64,
            false,
            &little(&[3, largest, u64::MAX - 99, u64::MAX], u64::to_le_bytes),
        )
    };
    let read = |source: ArrayFile| source.read_whole().unwrap().as_slice::<i64>().unwrap().to_vec();
    assert_eq!(read(wide()), [3, i64::MAX, i64::MAX, i64::MAX]);
    for ignored in [None, Some(-100), Some(-1), Some(i64::MIN)] {
        assert_eq!(read(wide().sparing(ignored)), [3, i64::MAX, i64::MAX, i64::MAX]);
    }
    // The largest that i64 holds is itself, and may be the one to be ignored.
    let spared = wide().sparing(Some(i64::MAX));
    assert_eq!(spared.label_behind(i64::MAX - 1), Some(largest.to_string()));
    assert_eq!(read(spared), [3, i64::MAX, i64::MAX - 1, i64::MAX - 1]);

    assert_eq!(wide().label_behind(i64::MAX), Some(largest.to_string()));
    let beyond = || {
        source(
            Stored::U64,
            false,
            &little(&[3, u64::MAX - 99, u64::MAX], u64::to_le_bytes),
        )
    };
    assert_eq!(beyond().label_behind(i64::MAX), Some("18446744073709551516".into()));
    assert_eq!(beyond().label_behind(3), None);
    let mut columns = beyond();
    (columns.layout.fortran_order, columns.layout.shape) = (true, vec![3, 1]);
    assert_eq!(columns.label_behind(i64::MAX), Some("18446744073709551516".into()));
    let mut columns = source(
        Stored::U64,
        false,
        &little(&[3, 1, u64::MAX, 1 << 63], u64::to_le_bytes),
    );
    (columns.layout.fortran_order, columns.layout.shape) = (true, vec![2, 2]);
    assert_eq!(
        columns.label_behind(i64::MAX),
        Some("at least 9223372036854775807".into())
    );
    assert_eq!(source(Stored::I64, false, &[255; 8]).label_behind(i64::MAX), None);
}

#[test]
fn counts_are_whole_numbers_of_any_dtype() {
    let count = |stored, bytes: &[u8]| source(stored, false, bytes).count();
    for (stored, bytes) in [
        (Stored::F16, f16::from_f32(3.0).to_le_bytes().to_vec()),
        (Stored::Bf16, bf16::from_f32(3.0).to_le_bytes().to_vec()),
        (Stored::F32, 3f32.to_le_bytes().to_vec()),
        (Stored::F64, 3f64.to_le_bytes().to_vec()),
        (Stored::I8, vec![3]),
        (Stored::U8, vec![3]),
        (Stored::I16, vec![3, 0]),
        (Stored::U16, vec![3, 0]),
        (Stored::I32, vec![3, 0, 0, 0]),
        (Stored::U32, vec![3, 0, 0, 0]),
        (Stored::I64, vec![3, 0, 0, 0, 0, 0, 0, 0]),
        (Stored::U64, vec![3, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(count(stored, &bytes), Ok(3), "{stored:?}");
    }
    // f32 holds neither.
    assert_eq!(count(Stored::F64, &16_777_217f64.to_le_bytes()), Ok(16_777_217));
    assert_eq!(count(Stored::U64, &[255; 8]), Ok(u64::MAX));
    for (stored, bytes, other) in [
        (Stored::Bool, vec![1], "bool true"),
        (Stored::I8, vec![255], "i8 -1"),
        (Stored::I64, i64::MIN.to_le_bytes().to_vec(), "i64 -9223372036854775808"),
        (Stored::F32, 1.5f32.to_le_bytes().to_vec(), "f32 1.5"),
        (Stored::F32, (-1f32).to_le_bytes().to_vec(), "f32 -1"),
        (Stored::F16, f16::NAN.to_le_bytes().to_vec(), "f16 NaN"),
        (Stored::F64, f64::INFINITY.to_le_bytes().to_vec(), "f64 inf"),
        (
            Stored::F64,
            18_446_744_073_709_551_616f64.to_le_bytes().to_vec(),
            "f64 18446744073709552000",
        ),
        (Stored::F32, vec![0; 8], "f32 [2]"),
        (Stored::U8, vec![], "u8 [0]"),
    ] {
        assert_eq!(count(stored, &bytes), Err(other.into()));
    }
    let mut scalar = source(Stored::U8, false, &[9]);
    for shape in [vec![], vec![1], vec![1, 1]] {
        scalar.layout.shape = shape;
        assert_eq!(scalar.count(), Ok(9));
    }
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_the_file() {
    let mut out = [0; 16];
    for length in [20, 60] {
        let changed = source(Stored::F32, false, &[1; 32]);
        changed.file.set_len(length).unwrap();
        let message = format!("x.npy: had 45 bytes and has {length} now: it was changed while it was read");
        assert_eq!(changed.read_at(0, &mut out).unwrap_err().to_string(), message);
        assert_eq!(changed.read_whole().unwrap_err(), message);
    }
}

#[test]
fn fortran_order_is_read_whole_only() {
    let bytes: Vec<u8> = (0..6).collect();
    let mut columns = source(Stored::U8, false, &bytes);
    columns.layout.fortran_order = true;
    columns.layout.shape = vec![1, 6];
    assert!(columns.pageable().is_ok() && columns.read_at(0, &mut [0; 4]).is_ok());
    columns.layout.shape = vec![2, 1, 3];
    let message = columns.pageable().unwrap_err();
    assert!(message.starts_with("x.npy: is in Fortran order"), "{message}");
    assert_eq!(columns.read_at(0, &mut [0; 4]).unwrap_err().to_string(), message);
    let whole = columns.into_dtype(Dtype::F32).read_whole().unwrap();
    assert_eq!(whole.as_slice::<f32>().unwrap(), [0., 2., 4., 1., 3., 5.]);
}
