//! Archives that somebody else has made.

#[path = "../../../cli/tests/common/zip.rs"]
mod zip;

use rand::{Rng, RngCore, SeedableRng};
use rand_pcg::Pcg64;
use wgloss_shell::files;

use super::mutation::{mutated, npy};
use super::truth::element;
use super::{each_seed, keyed, read};
use zip::{Style, archive};

/// The window and the tables of a decoder, and what it reads at a time.
pub const DECODER: usize = 64 << 10;

const STYLES: [Style; 3] = [
    Style {
        deflated: false,
        wide: false,
    },
    Style {
        deflated: true,
        wide: false,
    },
    Style {
        deflated: true,
        wide: true,
    },
];

/// An array of random f32 as .npy, and its numbers.
fn array(rng: &mut Pcg64, shape: &str, count: usize) -> (Vec<u8>, Vec<f64>) {
    let mut data = vec![0; 4 * count];
    // Most bytes are the same, so that there is something to pack.
    rng.fill_bytes(&mut data[..2 * count]);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}  \n");
    let numbers = data.chunks_exact(4).map(|own| element("f4", own)).collect();
    (npy(1, &header, &data), numbers)
}

/// What is read is what was saved, wherever the archive is damaged: its checksums see to it.
#[test]
fn mutated_archives_hold_what_was_saved_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let accepted = each_seed(6000, |rng| {
        let style = STYLES[rng.random_range(0..STYLES.len())];
        let (x, x_numbers) = array(rng, "(2, 3)", 6);
        let (y, y_numbers) = array(rng, "(40,)", 40);
        let bytes = archive(&[("x.npy", &x), ("y.npy", &y)], style);
        let all = bytes.len();
        let bytes = mutated(rng, bytes, all);
        let key = ["x", "y.npy"][rng.random_range(0..2)];
        let truth = |_: &[u8], key: Option<&str>| match key {
            Some("x") => (vec![2, 3], x_numbers.clone()),
            _ => (vec![40], y_numbers.clone()),
        };
        read(&path, Some(key), &bytes, rng, &truth)
    });
    assert!((400..5000).contains(&accepted), "{accepted}");
}

/// `bytes` with other ones in place of what stands at `at`.
fn with(bytes: &[u8], at: usize, other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + other.len()].copy_from_slice(other);
    bytes
}

fn place(bytes: &[u8], token: &[u8], nth: usize) -> usize {
    let mut places = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(token));
    places.nth(nth).unwrap()
}

#[test]
fn archives_made_to_hurt_are_refused_within_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let mut rng = Pcg64::seed_from_u64(7);
    let (x, _) = array(&mut rng, "(2, 3)", 6);
    let (y, _) = array(&mut rng, "(40,)", 40);
    let members: [(&str, &[u8]); 2] = [("x.npy", &x), ("y.npy", &y)];
    let [stored, packed, wide] = STYLES.map(|style| archive(&members, style));
    let entry = |bytes: &[u8]| place(bytes, b"PK\x01\x02", 0);
    let end = |bytes: &[u8]| place(bytes, b"PK\x05\x06", 0);
    // A gigabyte of zeros by its own word, in a few bytes; and one that is as long as it says, and no array.
    let claimed = npy(
        1,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (268435456,), }\n",
        &[],
    );
    let bomb = archive(&[("x.npy", &claimed)], STYLES[1]);
    let giga = with(
        &bomb,
        entry(&bomb) + 24,
        &((claimed.len() + (1 << 30)) as u32).to_le_bytes(),
    );
    let zeros = archive(&[("x.npy", &vec![0; 1 << 20])], STYLES[1]);
    let many = archive(&vec![("x.npy", &x[..0]); 4000].to_vec(), STYLES[0]);
    let cases = [
        (stored[..stored.len() - 1].to_vec(), "is not a whole .npz file"),
        (
            with(&stored, end(&stored) + 8, &[255; 4]),
            "tells of 65535 members and lists 2",
        ),
        (with(&stored, end(&stored) + 12, &[255; 4]), "is not a whole .npz file"),
        (with(&stored, end(&stored) + 16, &[1]), "is not a whole .npz file"),
        (with(&stored, end(&stored) + 4, &[1]), "is not a whole .npz file"),
        (
            with(&wide, place(&wide, b"PK\x06\x06", 0) + 24, &[255; 16]),
            "tells of 18446744073709551615 members",
        ),
        (
            with(&wide, place(&wide, b"PK\x06\x07", 0) + 8, &[255; 8]),
            "is not a whole .npz file",
        ),
        (with(&packed, entry(&packed) + 8, &[1]), "is encrypted"),
        (with(&packed, entry(&packed) + 10, &[12]), "is packed by method 12"),
        (with(&packed, entry(&packed) + 10, &[0]), "that are not packed"),
        (
            with(&stored, entry(&stored) + 20, &[255, 255]),
            "does not lie in it by itself",
        ),
        (
            with(&stored, entry(&stored) + 42, &[255; 4]),
            "does not lie in it by itself",
        ),
        (with(&stored, entry(&stored) + 24, &[255, 255]), "that are not packed"),
        (giga, "more than deflate packs into them"),
        (with(&packed, 4 + 4, &[0]), "is another one where it lies"),
        (with(&packed, 30, b"z"), "is another one where it lies"),
        (with(&stored, 28, &[255, 255]), "reaches beyond the file"),
        (
            archive(&[("x.npy", &x), ("x.npy", &x)], STYLES[0]),
            "\"x.npy\" comes twice",
        ),
        (many, "\"x.npy\" comes twice"),
        (zeros, "is neither a .npy file"),
        (archive(&[("x.npy", b"")], STYLES[0]), "is empty"),
        (
            archive(&[("y.npy", &y), ("z", &x)], STYLES[1]),
            "has no key \"x\"; its keys: y, z",
        ),
        (archive(&[], STYLES[0]), "has no key \"x\"; its keys: none"),
        (b"PK".to_vec(), "is not a whole .npz file"),
        (vec![], "is not a whole .npz file"),
    ];
    let truth = |_: &[u8], _: Option<&str>| (vec![2, 3], vec![]);
    for (bytes, text) in cases {
        assert!(!read(&path, Some("x"), &bytes, &mut rng, &truth), "{text}");
        let message = files::open(&keyed(&path)).unwrap_err();
        assert!(message.contains(text), "{text}: {message}");
    }
    // What only the bytes themselves tell.
    for (bytes, text) in [
        (
            with(&stored, 30 + 5 + 20 + x.len() - 1, &[1]),
            "is damaged: its checksum is",
        ),
        (
            with(&stored, entry(&stored) + 16, &[0; 4]),
            "is damaged: its checksum is",
        ),
        (
            with(&packed, entry(&packed) + 16, &[0; 4]),
            "is damaged: its checksum is",
        ),
    ] {
        assert!(!read(&path, Some("x"), &bytes, &mut rng, &truth), "{text}");
        let message = files::open(&keyed(&path)).unwrap().read_whole().unwrap_err();
        assert!(message.contains(text), "{text}: {message}");
    }
    // Another length than the packed bytes have: one element more, one less.
    for (shape, text) in [
        ("(2, 4)", "fewer bytes than the archive claims"),
        ("(2, 2)", "more bytes than the archive claims"),
    ] {
        let other = String::from_utf8_lossy(&x[10..]).find("(2, 3)").unwrap() + 10;
        let x = with(&x, other, shape.as_bytes());
        let bytes = archive(&[("x.npy", &x)], STYLES[1]);
        let length = if shape == "(2, 4)" { x.len() + 8 } else { x.len() - 8 };
        let bytes = with(&bytes, entry(&bytes) + 24, &(length as u32).to_le_bytes());
        assert!(!read(&path, Some("x"), &bytes, &mut rng, &truth), "{text}");
        let message = files::open(&keyed(&path)).unwrap().read_whole().unwrap_err();
        assert!(message.contains(text), "{text}: {message}");
    }
}
