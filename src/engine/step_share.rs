//! Which images of the batches take the next step: on a processor a step of sixteen images takes many times as long as one of a
//! single image, so clients with many images must not slow down the steps of a client with one.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::batch_step::Slot;
use super::request::ClientGroup;

/// A client with at most this many images, those that wait included, has few. Also the least share: with one image a step
/// would use the processor poorly.
const FEW: usize = 2;

/// How a step is divided between the clients.
pub(super) struct StepShare {
    /// The number of images of each client that take the step.
    of_client: usize,
    /// The clients with many images, if another has few: they share a quarter of the step, or [`FEW`] images if that is more.
    /// A client with few is soon done; until then those with many lose little.
    with_many: HashSet<ClientGroup>,
}

impl StepShare {
    /// All images take the step.
    pub fn undivided() -> Self {
        Self { of_client: usize::MAX, with_many: HashSet::new() }
    }

    /// The shares of the clients, given the client of each image on the device and the images of each that wait. Images of a
    /// single client all take the step; several clients have the same share: as many images as the client with the fewest.
    pub fn divided(
        clients: impl Iterator<Item = ClientGroup>,
        waiting: &HashMap<ClientGroup, usize>,
    ) -> Self {
        let mut of_client: HashMap<ClientGroup, usize> = HashMap::new();
        clients.for_each(|client| *of_client.entry(client).or_default() += 1);
        let Some(&fewest) = of_client.values().min().filter(|_| of_client.len() > 1) else {
            return Self::undivided();
        };
        let clients = of_client.len();
        of_client.retain(|client, images| *images + waiting.get(client).unwrap_or(&0) > FEW);
        let has_few = of_client.len() < clients;
        let with_many = if has_few { of_client.into_keys().collect() } else { HashSet::new() };
        Self { of_client: fewest.max(FEW), with_many }
    }

    /// Moves the images that take the next step of a model to the front and returns their number, at most `most`. Those that
    /// have waited longest come first.
    pub fn select<S>(&self, slots: &mut [Slot<S>], most: usize) -> usize {
        slots.sort_by_key(|slot| Reverse(slot.rounds_waited));
        let has_many = |slot: &Slot<S>| self.with_many.contains(&slot.job.request.client_group());
        let of_clients_with_few = slots.iter().filter(|slot| !has_many(slot)).count();
        let mut left_for_many = (of_clients_with_few / 3).max(FEW);
        let mut of_client: HashMap<ClientGroup, usize> = HashMap::new();
        let mut selected = 0;
        for slot in &mut *slots {
            let has_many = has_many(slot);
            let of_client = of_client.entry(slot.job.request.client_group()).or_default();
            if selected < most && *of_client < self.of_client && (!has_many || left_for_many > 0) {
                (selected, *of_client, slot.rounds_waited) = (selected + 1, *of_client + 1, 0);
                left_for_many -= usize::from(has_many);
            } else {
                slot.rounds_waited += 1;
            }
        }
        slots.sort_by_key(|slot| slot.rounds_waited);
        selected
    }
}
