//! Single arrays, and .safetensors files, that somebody else has made.

use rand::{Rng, RngCore, SeedableRng};
use rand_pcg::Pcg64;
use wgloss_shell::files;

use super::mutation::{mended, mutated, npy, safetensors};
use super::truth::{npy_truth, safetensors_truth};
use super::{each_seed, keyed, read};

#[test]
fn mutated_npy_files_hold_what_they_say_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let codes = [
        "<f4", "<f2", ">f8", "|i1", "|u1", "<i2", ">u2", "<i4", "=u4", ">i8", "<u8", "<f8", "|b1", "<V2",
    ];
    let accepted = each_seed(4000, |rng| {
        let code = codes[rng.random_range(0..codes.len())];
        let order = ["False", "True"][rng.random_range(0..2)];
        let (shape, count) =
            [("(2, 3)", 6), ("(6,)", 6), ("()", 1), ("(0, 4)", 0), ("(3, 1, 2)", 6)][rng.random_range(0..5)];
        let header = format!("{{'descr': '{code}', 'fortran_order': {order}, 'shape': {shape}, }}  \n");
        let mut data = vec![0; count * code[2..].parse::<usize>().unwrap()];
        rng.fill_bytes(&mut data);
        let version = rng.random_range(1..4);
        let (bytes, start) = (npy(version, &header, &data), if version == 1 { 10 } else { 12 });
        let before = bytes.len();
        let mut bytes = mutated(rng, bytes, start + header.len());
        if rng.random_bool(0.5) {
            let after = bytes.len();
            bytes = mended(bytes, before, after, 8, start - 8);
        }
        read(&path, None, &bytes, rng, &npy_truth)
    });
    // Otherwise only refusals would have been tried.
    assert!((400..3000).contains(&accepted), "{accepted}");
}

#[test]
fn mutated_safetensors_files_hold_what_they_say_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let dtypes = [
        ("F32", 4),
        ("F16", 2),
        ("BF16", 2),
        ("F64", 8),
        ("I8", 1),
        ("U16", 2),
        ("I64", 8),
        ("U64", 8),
        ("BOOL", 1),
        ("F8_E4M3", 1),
        ("C64", 8),
    ];
    let accepted = each_seed(4000, |rng| {
        let [(a, first), (b, second)] = [0, 1].map(|_| dtypes[rng.random_range(0..dtypes.len())]);
        let (middle, end) = (6 * first, 6 * first + 4 * second);
        let metadata = ["", "\"__metadata__\":{\"format\":\"pt\"},", "\"__metadata__\":null,"][rng.random_range(0..3)];
        let header = format!(
            "{{{metadata}\"x\":{{\"dtype\":\"{a}\",\"shape\":[2,3],\"data_offsets\":[0,{middle}]}},\
             \"y\":{{\"dtype\":\"{b}\",\"shape\":[4],\"data_offsets\":[{middle},{end}]}}}}  "
        );
        let mut data = vec![0; end];
        rng.fill_bytes(&mut data);
        let bytes = safetensors(&header, &data);
        let before = bytes.len();
        let mut bytes = mutated(rng, bytes, 8 + header.len());
        if rng.random_bool(0.5) {
            let after = bytes.len();
            bytes = mended(bytes, before, after, 0, 8);
        }
        let key = ["x", "y"][rng.random_range(0..2)];
        read(&path, Some(key), &bytes, rng, &safetensors_truth)
    });
    assert!((400..3000).contains(&accepted), "{accepted}");
}

#[test]
fn headers_made_to_hurt_are_refused_within_the_files_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Pcg64::seed_from_u64(1);
    let path = folder.path().join("x.safetensors");
    let one = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
    let two = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}";
    let long = |part: &str, times: usize| part.repeat(times);
    let with = |shape: &str, offsets: &str| {
        format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}")
    };
    for (header, data, text) in [
        (format!("{{\"x\":{one},\"x\":{two}}}"), 8, "the key \"x\" comes twice"),
        (format!("{{\"x\":{one},\"x\":{one}}}"), 4, "the key \"x\" comes twice"),
        (
            format!("{{\"__metadata__\":{{}},\"__metadata__\":{{}},\"x\":{one}}}"),
            4,
            "duplicate field",
        ),
        (format!("{{\"x\":{one},\"y\":{one}}}"), 4, "not a whole"),
        (format!("{{\"x\":{two}}}"), 8, "not a whole"),
        (
            format!("{{\"x\":{one}}}"),
            5,
            "tells of 4 bytes of data, the file holds 5",
        ),
        (format!("{{\"x\":{one}}} {{}}"), 4, "not a whole"),
        (format!("[{one}]"), 4, "not a whole"),
        (with("[4294967296,4294967296]", "[0,0]"), 0, "not a whole"),
        (with("[0,4294967296,4294967296]", "[0,0]"), 0, "too large to address"),
        (with("[1]", "[18446744073709551612,0]"), 4, "not a whole"),
        (with("[1]", "[0,18446744073709551616]"), 4, "not a whole"),
        (with("[-1]", "[0,4]"), 4, "not a whole"),
        (with("[1.0]", "[0,4]"), 4, "not a whole"),
        (long("[", 1 << 20), 0, "not a whole"),
        (long("{\"x\":", 1 << 18), 0, "not a whole"),
        (format!("{{\"x\":{}", long("[", 1 << 20)), 0, "not a whole"),
        (with(&format!("[{}2]", long("1,", 1 << 20)), "[0,4]"), 4, "not a whole"),
        (
            format!("{{\"x\":{{\"no\":[{}1]}}}}", long("1,", 1 << 20)),
            4,
            "not a whole",
        ),
        (
            format!(
                "{{\"__metadata__\":{{{}\"\":\"\"}}}}",
                (0..1 << 14).map(|i| format!("\"{i}\":\"\",")).collect::<String>()
            ),
            0,
            "has no key",
        ),
        (format!("{{\"{}\":{one}}}", long("\u{7}é", 1 << 18)), 4, "not a whole"),
        (format!("{{\"{}\":{one}}}", long("\\u001b", 1 << 18)), 4, "has no key"),
    ] {
        let bytes = safetensors(&header, &vec![0; data]);
        assert!(!read(&path, Some("x"), &bytes, &mut rng, &safetensors_truth), "{text}");
        let message = files::open(&keyed(&path)).unwrap_err();
        assert!(message.contains(text), "{text}: {}", &message[..message.len().min(300)]);
    }
    let npy_path = folder.path().join("x.npy");
    let header = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}");
    for (header, text) in [
        (header(&format!("({})", long("1,", 1 << 19))), "has a header of"),
        (header(&format!("({})", long("2,", 1 << 18))), "has 262144 dimensions"),
        (header(&long("(", 1 << 19)), "bad shape"),
        (header(&format!("({})", long("9", 1 << 19))), "bad shape"),
        (header("(0, 4294967296, 4294967296)"), "too large to address"),
        (format!("{{'descr': '{}'}}", long("\u{1b}", 1 << 19)), "lacks"),
        (
            header("(1,)").replace("<f4", &long("\u{1b}", 1 << 19)),
            "\u{fffd}\u{fffd}…",
        ),
    ] {
        let bytes = npy(2, &header, &[0; 4]);
        assert!(!read(&npy_path, None, &bytes, &mut rng, &npy_truth), "{text}");
        let message = files::open(npy_path.as_os_str()).unwrap_err();
        assert!(message.contains(text), "{text}: {}", &message[..message.len().min(300)]);
    }
}
