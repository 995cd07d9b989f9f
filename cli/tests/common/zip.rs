//! Archives as numpy writes them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write;

/// How an archive is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// As np.savez_compressed packs.
    pub deflated: bool,
    /// With the directory of archives beyond 4 GiB.
    pub wide: bool,
}

fn little(bytes: &mut Vec<u8>, numbers: &[(u64, usize)]) {
    for &(number, width) in numbers {
        bytes.extend(&number.to_le_bytes()[..width]);
    }
}

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn archive(members: &[(&str, &[u8])], style: Style) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let (method, all) = (if style.deflated { 8 } else { 0 }, u64::from(u32::MAX));
    for (name, bytes) in members {
        let at = file.len() as u64;
        let packed = if style.deflated { deflate(bytes) } else { bytes.to_vec() };
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let (crc, length, size) = (u64::from(crc.sum()), bytes.len() as u64, packed.len() as u64);
        // numpy writes the sizes of each member in 64 bits.
        file.extend(b"PK\x03\x04");
        little(
            &mut file,
            &[
                (45, 2),
                (0, 2),
                (method, 2),
                (0, 2),
                (0x21, 2),
                (crc, 4),
                (all, 4),
                (all, 4),
            ],
        );
        little(&mut file, &[(name.len() as u64, 2), (20, 2)]);
        file.extend(name.as_bytes());
        little(&mut file, &[(1, 2), (16, 2), (length, 8), (size, 8)]);
        file.extend(&packed);

        directory.extend(b"PK\x01\x02");
        little(
            &mut directory,
            &[(0x32d, 2), (45, 2), (0, 2), (method, 2), (0, 2), (0x21, 2), (crc, 4)],
        );
        let sizes = if style.wide { [all; 3] } else { [size, length, at] };
        little(&mut directory, &[(sizes[0], 4), (sizes[1], 4), (name.len() as u64, 2)]);
        little(
            &mut directory,
            &[
                (if style.wide { 28 } else { 0 }, 2),
                (0, 2),
                (0, 2),
                (0, 2),
                (0x0180_0000, 4),
                (sizes[2], 4),
            ],
        );
        directory.extend(name.as_bytes());
        if style.wide {
            little(&mut directory, &[(1, 2), (24, 2), (length, 8), (size, 8), (at, 8)]);
        }
    }
    let (count, size, at) = (members.len() as u64, directory.len() as u64, file.len() as u64);
    file.extend(directory);
    if style.wide {
        let end = file.len() as u64;
        file.extend(b"PK\x06\x06");
        little(
            &mut file,
            &[
                (44, 8),
                (45, 2),
                (45, 2),
                (0, 4),
                (0, 4),
                (count, 8),
                (count, 8),
                (size, 8),
                (at, 8),
            ],
        );
        file.extend(b"PK\x06\x07");
        little(&mut file, &[(0, 4), (end, 8), (1, 4)]);
    }
    file.extend(b"PK\x05\x06");
    let [count, size, at] = if style.wide {
        [0xffff, all, all]
    } else {
        [count, size, at]
    };
    little(
        &mut file,
        &[(0, 2), (0, 2), (count, 2), (count, 2), (size, 4), (at, 4), (0, 2)],
    );
    file
}
