// What is below 0: as unsigned numbers, the bits behind those of -0. (Told by bits: adapters may flush the smallest
// negative numbers to 0.)
fn breaks(x: f32) -> bool {
    return bitcast<u32>(x) > 0x80000000u;
}
