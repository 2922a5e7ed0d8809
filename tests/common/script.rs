//! What a [`Toy`](super::Toy) is told to do, and what it has done.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

/// What goes wrong in a step.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Error,
    Panic,
    /// Fewer results than drawings.
    Short,
    /// The words of a CUDA device whose memory is too small.
    Memory,
}

/// What the toy does: shared between a test and the backends that its factory makes.
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
    /// What happens in the next steps; nothing in those after.
    pub(super) faults: VecDeque<Option<Fault>>,
    /// What happens to the next images to be tokenized.
    pub(super) tokenizations: VecDeque<Option<Fault>>,
    /// What happens in the next loads.
    pub(super) loads: VecDeque<Option<Fault>>,
    /// Loads tried.
    pub(super) loaded: usize,
    /// Images of which previews were made.
    pub(super) previews: usize,
    /// For each step taken, the (seed, index, timestep) of its drawings.
    pub(super) batches: Vec<Vec<(u64, u32, usize)>>,
}

impl Script {
    /// Steps wait for [`Script::allow`].
    pub fn hold(&self) {
        self.state.lock().permits = Some(0);
    }

    /// Lets `steps` more steps happen and waits until the worker is in the one after, which there must be: what a worker
    /// notes after a step is noted then, but its events may still be on their way.
    pub fn allow(&self, steps: usize) {
        let mut state = self.state.lock();
        let until = state.batches.len() + steps;
        state.permits = Some(steps);
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.batches.len() < until || !state.waiting);
    }

    /// Lets `steps` more steps happen.
    pub fn permit(&self, steps: usize) {
        self.state.lock().permits = Some(steps);
        self.changed.notify_all();
    }

    /// Steps don't wait any more.
    pub fn release(&self) {
        self.state.lock().permits = None;
        self.changed.notify_all();
    }

    pub fn fail_steps(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().faults.extend(faults);
    }

    /// From now on nothing goes wrong.
    pub fn mend(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.loads.clear();
        state.tokenizations.clear();
    }

    pub fn fail_loads(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().loads.extend(faults);
    }

    pub fn fail_tokenizations(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().tokenizations.extend(faults);
    }

    pub fn loaded(&self) -> usize {
        self.state.lock().loaded
    }

    /// Whether a step waits to be allowed.
    pub fn is_waiting(&self) -> bool {
        self.state.lock().waiting
    }

    pub fn previews(&self) -> usize {
        self.state.lock().previews
    }

    pub fn batches(&self) -> Vec<Vec<(u64, u32, usize)>> {
        self.state.lock().batches.clone()
    }
}
