// The record of a row: its loss, and the statistics that the same pass over the logits has found.
struct Record {
    loss: f32,
    z_loss: f32,
    lse: f32,
    entropy: f32,
    correct: f32, // 1 where a row kept has its class as arg-max
    top: u32,     // the arg-max
    pad0: u32,
    pad1: u32,
}
