//! What an engine keeps to be fast: pipelines compiled ahead, and in a file for the next process.

use std::path::Path;

use crate::call::Call;
use crate::engine::Engine;
use crate::error::Result;
use crate::gpu::{Activity, Gpu};
use crate::loss::Loss;
use crate::plan::plan;

impl Engine {
    /// Compiles the pipelines of calls ahead of need, side by side on the processor's cores. Nothing is computed, and
    /// only the tensors' layouts are looked at: [`Tensor::placeholder`](crate::Tensor::placeholder) will do for tensors
    /// without gaps. Windows of buffers, and inputs that a gradient goes over in place, have pipelines of their own:
    /// give the tensors themselves. On the processor the calls are validated, and that is all.
    ///
    /// ```
    /// use wgloss::{Call, CrossEntropy, Dtype, Engine, Mode, Tensor};
    ///
    /// # fn main() -> wgloss::Result<()> {
    /// let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
    /// let logits = Tensor::placeholder(Dtype::Bf16, &[1024, 32000])?;
    /// let labels = Tensor::placeholder(Dtype::I64, &[1024])?;
    /// let (train, test) = (CrossEntropy { label_smoothing: 0.1, ..Default::default() }, CrossEntropy::default());
    /// engine.warm_up(&[
    ///     (&train, &Call::new(Mode::Fused, &[&logits, &labels])),
    ///     (&test, &Call::new(Mode::Forward, &[&logits, &labels])),
    /// ])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Loss::problem`]; [`Error::Limit`](crate::Error::Limit) and [`Error::Device`](crate::Error::Device).
    pub fn warm_up(&self, calls: &[(&dyn Loss, &Call<'_>)]) -> Result<()> {
        let mut plans = Vec::new();
        for (loss, call) in calls {
            let problem = loss.problem(call)?;
            if let Some(gpu) = self.gpu() {
                plans.push(plan(&problem, &gpu.paced_limits(), &gpu.tuning)?);
            }
        }
        let variants = plans.iter().flat_map(|plan| plan.dispatches()).map(|own| &own.variant);
        self.gpu().map_or(Ok(()), |gpu| gpu.compile_all(variants))
    }

    /// Keeps what is compiled from now on in a file of this folder, one for each adapter, and takes from there what an
    /// earlier process compiled. Written when the engine is dropped, or by [`Engine::save_pipelines`]. A file that is
    /// damaged, or of another adapter or driver, is as none. Only programs of the user's should be able to write there:
    /// what the file holds is run.
    ///
    /// Returns whether the device has such a cache: on Vulkan, where [`Engine::features`] were requested. Drivers of
    /// desktops mostly keep one of their own, too.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device).
    pub fn keep_pipelines(&mut self, folder: &Path) -> Result<bool> {
        let Some(gpu) = self.gpu_mut() else { return Ok(false) };
        // An earlier one is written first: it may be the same file.
        drop(gpu.disk.take());
        gpu.disk = gpu.open_disk(folder)?;
        Ok(gpu.disk.is_some())
    }

    /// Writes the file of [`Engine::keep_pipelines`], where something was compiled since.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn save_pipelines(&self) -> Result<()> {
        let disk = self.gpu().and_then(|gpu| gpu.disk.as_ref());
        disk.map_or(Ok(()), |disk| disk.save())
    }

    /// Lets go of all memory on the device that is kept for calls like those before: bind groups, params, scratch and
    /// the places of results. It comes back as it is needed. Waits for what is under way. Where the device's
    /// memory is short, a call does this by itself.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device).
    pub fn release(&self) -> Result<()> {
        self.gpu().map_or(Ok(()), |gpu| gpu.release())
    }

    /// Keeps so many bytes of large results (more than 64 KiB) that nobody holds any more, for later ones of the same
    /// size: a device's memory is cleared when it is new, which takes as long as writing the result. On a device of its
    /// own memory 4 GiB, else 1 GiB, unless told otherwise; 0 keeps none. What
    /// [`Tensor::buffer`](crate::Tensor::buffer) has given out is never used again.
    pub fn set_kept_bytes(&mut self, bytes: u64) {
        if let Some(gpu) = self.gpu() {
            gpu.returned.set_most(bytes);
        }
    }

    /// How many bytes of large results are kept at most; 0 on the processor.
    pub fn kept_bytes(&self) -> u64 {
        self.gpu().map_or(0, |gpu| gpu.returned.most())
    }

    /// What the engine has made and submitted on its device so far, of an engine that has one.
    pub fn activity(&self) -> Option<Activity> {
        let idle = |gpu: &Gpu| gpu.returned.bytes() + gpu.pool.idle_bytes();
        self.gpu().map(|gpu| gpu.counters.read(idle(gpu)))
    }

    /// Counts the most bytes at a time ([`Activity::peak`]) from now on.
    pub fn forget_peak(&self) {
        if let Some(gpu) = self.gpu() {
            gpu.counters.gauge.forget_peak();
        }
    }

    /// Bytes of logits that the loss of a linear layer keeps at a time for its gradients: 64 MiB, unless told
    /// otherwise. Where the logits of enough rows do not fit, they are computed twice, some columns at a time. Results
    /// are the same to the bit. On the processor nothing is kept.
    pub fn set_scratch_bytes(&mut self, bytes: u64) {
        if let Some(gpu) = self.gpu_mut() {
            gpu.limits.scratch_bytes = bytes;
            gpu.calls.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::loss::Mse;
    use crate::output::Output;
    use crate::tensor::Tensor;
    use crate::words::Mode;

    /// As on a GPU, whose driver minds what takes long: a call of many bytes waits for its parts, which grow, and goes
    /// in fewer the next time, to the same bits; so does one that yields.
    #[test]
    fn parts_grow_and_are_fewer_the_next_time() {
        let Ok(mut engine) = Engine::open("") else {
            eprintln!("skipped: no adapter");
            return;
        };
        let limits = engine.plan_limits().unwrap();
        let limits = Limits {
            max_dispatch_bytes: 64 << 10,
            ..limits
        };
        engine.set_plan_limits(limits).unwrap();
        if let Some(gpu) = engine.gpu_mut() {
            gpu.info.device_type = wgpu::DeviceType::IntegratedGpu;
        }
        let loss = Mse::default();
        let numbers: Vec<f32> = (0..1 << 20).map(|nth| (nth % 977) as f32 - 400.0).collect();
        for (rows, yields) in [(1024, false), (2048, true)] {
            let x = Tensor::new(&numbers, &[rows, numbers.len() / rows]).unwrap();
            let x = engine.upload(&x).unwrap();
            let zeros = Tensor::new(&vec![0.0f32; numbers.len()], x.shape()).unwrap();
            let zeros = engine.upload(&zeros).unwrap();
            let operands = [&x, &zeros];
            let call = Call::new(Mode::Forward, &operands);
            let run = || -> (u64, Output) {
                let before = engine.activity().unwrap().submissions;
                let output = match yields {
                    true => crate::gpu::block_on(loss.run_async(&engine, &call)),
                    false => loss.run(&engine, &call),
                };
                (engine.activity().unwrap().submissions - before, output.unwrap())
            };
            let value = |own: Output| own.read(&engine).unwrap().scalar().unwrap();
            let ((first, own), (second, again)) = (run(), run());
            // 8 MiB are 128 dispatches.
            assert!((5..40).contains(&first) && second < first, "{first}, then {second}");
            let (own, again) = (value(own), value(again));
            assert_eq!(own.to_bits(), again.to_bits());
            let exact = numbers.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / numbers.len() as f64;
            assert!((f64::from(own) / exact - 1.0).abs() < 1e-6, "{own}, {exact}");
        }
    }
}
