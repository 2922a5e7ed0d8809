//! Which images of the batches take the next step: on a processor a step of sixteen images takes many times as long as one of a
//! single image, so a client with many images must not slow down the steps of a client with one.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::batch_step::Slot;
use super::request::ClientGroup;

/// The least share: with one image a step would use the processor poorly.
const MIN_SHARE: usize = 2;

/// The number of images of each client that a model's step takes, given the client of each image on the device. Images of a
/// single client all do; several clients have the same share: as many images as the client with the fewest.
pub(super) fn share(clients: impl Iterator<Item = ClientGroup>) -> usize {
    let mut of_client: HashMap<ClientGroup, usize> = HashMap::new();
    clients.for_each(|client| *of_client.entry(client).or_default() += 1);
    match of_client.values().min() {
        Some(&fewest) if of_client.len() > 1 => fewest.max(MIN_SHARE),
        _ => usize::MAX,
    }
}

/// Moves the images that take the next step to the front and returns their number: at most `share` of each client, `most` in
/// all. Those that have waited longest come first.
pub(super) fn select<S>(slots: &mut [Slot<S>], share: usize, most: usize) -> usize {
    slots.sort_by_key(|slot| Reverse(slot.rounds_waited));
    let mut of_client: HashMap<ClientGroup, usize> = HashMap::new();
    let mut selected = 0;
    for slot in &mut *slots {
        let of_client = of_client.entry(slot.job.request.client_group()).or_default();
        if selected < most && *of_client < share {
            (selected, *of_client, slot.rounds_waited) = (selected + 1, *of_client + 1, 0);
        } else {
            slot.rounds_waited += 1;
        }
    }
    slots.sort_by_key(|slot| slot.rounds_waited);
    selected
}
