//! Bindings, params and states are those of the plans and of the Rust structs.

use std::collections::BTreeSet;

use naga::valid::ModuleInfo;
use wgloss::layout::{
    ColumnSumsParams, Control, ElementParams, FilterParams, GateParams, GatherParams, MultiplyParams, OrderParams,
    PairParams, ProductParams, ReduceParams, RoundedParams, RowParams, UpdateParams, UpstreamParams,
};
use wgloss::limits::MAX_ITERATIONS;
use wgloss::plan::Dispatch;
use wgloss::shader::Const;

use super::variants::{checked, variants};
use super::{claim, parse};

/// Names and offsets.
type Fields = &'static [(&'static str, usize)];

/// naga accepts every variant, or, in the quick form, an eighth of them and each piece. The layout is derived from the
/// shader, so a plan must bind exactly what the shader uses, written or not; params and states are laid out as the Rust
/// structs say; loops are short.
#[test]
fn every_variant_is_what_plans_reckon_with() {
    let all = variants();
    assert!(all.len() > 4000, "only {} variants", all.len());
    let structs: [(&str, Fields, usize); 14] = [
        ("filter", FilterParams::FIELDS, size_of::<FilterParams>()),
        ("order", OrderParams::FIELDS, size_of::<OrderParams>()),
        ("rounded", RoundedParams::FIELDS, size_of::<RoundedParams>()),
        ("column_sums", ColumnSumsParams::FIELDS, size_of::<ColumnSumsParams>()),
        ("row", RowParams::FIELDS, size_of::<RowParams>()),
        ("element", ElementParams::FIELDS, size_of::<ElementParams>()),
        ("reduce", ReduceParams::FIELDS, size_of::<ReduceParams>()),
        ("pair", PairParams::FIELDS, size_of::<PairParams>()),
        ("update", UpdateParams::FIELDS, size_of::<UpdateParams>()),
        ("upstream", UpstreamParams::FIELDS, size_of::<UpstreamParams>()),
        ("gate", GateParams::FIELDS, size_of::<GateParams>()),
        ("gather", GatherParams::FIELDS, size_of::<GatherParams>()),
        ("product", ProductParams::FIELDS, size_of::<ProductParams>()),
        ("multiply", MultiplyParams::FIELDS, size_of::<MultiplyParams>()),
    ];
    let seen = std::sync::Mutex::new(BTreeSet::new());
    claim(checked(), |dispatch, module, info| {
        binds(dispatch, module, info)?;
        states(dispatch, module)?;
        let label = &dispatch.variant.label;
        let (fields, size) = params(module).ok_or_else(|| format!("{label}: Params is no struct"))?;
        let same = |own: &[(&str, usize)]| {
            own.iter()
                .map(|(name, at)| (name.to_string(), *at))
                .eq(fields.iter().cloned())
        };
        let Some((kind, _, ours)) = structs.iter().find(|(_, own, _)| same(own)) else {
            return Err(format!(
                "{label}: Params of {} is {fields:?}",
                dispatch.variant.pieces[0].path
            ));
        };
        if size != *ours || dispatch.params.len() != size {
            return Err(format!(
                "{label}: {size} bytes of params, {ours} in Rust, {} given",
                dispatch.params.len()
            ));
        }
        seen.lock().unwrap().insert(*kind);
        if dispatch.iterations >= MAX_ITERATIONS {
            return Err(format!("{label}: {} iterations", dispatch.iterations));
        }
        Ok(())
    });
    assert_eq!(
        seen.lock().unwrap().len(),
        structs.len(),
        "some params were seen nowhere: {seen:?}"
    );
}

/// Members of `Params` with their offsets, and its size.
fn params(module: &naga::Module) -> Option<(Vec<(String, usize)>, usize)> {
    let (_, found) = module
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some("Params"))?;
    let naga::TypeInner::Struct { members, span } = &found.inner else {
        return None;
    };
    let fields = members
        .iter()
        .map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize));
    Some((fields.collect(), *span as usize))
}

fn binds(dispatch: &Dispatch, module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    let label = &dispatch.variant.label;
    let used = info.get_entry_point(0);
    let mut declared = BTreeSet::new();
    for (handle, global) in module.global_variables.iter() {
        let Some(binding) = &global.binding else {
            continue;
        };
        if used[handle].is_empty() {
            return Err(format!("{label}: binding {} is not used", binding.binding));
        }
        let written = matches!(
            global.space,
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE)
        );
        declared.insert((binding.binding, written));
    }
    let mut bound: BTreeSet<_> = dispatch.bindings.iter().map(|b| (b.slot as u32, b.written)).collect();
    bound.insert((0, false));
    if declared != bound {
        return Err(format!("{label}: declares {declared:?}, bound {bound:?}"));
    }
    if declared.len() > 1 + 8 {
        return Err(format!(
            "{label}: {} storage buffers, WebGPU gives 8",
            declared.len() - 1
        ));
    }
    Ok(())
}

/// The sizes of states that plans reckon with are those of the shaders.
fn states(dispatch: &Dispatch, module: &naga::Module) -> Result<(), String> {
    for (_, global) in module.global_variables.iter() {
        let Some(
            name @ ("states_in" | "states_out" | "counts_out" | "records_out" | "records" | "rows_in" | "rows_out"
            | "merged_in" | "merged_out"),
        ) = global.name.as_deref()
        else {
            continue;
        };
        let naga::TypeInner::Array { stride, .. } = module.types[global.ty].inner else {
            return Err(format!("{name} is no array"));
        };
        let slot = global.binding.as_ref().unwrap().binding;
        let binding = dispatch.bindings.iter().find(|b| b.slot as u32 == slot).unwrap();
        let tiles = dispatch.tiles.1 - dispatch.tiles.0;
        // Rows that lie side by side have a state each for every tile of columns, and the last of them may be fewer.
        let beside = dispatch.variant.consts.iter().find_map(|own| match own {
            Const::U32("BESIDE", rows) => Some(u64::from(*rows)),
            _ => None,
        });
        let fits = |count: u64| match beside {
            Some(rows) => (1..=count * rows).contains(&(binding.size / u64::from(stride))),
            None => binding.size == count * u64::from(stride),
        };
        // A tile of a product has a state for each of its rows, and rows in an order have theirs anywhere.
        let has = |path: &str| dispatch.variant.pieces.iter().any(|own| own.path == path);
        let lies_apart = has("product/folded.wgsl") || has("row/ordered.wgsl");
        let exact = name != "states_out" || lies_apart || fits(tiles.max(1));
        // A later dispatch's window begins on an aligned place before its first state.
        let later = dispatch.tiles.0 > 0 && binding.size >= tiles * u64::from(stride);
        if !binding.size.is_multiple_of(u64::from(stride)) || !(exact || later) {
            return Err(format!(
                "{}: {} bytes of {name} of {stride} bytes each, {tiles} tiles",
                dispatch.variant.label, binding.size
            ));
        }
    }
    Ok(())
}

/// What `state/count.wgsl` leaves is read as `Control`.
#[test]
fn control_is_laid_out_as_in_rust() {
    let count = variants()
        .iter()
        .find(|d| d.variant.label.starts_with("count_labels") && d.variant.label.contains("last"));
    let (module, _) = parse(&count.unwrap().variant).unwrap();
    let words = module
        .constants
        .iter()
        .find(|(_, c)| c.name.as_deref() == Some("RESULT_WORDS"))
        .unwrap()
        .1;
    let naga::Expression::Literal(naga::Literal::U32(words)) = module.global_expressions[words.init] else {
        panic!("a number");
    };
    assert_eq!(words as usize * 4, size_of::<Control>());
    let state = module
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some("State"))
        .unwrap()
        .1;
    let naga::TypeInner::Struct { members, span } = &state.inner else {
        panic!("a struct");
    };
    let names: Vec<_> = members.iter().filter_map(|m| m.name.as_deref()).collect();
    assert_eq!(
        names,
        [
            "weight",
            "rows",
            "kept",
            "ignored",
            "bad",
            "first_bad",
            "bad_low",
            "bad_high"
        ]
    );
    assert_eq!(*span, 32);
    // What the kernel of the losses leaves is read as that state.
    let counting = variants().iter().find(|d| d.variant.label.contains("/counts"));
    let (counting, _) = parse(&counting.unwrap().variant).unwrap();
    let counted = counting
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some("Counted"))
        .unwrap()
        .1;
    let naga::TypeInner::Struct { members: own, .. } = &counted.inner else {
        panic!("a struct");
    };
    let places = |of: &[naga::StructMember]| of.iter().map(|m| (m.name.clone(), m.offset)).collect::<Vec<_>>();
    assert_eq!(places(own), places(members));
}
