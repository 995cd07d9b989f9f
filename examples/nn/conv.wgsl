// A convolution over (rows, channels, height, width) with windows of size × size. Their size is odd, and what lies
// beyond the edges is 0: height and width stay. w of (outputs, channels, size, size), as PyTorch's Conv2d has it.
// Before it: channels, outputs, height, width, size.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> grad_y: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

const padding = size / 2u;
const pixels = height * width;

// The first and the one behind the last of `count` places whose neighbour, `step` further than padding, is inside, too.
fn inside(step: u32, count: u32) -> vec2u {
    return vec2u(max(padding, step) - step, min(count + padding - step, count));
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let column = id.x % width;
    let line = id.x / width % height;
    let out = id.x / pixels % outputs;
    let row = id.x / (pixels * outputs);
    var y = b[out];
    for (var c = 0u; c < channels; c++) {
        for (var i = 0u; i < size; i++) {
            let from_line = line + i - padding;
            if from_line >= height { continue; } // above the image, too: there is no u32 below 0
            let w_at = ((out * channels + c) * size + i) * size;
            let x_at = ((row * channels + c) * height + from_line) * width;
            for (var j = 0u; j < size; j++) {
                let from_column = column + j - padding;
                if from_column < width { y += w[w_at + j] * x[x_at + from_column]; }
            }
        }
    }
    result[id.x] = y;
}

// A thread sums over the whole batch, in one order: the bits are those of every run.
@compute @workgroup_size(64)
fn grad_weights(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let j = id.x % size;
    let i = id.x / size % size;
    let c = id.x / (size * size) % channels;
    let out = id.x / (size * size * channels);
    let rows = arrayLength(&grad_y) / (pixels * outputs);
    var sum = 0.0;
    let lines = inside(i, height);
    let columns = inside(j, width);
    for (var row = 0u; row < rows; row++) {
        for (var line = lines.x; line < lines.y; line++) {
            let y_at = ((row * outputs + out) * height + line) * width;
            let x_at = ((row * channels + c) * height + line + i - padding) * width + j - padding;
            for (var column = columns.x; column < columns.y; column++) {
                sum += grad_y[y_at + column] * x[x_at + column];
            }
        }
    }
    result[id.x] = sum;
}

@compute @workgroup_size(64)
fn grad_biases(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let rows = arrayLength(&grad_y) / (pixels * outputs);
    var sum = 0.0;
    for (var row = 0u; row < rows; row++) {
        for (var pixel = 0u; pixel < pixels; pixel++) {
            sum += grad_y[(row * outputs + id.x) * pixels + pixel];
        }
    }
    result[id.x] = sum;
}

// A pixel of x went into all pixels of y whose windows it lies in.
@compute @workgroup_size(64)
fn grad_input(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let column = id.x % width;
    let line = id.x / width % height;
    let c = id.x / pixels % channels;
    let row = id.x / (pixels * channels);
    var sum = 0.0;
    for (var out = 0u; out < outputs; out++) {
        for (var i = 0u; i < size; i++) {
            let to_line = line + padding - i;
            if to_line >= height { continue; }
            let w_at = ((out * channels + c) * size + i) * size;
            let y_at = ((row * outputs + out) * height + to_line) * width;
            for (var j = 0u; j < size; j++) {
                let to_column = column + padding - j;
                if to_column < width { sum += w[w_at + j] * grad_y[y_at + to_column]; }
            }
        }
    }
    result[id.x] = sum;
}
