//! Timestamps around the passes of one recording.

use super::Gpu;
use crate::error::{Error, Result};

/// Two timestamps.
pub(crate) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
}

impl Timer {
    pub fn new(gpu: &Gpu) -> Result<Option<Self>> {
        if !gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        Ok(Some(Self {
            queries: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("wgloss timing"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: gpu.buffer(
                "wgloss timing",
                16,
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            )?,
            staging: gpu.buffer(
                "wgloss timing readback",
                16,
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            )?,
        }))
    }

    /// The timestamps of a pass: the first pass writes the start, and every pass the end, which the last leaves.
    pub fn writes(&self, first: bool) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: first.then_some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Records an empty pass that writes the start, or the end.
    pub fn mark(&self, encoder: &mut wgpu::CommandEncoder, first: bool) {
        drop(encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgloss timing"),
            timestamp_writes: Some(self.writes(first)),
        }));
    }

    /// Records the way of the timestamps to where the host can map them.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, 16);
    }

    /// Asks for the timestamps, once their recording is submitted.
    pub fn map(&self) {
        self.staging.map_async(wgpu::MapMode::Read, .., |_| {});
    }

    /// The nanoseconds between the timestamps, once they are there.
    pub fn read(&self, gpu: &Gpu) -> Result<f64> {
        let ticks: [u64; 2] = {
            let mapped = self.staging.slice(..).get_mapped_range();
            let mapped = mapped.map_err(|e| gpu.lost_or(Error::Device(e.to_string())))?;
            bytemuck::pod_read_unaligned(&mapped[..16])
        };
        self.staging.unmap();
        let period = f64::from(gpu.queue.get_timestamp_period());
        Ok(ticks[1].wrapping_sub(ticks[0]) as f64 * period)
    }
}
