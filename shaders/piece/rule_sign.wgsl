// What is neither 1 nor -1: without its sign, other bits than those of 1.
fn breaks(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) != 0x3f800000u;
}
