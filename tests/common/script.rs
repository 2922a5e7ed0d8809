//! The behaviour that a test prescribes to a [`FakeBackend`](super::FakeBackend), and a record of its calls.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

/// A failure of the fake backend.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Error,
    Panic,
    /// Fewer results than images.
    TooFewResults,
    /// The error text of a CUDA device without enough memory.
    OutOfMemory,
}

/// The behaviour of one fake model, shared by a test and the backends that the [`FakeLoader`](super::FakeLoader)
/// makes.
#[derive(Default)]
pub struct Script {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    /// Steps that may be taken; `None` is any number.
    pub(super) permits: Option<usize>,
    /// Whether a step waits for a permit.
    pub(super) waiting: bool,
    /// The outcome of the next steps; those after succeed.
    pub(super) step_faults: VecDeque<Option<Fault>>,
    pub(super) tokenizations_paused: bool,
    /// The outcome of the next tokenizations.
    pub(super) tokenize_faults: VecDeque<Option<Fault>>,
    /// The outcome of the next loads.
    pub(super) load_faults: VecDeque<Option<Fault>>,
    pub(super) load_attempts: usize,
    /// The number of images for which previews were decoded.
    pub(super) previews: usize,
    /// The (seed, index, timestep) of each image, for each step taken.
    pub(super) batches: Vec<Vec<(u64, u32, usize)>>,
}

impl Script {
    /// Makes steps wait for [`Script::run_steps`], [`Script::permit_steps`] or [`Script::resume`].
    pub fn pause(&self) {
        self.state.lock().permits = Some(0);
    }

    /// Permits `steps` more steps and waits until the worker has entered the step after them, which there must be. By
    /// then the worker has recorded the steps, but their events may not be published yet.
    pub fn run_steps(&self, steps: usize) {
        let mut state = self.state.lock();
        let until = state.batches.len() + steps;
        state.permits = Some(steps);
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.batches.len() < until || !state.waiting);
    }

    /// Permits `steps` more steps and returns at once.
    pub fn permit_steps(&self, steps: usize) {
        self.state.lock().permits = Some(steps);
        self.changed.notify_all();
    }

    /// Permits all further steps.
    pub fn resume(&self) {
        self.state.lock().permits = None;
        self.changed.notify_all();
    }

    pub fn fail_steps(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().step_faults.extend(faults);
    }

    /// Removes all faults that haven't happened yet.
    pub fn clear_faults(&self) {
        let mut state = self.state.lock();
        state.step_faults.clear();
        state.load_faults.clear();
        state.tokenize_faults.clear();
    }

    pub fn fail_loads(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().load_faults.extend(faults);
    }

    pub fn fail_tokenizations(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().tokenize_faults.extend(faults);
    }

    /// Makes tokenizations wait, or go on.
    pub fn pause_tokenizations(&self, paused: bool) {
        self.state.lock().tokenizations_paused = paused;
        self.changed.notify_all();
    }

    pub fn load_attempts(&self) -> usize {
        self.state.lock().load_attempts
    }

    /// Whether a step waits for a permit.
    pub fn is_step_waiting(&self) -> bool {
        self.state.lock().waiting
    }

    pub fn previews(&self) -> usize {
        self.state.lock().previews
    }

    pub fn batches(&self) -> Vec<Vec<(u64, u32, usize)>> {
        self.state.lock().batches.clone()
    }
}
