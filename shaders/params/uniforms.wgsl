// The parameters of a dispatch; `Params` is the driver's. A kernel begins by copying them, so that loops find them in
// registers: software adapters fetch a uniform anew for each use, lane by lane. What barriers depend on, and what is
// looked up by an index that is no constant once functions are inlined, is read from the uniforms themselves.
@group(0) @binding(0) var<uniform> uniforms: Params;
var<private> params: Params;
