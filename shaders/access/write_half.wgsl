// Output `OPERAND`: 16-bit floats, two to a word, or added in f32 to what is there (ADDS). Two invocations may own the
// halves of one word: each clears and sets its own bits alone, so neither order nor neighbour matters. Where a quad
// begins on a word, it owns whole words.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<atomic<u32>>;

fn put_OPERAND_bits(i: u32, bits: u32) {
    let shift = 16u * (i & 1u);
    atomicAnd(&OPERAND[i >> 1u], 0xffff0000u >> shift); // the other half stays
    atomicOr(&OPERAND[i >> 1u], bits << shift);
}

fn put_OPERAND1(i: u32, value: f32) {
    var sum = value;
    if (ADDS_OPERAND) {
        sum = from_half((atomicLoad(&OPERAND[i >> 1u]) >> (16u * (i & 1u))) & 0xffffu) + value;
    }
    put_OPERAND_bits(i, to_half(sum));
}

// The two elements of a word, from an even i on.
fn put_OPERAND2(i: u32, value: vec2<f32>) {
    var sum = value;
    if (ADDS_OPERAND) {
        let word = atomicLoad(&OPERAND[i >> 1u]);
        sum = from_half4(vec4<u32>(word & 0xffffu, word >> 16u, 0u, 0u)).xy + value;
    }
    let bits = to_half4(vec4<f32>(sum, 0.0, 0.0));
    atomicStore(&OPERAND[i >> 1u], bits.x | (bits.y << 16u));
}

// Four elements from i on, `step` apart.
fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {
    if (ADDS_OPERAND) {
        put_OPERAND1(i, value.x);
        put_OPERAND1(i + step, value.y);
        put_OPERAND1(i + 2u * step, value.z);
        put_OPERAND1(i + 3u * step, value.w);
        return;
    }
    let bits = to_half4(value);
    if ((step == 1u) & ((i & 1u) == 0u)) {
        let words = join_half(bits);
        atomicStore(&OPERAND[i >> 1u], words.x);
        atomicStore(&OPERAND[(i >> 1u) + 1u], words.y);
        return;
    }
    put_OPERAND_bits(i, bits.x);
    put_OPERAND_bits(i + step, bits.y);
    put_OPERAND_bits(i + 2u * step, bits.z);
    put_OPERAND_bits(i + 3u * step, bits.w);
}
