// The images and labels of a batch, of the rows that were drawn for it. Before it: inputs, the numbers of an image.
@group(0) @binding(0) var<storage, read> images: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> drawn: array<u32>;
@group(0) @binding(3) var<storage, read_write> batch_labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> batch_images: array<f32>;

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&batch_images) { return; }
    let row = id.x / inputs;
    let i = id.x % inputs;
    batch_images[id.x] = images[drawn[row] * inputs + i];
    if i == 0u { batch_labels[row] = labels[drawn[row]]; }
}
