// The largest of each 2 × 2 pixels of (maps, height, width), whose height and width are even; a map is a channel of an
// image. Before it: height, width.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> grad_y: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

const half_width = width / 2u;
const half_pixels = height / 2u * half_width;

// Where the largest of a window lies, the first among equals.
fn largest(window: u32) -> u32 {
    let map = window / half_pixels;
    let line = window % half_pixels / half_width * 2u;
    let column = window % half_width * 2u;
    let first = (map * height + line) * width + column;
    var at = first;
    if x[first + 1u] > x[at] { at = first + 1u; }
    if x[first + width] > x[at] { at = first + width; }
    if x[first + width + 1u] > x[at] { at = first + width + 1u; }
    return at;
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    result[id.x] = x[largest(id.x)];
}

// The gradient goes to the pixel that was taken.
@compute @workgroup_size(64)
fn grad_input(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let line = id.x / width % height;
    let map = id.x / (width * height);
    let window = map * half_pixels + line / 2u * half_width + id.x % width / 2u;
    result[id.x] = select(0.0, grad_y[window], largest(window) == id.x);
}
