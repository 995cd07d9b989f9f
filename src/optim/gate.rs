//! What stands between gradients and a step, on a device: their norm, and what follows from it, without a wait.

use std::sync::Arc;

use super::ClipGrad;
use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::Result;
use crate::gpu::{Gpu, Places, Steps};
use crate::layout::Gate as Record;
use crate::memory::Recording;
use crate::plan::{plan_gate, plan_norm};
use crate::tensor::{Storage, Tensor};
use crate::view::View;
use crate::words::Role;

/// The gate of some gradients, and what is bound to it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    record: Option<Tensor>,
    /// The norm of each gradient.
    norms: Option<Tensor>,
    pub places: Arc<Places>,
}

/// How steps reach the device.
pub(super) enum Way<'a> {
    /// Submitted.
    Run,
    /// Into a caller's encoder.
    Into(&'a mut wgpu::CommandEncoder),
}

/// What came of steps on their way.
pub(super) struct Sent {
    /// Of those in a caller's encoder.
    pub recording: Option<Arc<Recording>>,
    /// The norm of all gradients, which stays when the gate's goes.
    pub norm: Option<Tensor>,
}

impl Gate {
    /// The record, which begins with the scale.
    pub fn record(&mut self, gpu: &Gpu, scale: f32) -> Result<Tensor> {
        if let Some(record) = &self.record {
            gpu.expect_own("state", record)?;
            return Ok(record.clone());
        }
        let record = Record {
            scale,
            goes: 1,
            factor: 1.0,
            most: f32::MAX,
            ..Default::default()
        };
        let words = View::contiguous(Dtype::U32, &[size_of::<Record>() / 4]);
        let record = gpu.upload(bytemuck::bytes_of(&record), &words)?;
        Ok(self.record.insert(record).clone())
    }

    /// What is in the record now.
    pub fn read(&self, engine: &Engine) -> Result<Option<Record>> {
        let words = self.record.as_ref().map(|own| own.read::<u32>(engine)).transpose()?;
        Ok(words.map(|words| bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words))))
    }

    /// The steps that come before those of the parameters: the norm of each gradient, that of all, and what is decided.
    pub fn steps(&mut self, gpu: &Gpu, grads: &[&Tensor], clip: Option<ClipGrad>, skips: bool) -> Result<Steps> {
        let record = self.record(gpu, 1.0)?;
        // Of as many gradients as there were at most: those that share a gate need not be as many.
        let len = grads.len();
        let norms = match self.norms.take().filter(|own| own.view().len() >= len as u64) {
            Some(norms) => norms,
            None => gpu.allocate(Dtype::F32, &[len])?,
        };
        let norms = self.norms.insert(norms).clone();
        let (limits, tuning) = (gpu.paced_limits(), &gpu.tuning);
        let (max_norm, norm_type, most) = match clip {
            Some(ClipGrad::Norm { max_norm, norm_type }) => (Some(max_norm as f32), norm_type, f32::MAX),
            Some(ClipGrad::Value { clip_value }) => (None, f64::INFINITY, clip_value as f32),
            None => (None, f64::INFINITY, f32::MAX),
        };
        let mut steps = Steps::new();
        // Where every step is taken, and elements are held one by one, nobody asks for a norm.
        if skips || max_norm.is_some() {
            for (nth, grad) in grads.iter().enumerate() {
                let plan = plan_norm(norm_type, (Some(nth), grad.view()), &limits, tuning)?;
                steps.push((
                    plan,
                    vec![(Role::Grad(0), (*grad).clone()), (Role::Norm, norms.clone())],
                ));
            }
            let plan = plan_norm(
                norm_type,
                (None, &View::contiguous(Dtype::F32, &[len])),
                &limits,
                tuning,
            )?;
            steps.push((plan, vec![(Role::Norm, norms), (Role::Gate, record.clone())]));
        }
        let plan = plan_gate(max_norm, most, skips, &limits);
        steps.push((plan, vec![(Role::Gate, record)]));
        Ok(steps)
    }

    /// Sends steps; where the norm is wanted, a copy of what they leave of it in the record goes with them.
    pub fn send(&self, gpu: &Gpu, steps: &Steps, wants_norm: bool, way: Way<'_>) -> Result<Sent> {
        let norm = wants_norm.then(|| gpu.allocate(Dtype::F32, &[])).transpose()?;
        let copy = |encoder: &mut wgpu::CommandEncoder| {
            let at = std::mem::offset_of!(Record, norm) as u64;
            let from = self.record.as_ref().map(Tensor::parts);
            if let (Some([from]), Some([to])) = (from, norm.as_ref().map(Tensor::parts)) {
                encoder.copy_buffer_to_buffer(from, at, to, 0, 4);
            }
        };
        let recording = match way {
            Way::Run => {
                gpu.step(steps, &self.places, copy)?;
                None
            }
            Way::Into(encoder) => {
                let recording = gpu.encode_step(encoder, steps, &self.places)?;
                copy(encoder);
                Some(recording)
            }
        };
        let norm = match &recording {
            Some(recording) => norm.map(|own| own.recorded(recording)),
            None => norm,
        };
        Ok(Sent { recording, norm })
    }
}

/// The scale alone, as a tensor in the record.
pub(super) fn scale_in(record: &Tensor) -> Tensor {
    Tensor {
        storage: Storage::clone(&record.storage),
        view: View::contiguous(Dtype::F32, &[]),
    }
}
