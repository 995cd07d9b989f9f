// Lanes come together before they read each other's registers: a compiler may have let them go on apart after a loop or
// a branch, and a barrier of the workgroup is what WGSL has against that. Adapters whose subgroups are vectors of a
// processor run them in lockstep, and a barrier there is a switch of stacks: MEETS is false.
fn meet() {
    if (OVER_INPUT) {
        storageBarrier(); // this workgroup's reads of the logits, before its writes over them
    }
    if (MEETS) {
        workgroupBarrier();
    }
}
