//! Medians, processor time, and cores to run on.

use std::io;

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// A median with the extremes around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of values that are not empty; zeros of none.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        Self { median: at(values.len() / 2), min: at(0), max: at(values.len().saturating_sub(1)) }
    }
}

/// Seconds as microseconds.
pub(crate) fn micros(secs: f64) -> f64 {
    secs * 1e6
}

/// Seconds of processor time that the calling thread has used. Unlike the clock on the wall it does not count what
/// other programs on the machine do meanwhile.
pub(crate) fn thread_cpu_secs() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// The value that `percent` of a hundred do not exceed; zero of none.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or_default()
}

/// Lets the calling thread run on every core again.
pub(crate) fn any_core() -> io::Result<()> {
    let mut set = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| set.set(core));
    Ok(sched_setaffinity(None, &set)?)
}

/// Ties the calling thread to one core, counted from 0; a machine with fewer takes what it has.
pub(crate) fn pin_to(core: usize) -> io::Result<()> {
    any_core()?;
    let cores = std::thread::available_parallelism()?.get();
    let mut set = CpuSet::new();
    set.set(core % cores);
    Ok(sched_setaffinity(None, &set)?)
}
