//! Invented limits and tunings, and what holds of any plan under any limits.

use wgloss::limits::MAX_ITERATIONS;
use wgloss::plan::{Origin, Plan};
use wgloss::{Limits, Role, Tuning};

/// What WebGPU promises on every device.
pub const DEFAULT_LIMITS: Limits = Limits {
    max_binding_bytes: 128 << 20,
    max_buffer_bytes: 256 << 20,
    max_dispatch_bytes: 1 << 30,
    offset_alignment: 256,
    uniform_alignment: 256,
    max_groups: 65_535,
    max_width: 256,
    subgroup: 1,
    unpacks_f16: false,
    packs_f16: false,
    scratch_bytes: 64 << 20,
};

/// Small enough that small data is cut.
pub const TINY: Limits = Limits {
    max_binding_bytes: 24 << 10,
    max_buffer_bytes: 256 << 20,
    max_groups: 7,
    ..DEFAULT_LIMITS
};

/// Tiles that fit into the bindings of [`TINY`].
pub const SMALL: Tuning = Tuning {
    tile: 512,
    lane_cols: 64,
    ..Tuning::SOFTWARE
};

/// Rows of a few tiles, the last of them short.
pub const WIDE: Tuning = Tuning {
    wide_cols: 64,
    wide_tile: 32,
    ..SMALL
};

/// The claims about any plan, and those about its tiles: `covered` names the dispatches that are looked at.
pub fn verify(plan: &Plan, limits: &Limits, size_of: &dyn Fn(Role) -> u64, covered: &str) {
    keeps(plan, limits, size_of);
    let (mut next, mut passes) = (0, Vec::new());
    for dispatch in plan.dispatches() {
        let (label, (first, end)) = (&dispatch.variant.label, dispatch.tiles);
        if label.starts_with(covered) {
            // Losses and gradients may be two passes over all tiles.
            if first == 0 && next > 0 {
                passes.push(std::mem::take(&mut next));
            }
            assert_eq!(first, next, "{label}: tiles left out or done twice");
            next = end;
        }
    }
    assert!(next > 0, "nothing covered");
    assert!(passes.iter().all(|&end| end == next), "passes of different lengths");
}

/// A plan keeps the limits, and binds what there is.
pub fn keeps(plan: &Plan, limits: &Limits, size_of: &dyn Fn(Role) -> u64) {
    for dispatch in plan.dispatches() {
        let label = &dispatch.variant.label;
        let groups = u64::from(dispatch.groups[0]) * u64::from(dispatch.groups[1]);
        let (first, end) = dispatch.tiles;
        assert!(
            dispatch.groups.iter().all(|&g| (1..=limits.max_groups).contains(&g)),
            "{label}"
        );
        assert!(
            groups >= end - first,
            "{label}: {groups} workgroups for tiles {first}..{end}"
        );
        assert!(
            dispatch.iterations < MAX_ITERATIONS,
            "{label}: {} iterations",
            dispatch.iterations
        );
        for binding in &dispatch.bindings {
            assert!(binding.size <= limits.max_binding_bytes, "{label} {binding:?}");
            assert!(
                binding.offset.is_multiple_of(limits.offset_alignment),
                "{label} {binding:?}"
            );
            let size = match binding.source {
                Origin::Scratch(index) => plan.scratch[index],
                Origin::Tensor(role) => size_of(role),
            };
            assert!(
                binding.offset + binding.size <= size.max(32),
                "{label} {binding:?} of {size}"
            );
        }
    }
}
