//! Loops, lanes of a workgroup that wait for each other, atomics, and lanes of a subgroup.

use super::finding::{Fault, Finding, Test, Verdict, differs};
use super::lab::{Kernel, Lab, Window, kernel};

pub const TESTS: [Test; 7] = [
    Test {
        name: "loops",
        what: "32,768 turns of an invocation, in one loop or nested",
        run: loops,
    },
    Test {
        name: "long-loops",
        what: "65,536 turns and more, which the library does not need",
        run: long_loops,
    },
    Test {
        name: "barriers",
        what: "256 lanes through workgroup memory, 64 turns",
        run: |lab, fault| barriers(lab, fault, kernel!("lanes", "workgroup_memory"), false),
    },
    Test {
        name: "storage-barriers",
        what: "the same through storage",
        run: |lab, fault| barriers(lab, fault, kernel!("lanes", "storage_memory"), true),
    },
    Test {
        name: "workgroup-memory",
        what: "all of the 16 KiB that WebGPU promises",
        run: memory,
    },
    Test {
        name: "atomics",
        what: "16,384 invocations add, raise, set bits, and change halves of one word",
        run: atomics,
    },
    Test {
        name: "shuffles",
        what: "lanes read each other's registers, and are where the library takes them to be",
        run: shuffles,
    },
];

const LOOPS: Kernel = kernel!("loops", "main");

/// What each of 64 lanes counts and mixes; `None` where the loop ended early, with what was counted.
fn turned(lab: &Lab, turns: u32, outer: u32, flip: u32) -> Result<Option<String>, String> {
    let got = lab.run(LOOPS, [turns, outer, flip, 0], &[], 128, [1, 1, 1])?;
    let lane = |lane: u32| {
        let mut mixed = lane;
        for _ in 0..outer {
            for i in lane..turns {
                mixed = mixed
                    .wrapping_mul(1_664_525)
                    .wrapping_add(1_013_904_223)
                    .wrapping_add(i);
            }
        }
        [outer * turns.saturating_sub(lane), mixed]
    };
    let want: Vec<u32> = (0..64).flat_map(lane).collect();
    let Some(at) = got.iter().zip(&want).position(|(got, want)| got != want) else {
        return Ok(None);
    };
    let lane = at / 2;
    Ok(Some(format!(
        "lane {lane} took {} turns, expected {}",
        got[2 * lane],
        want[2 * lane]
    )))
}

fn loops(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let mut wrong = None;
    for (turns, outer) in [(32_768, 1), (256, 128), (128, 256), (1000, 32)] {
        wrong = wrong.or(turned(lab, turns, outer, fault.bits(1))?);
    }
    Ok(Finding::judged("all turns", wrong))
}

fn long_loops(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    // What is needed is what the others are told beside.
    if let Some(why) = turned(lab, 1024, 1, fault.bits(1))? {
        return Ok(Finding::new(Verdict::Failed, format!("1024: {why}")));
    }
    let mut seen = Vec::new();
    for turns in [65_536, 100_000] {
        let wrong = turned(lab, turns, 1, fault.bits(1))?;
        seen.push(wrong.map_or(format!("{turns}: all"), |why| format!("{turns}: {why}")));
    }
    Ok(Finding::new(Verdict::Note, seen.join("; ")))
}

const WIDTH: usize = 256;

fn barriers(lab: &Lab, fault: Fault, kernel: Kernel, has_shelf: bool) -> Result<Finding, String> {
    const GROUPS: usize = 32;
    const TURNS: usize = 64;
    let params = lab.uniforms(&[TURNS as u32, GROUPS as u32, fault.bits(1 << 20), 0], 0)?;
    let out = lab.zeros((4 * WIDTH * GROUPS) as u64)?;
    let shelf = lab.zeros((4 * WIDTH * GROUPS) as u64)?;
    let mut windows = vec![Window::whole(&out)];
    windows.extend(has_shelf.then(|| Window::whole(&shelf)));
    lab.dispatch(kernel, &Window::whole(&params), &windows, [GROUPS as u32, 1, 1])?;
    let got = lab.read(&out, 0, WIDTH * GROUPS)?;
    let mut want: Vec<u32> = (0..(WIDTH * GROUPS) as u32).collect();
    for group in want.chunks_mut(WIDTH) {
        for turn in 0..TURNS {
            let before = group.to_vec();
            for (lane, value) in group.iter_mut().enumerate() {
                let other = before[(lane + 37 * turn + 1) % WIDTH];
                *value = value.wrapping_mul(3).wrapping_add(other);
            }
        }
    }
    Ok(Finding::judged(format!("{GROUPS} workgroups"), differs(&got, want)))
}

fn memory(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    const WORDS: u32 = 4096;
    const GROUPS: u32 = 4;
    let kernel = kernel!("memory", "main");
    let params = [fault.bits(1 << 7), 0, 0, 0];
    let got = lab.run(kernel, params, &[], (WORDS * GROUPS) as usize, [GROUPS, 1, 1])?;
    let word = |at: u32| {
        (WORDS - 1 - at % WORDS)
            .wrapping_mul(2_654_435_761)
            .wrapping_add(at / WORDS)
    };
    Ok(Finding::judged(
        "each word",
        differs(&got, (0..WORDS * GROUPS).map(word)),
    ))
}

fn atomics(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    const GROUPS: u32 = 64;
    const COUNT: u32 = 256 * GROUPS;
    let params = [0, GROUPS, fault.bits(1 << 15), 0];
    // The kernel binds neither `out` nor `shelf`: its counts stand alone.
    let params = lab.uniforms(&params, 0)?;
    let counts = lab.zeros(16)?;
    lab.dispatch_at(
        kernel!("lanes", "atomics"),
        &[(0, Window::whole(&params)), (3, Window::whole(&counts))],
        [GROUPS, 1, 1],
    )?;
    let got = lab.read(&counts, 0, 4)?;
    let want = [COUNT / 2 * (COUNT - 1), COUNT - 1, u32::MAX, (COUNT / 2) * 0x1_0001];
    Ok(Finding::judged(format!("of {COUNT}"), differs(&got, want)))
}

fn shuffles(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    if !lab.device.features().contains(wgpu::Features::SUBGROUP) {
        return Ok(Finding::new(Verdict::Skipped, "the adapter has no subgroups"));
    }
    let kernel = kernel!("shuffles", "main");
    let got = lab.run(kernel, [fault.bits(1 << 11), 0, 0, 0], &[], 6 * WIDTH, [1, 1, 1])?;
    let lanes: Vec<&[u32]> = got.chunks(6).collect();
    let size = lanes.first().map_or(0, |lane| lane[0]);
    let info = lab.info();
    let (least, most) = (info.subgroup_min_size, info.subgroup_max_size);
    // Of subgroups whose size varies the library uses those of whole groups of 32: what others do is told.
    let counts = least == most || least >= 32;
    let (verdict, told) = match counts {
        true => (Verdict::Failed, ""),
        false => (
            Verdict::Note,
            ", in subgroups that the library does not use, since their size varies",
        ),
    };
    let fail = |why: String| Ok(Finding::new(verdict, why + told));
    if !size.is_power_of_two() || !(least..=most).contains(&size) || size < 2 {
        return fail(format!("a size of {size}, where the adapter says {least} to {most}"));
    }
    let value = |lane: u32| lane.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    for (lane, own) in (0..).zip(&lanes) {
        let (first, place) = (lane / size * size, lane % size);
        if own[0] != size || own[1] != place {
            let why = format!(
                "lane {lane} is {} of {}, where {place} of {size} was expected: lanes do not follow one another",
                own[1], own[0]
            );
            return fail(why);
        }
        let from = [place ^ 1, place ^ (size / 2), (place + size / 2 + 1) % size, 0];
        for (got, from) in own[2..].iter().zip(from) {
            if *got != value(first + from) {
                return fail(format!("lane {lane} did not get what lane {} had", first + from));
            }
        }
    }
    let seen = match least == most {
        true => format!("subgroups of {size}"),
        false => format!("subgroups of {size} here, of {least} to {most} elsewhere"),
    };
    let verdict = if counts { Verdict::Passed } else { Verdict::Note };
    Ok(Finding::new(verdict, seen).with("size", size.into()))
}
