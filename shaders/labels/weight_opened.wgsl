// The weight of a wide row's class, of which driver/wide_open.wgsl has left a copy: all classes may be more than one
// binding.
@group(0) @binding(21) var<storage, read> opened: array<f32>; // (rows, 8) words: `Opened` of row/wide.wgsl

fn label_weight(nth: u32, label: u32) -> f32 {
    return opened[params.weight_base + 8u * nth + 7u];
}
