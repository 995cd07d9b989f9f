//! Bindings at the limits of the adapter: the largest window, offsets at the alignment, as many bindings and workgroups
//! as there may be.

use super::finding::{Fault, Finding, Test, Verdict, differs};
use super::lab::{Kernel, Lab, Window, kernel};

const KERNEL: Kernel = kernel!("windows", "main");

pub const TESTS: [Test; 4] = [
    Test {
        name: "largest-window",
        what: "first and last word of the largest binding",
        run: largest,
    },
    Test {
        name: "offsets",
        what: "windows that begin at multiples of the alignment, and touch no neighbour",
        run: offsets,
    },
    Test {
        name: "bindings",
        what: "eight storage buffers of one dispatch, each itself",
        run: bindings,
    },
    Test {
        name: "workgroups",
        what: "65,535 workgroups along each dimension",
        run: workgroups,
    },
];

/// The engine binds no more at once, and no fewer than this are worth a test.
const MOST: u64 = 1 << 31;
pub const LEAST: u64 = 1 << 20;

const TAG: u32 = 0x5eed_0001;

fn largest(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let limits = lab.device.limits();
    let allowed = limits
        .max_storage_buffer_binding_size
        .min(limits.max_buffer_size)
        .min(MOST);
    let mut bytes = allowed.min(lab.most) / 4 * 4;
    // What is allowed need not be there.
    let buffer = loop {
        match lab.zeros(bytes) {
            Ok(buffer) => break buffer,
            Err(why) if bytes / 2 < LEAST => return Err(why),
            Err(_) => bytes = bytes / 8 * 4,
        }
    };
    let params = lab.uniforms(&[TAG, fault.bits(1 << 3), 0, 0], 0)?;
    let out = lab.zeros(4)?;
    let windows = [Window::whole(&buffer), Window::whole(&out)];
    lab.dispatch(KERNEL, &Window::whole(&params), &windows, [1, 1, 1])?;
    let mut got = lab.read(&out, 0, 1)?;
    got.extend(lab.read(&buffer, 0, 2)?);
    got.extend(lab.read(&buffer, bytes - 8, 2)?);
    buffer.destroy();
    let want = [(bytes / 4) as u32, TAG, 0, 0, TAG + 1];
    let seen = match bytes == allowed {
        true => format!("{bytes} bytes, all that is allowed"),
        false => format!("{bytes} bytes, of {allowed} that are allowed"),
    };
    Ok(Finding::judged(seen, differs(&got, want)).with("bytes", bytes as f64))
}

fn offsets(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let limits = lab.device.limits();
    let storage = u64::from(limits.min_storage_buffer_offset_alignment);
    let uniform = u64::from(limits.min_uniform_buffer_offset_alignment);
    const WINDOWS: u64 = 9;
    /// Of a window: it neither begins nor ends where a vector would.
    const WORDS: u64 = 3;
    let whole = storage.max(16) * (WINDOWS + 1);
    for nth in 0..WINDOWS {
        let buffer = lab.zeros(whole)?;
        let params = lab.uniforms(&[TAG, fault.bits(1), 0, 0], nth * uniform)?;
        let out = lab.zeros(4)?;
        let offset = nth * storage;
        let window = |buffer, offset, bytes| Window { buffer, offset, bytes };
        lab.dispatch(
            KERNEL,
            &window(&params, nth * uniform, 16),
            &[window(&buffer, offset, 4 * WORDS), Window::whole(&out)],
            [1, 1, 1],
        )?;
        let got = lab.read(&buffer, 0, (whole / 4) as usize)?;
        let word = |at: u64| match at {
            at if at == offset / 4 => TAG,
            at if at == offset / 4 + WORDS - 1 => TAG + 1,
            _ => 0,
        };
        let wrong = differs(&lab.read(&out, 0, 1)?, [WORDS as u32]).or(differs(&got, (0..whole / 4).map(word)));
        if let Some(wrong) = wrong {
            return Ok(Finding::new(Verdict::Failed, format!("at byte {offset}: {wrong}")));
        }
    }
    let seen = format!("multiples of {storage} bytes, of {uniform} for params");
    Ok(Finding::new(Verdict::Passed, seen)
        .with("storage", storage as f64)
        .with("uniform", uniform as f64))
}

fn bindings(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let inputs: Vec<Vec<u32>> = (1..8u32).map(|nth| (0..64).map(|i| (nth + i) & 15).collect()).collect();
    let all: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
    let got = lab.run(
        kernel!("bindings", "main"),
        [fault.bits(1 << 5), 0, 0, 0],
        &all,
        64,
        [1, 1, 1],
    )?;
    let word = |i: usize| inputs.iter().rev().fold(0, |word, own| word << 4 | own[i]);
    Ok(Finding::judged("each", differs(&got, (0..64).map(word))))
}

fn workgroups(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let most = lab.device.limits().max_compute_workgroups_per_dimension.min(65_535);
    for dimension in 0..3 {
        let mut groups = [1; 3];
        groups[dimension] = most;
        let params = [fault.bits(1 << 4), most - 1, 0, 0];
        let got = lab.run(kernel!("groups", "main"), params, &[], most as usize, groups)?;
        let word = |at: u32| at.wrapping_mul(2_654_435_761).wrapping_add(1);
        if let Some(wrong) = differs(&got, (0..most).map(word)) {
            let name = ["x", "y", "z"][dimension];
            return Ok(Finding::new(Verdict::Failed, format!("along {name}: {wrong}")));
        }
    }
    Ok(Finding::new(Verdict::Passed, format!("{most} each")))
}
