// The parameters of the drivers that bring rows of the input in order: those that take part first, both kinds as they
// lie.
struct Params {
    inputs: u32, // rows of the input
    heads: u32, // rows of logits of each: it takes part where one of them is kept
    classes: u32,
    end_tile: u32, // of WIDTH rows each
    groups_x: u32,
    targets_base: u32,
    first_input: u32, // that the order begins with
    order_base: u32,
    taking_base: u32,
    pad0: u32,
    ignore: vec2<u32>,
}

fn takes_part(input: u32) -> bool {
    let first = params.targets_base + min(input, params.inputs - 1u) * params.heads;
    var takes = false;
    for (var head = 0u; head < params.heads; head++) {
        takes |= classify(label_words(first + head), params.ignore, params.classes) == KEPT;
    }
    return takes & (input < params.inputs);
}
