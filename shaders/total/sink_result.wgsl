// The last level's only state becomes the result. A state supplies result(state), of one to eight words.
@group(0) @binding(11) var<storage, read_write> result_out: array<u32>; // (words)

fn put_state(tile: u32, s: State) {
    var words = result(s);
    for (var k = 0u; k < RESULT_WORDS; k++) {
        result_out[params.result_base + k] = words[k];
    }
}
