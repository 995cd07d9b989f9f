// The parameters of driver/reduce.wgsl; `ReduceParams` in src/layout.rs is their Rust side.
struct Params {
    first_tile: u32,    // this dispatch folds tiles first_tile .. end_tile
    end_tile: u32,
    groups_x: u32,      // workgroups along x, to join x and y into one index
    len: u32,           // items up to the end of this dispatch's last tile
    first_item: u32,    // the item that the window begins with
    base: u32,          // where that item lies in its binding
    slab: u32,          // items per index of the first dimension, where rows have gaps between them
    stride: u32,        // elements from one such index to the next
    classes: u32,
    weight_base: u32,   // of the weights of classes, or where the multiplicities of lists go
    ignore: vec2<u32>,  // ignore_index as the two words of an i64
    scale: f32,         // of the result
    neg_inf: f32,
    nan: f32,
    states_base: u32,   // where the state of first_tile goes
    empty: f32,         // one over the denominator, where nothing is kept
    sample_weight_base: u32,
    first_place: vec2<u32>, // the number of first_item among all elements, as two words
    result_base: u32,   // the word of its binding that the result begins with
    power: f32,         // p of a norm
    lowest: f32,        // the most negative finite f32, and 0: see math/guard.wgsl
    zero: u32,
}

// The high word of an item's number: items are counted modulo 2^32, and a dispatch has fewer.
fn item_high(item: u32) -> u32 {
    return params.first_place.y + select(0u, 1u, item < params.first_item);
}
