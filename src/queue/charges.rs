//! What the limits of clients counted: gateways tell each other, so that a limit holds for all of them together.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use async_nats::connection::State;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, REOPEN};
use super::message::{MessageError, decode, encode};
use super::metrics::QueueMetrics;
use super::names::Names;

/// The time between two messages.
const INTERVAL: Duration = Duration::from_millis(100);
/// The charges in a message at most: a few hundred kilobytes.
const MAX_CHARGES: usize = 2048;
/// The longest name of a client, in bytes.
const MAX_NAME: usize = 512;

/// A limit of what a client may have over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientLimit {
    /// Of requests.
    Requests,
    /// Of what requests cost.
    Cost,
}

/// What one gateway counted in a while.
#[derive(Debug, Serialize, Deserialize)]
struct ChargeMessage {
    /// The gateway, since it hears itself, too.
    gateway: u64,
    charges: Vec<Charge>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Charge {
    limit: ClientLimit,
    client: String,
    amount: u32,
}

impl ChargeMessage {
    fn check(&self) -> Result<(), MessageError> {
        let is_valid = |charge: &Charge| charge.client.len() <= MAX_NAME;
        if self.charges.len() > MAX_CHARGES || !self.charges.iter().all(is_valid) {
            return Err(MessageError::Invalid("its charges are too many or too long"));
        }
        Ok(())
    }
}

/// Takes the name of a client and an amount that another gateway counted.
type Listener = Box<dyn Fn(&str, u32) + Send + Sync>;

/// The charges of a gateway and those that it hears of.
pub struct Charges {
    gateway: u64,
    /// Counted here, and not told yet.
    untold: Mutex<HashMap<(ClientLimit, String), u32>>,
    requests: OnceLock<Listener>,
    cost: OnceLock<Listener>,
}

impl Default for Charges {
    fn default() -> Self {
        Self {
            gateway: rand::random(),
            untold: Mutex::default(),
            requests: OnceLock::new(),
            cost: OnceLock::new(),
        }
    }
}

impl std::fmt::Debug for Charges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charges").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Charges {
    /// Tells the other gateways what a client was charged here.
    pub fn tell(&self, limit: ClientLimit, client: String, amount: u32) {
        let mut untold = self.untold.lock();
        // More clients than this in a moment are an attack from many addresses, against which these limits don't help.
        if untold.len() < MAX_CHARGES && client.len() <= MAX_NAME {
            let told = untold.entry((limit, client)).or_default();
            *told = told.saturating_add(amount);
        }
    }

    /// Calls `listener` for what other gateways charge by a limit. There is one listener for each limit: the first.
    pub fn listen(&self, limit: ClientLimit, listener: impl Fn(&str, u32) + Send + Sync + 'static) {
        let _ = self.listener(limit).set(Box::new(listener));
    }

    fn listener(&self, limit: ClientLimit) -> &OnceLock<Listener> {
        match limit {
            ClientLimit::Requests => &self.requests,
            ClientLimit::Cost => &self.cost,
        }
    }

    fn take_untold(&self) -> Option<ChargeMessage> {
        let untold = std::mem::take(&mut *self.untold.lock());
        let charges = untold.into_iter();
        let charges: Vec<_> =
            charges.map(|((limit, client), amount)| Charge { limit, client, amount }).collect();
        (!charges.is_empty()).then_some(ChargeMessage { gateway: self.gateway, charges })
    }

    fn hear(&self, message: &ChargeMessage) -> Result<(), MessageError> {
        message.check()?;
        if message.gateway != self.gateway {
            for Charge { limit, client, amount } in &message.charges {
                if let Some(listener) = self.listener(*limit).get() {
                    listener(client, *amount);
                }
            }
        }
        Ok(())
    }
}

/// Tells charges to other gateways and hears theirs, until it is dropped.
pub(super) async fn run(charges: &Charges, names: &Names, metrics: &QueueMetrics, connection: &Connection) {
    tokio::join!(tell(charges, names, connection), hear(charges, names, metrics, connection));
}

async fn tell(charges: &Charges, names: &Names, connection: &Connection) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(message) = charges.take_untold() else { continue };
        // What can't be told now would be too late afterwards.
        if connection.client.connection_state() != State::Connected {
            continue;
        }
        if let Ok(payload) = encode(&message, &[]) {
            let _ = connection.client.publish(names.charges(), payload).await;
        }
    }
}

async fn hear(charges: &Charges, names: &Names, metrics: &QueueMetrics, connection: &Connection) {
    loop {
        if let Ok(mut messages) = connection.client.subscribe(names.charges()).await {
            while let Some(message) = messages.next().await {
                let message = decode::<ChargeMessage>(&message.payload);
                if message.and_then(|(message, _)| charges.hear(&message)).is_err() {
                    metrics.invalid_messages.inc();
                }
            }
        }
        tokio::time::sleep(REOPEN).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn charges_are_summed_and_heard_by_others_only() {
        let (one, other) = (Charges::default(), Charges::default());
        let heard = Arc::new(Mutex::new(Vec::new()));
        for charges in [&one, &other] {
            let heard = Arc::clone(&heard);
            charges.listen(ClientLimit::Cost, move |client, amount| {
                heard.lock().push((client.to_owned(), amount));
            });
        }
        one.tell(ClientLimit::Cost, "a".into(), 3);
        one.tell(ClientLimit::Cost, "a".into(), 4);
        // Nobody listens.
        one.tell(ClientLimit::Requests, "a".into(), 1);
        let message = one.take_untold().unwrap();
        assert!(one.take_untold().is_none());
        one.hear(&message).unwrap();
        other.hear(&message).unwrap();
        assert_eq!(*heard.lock(), [("a".to_owned(), 7)]);
    }

    #[test]
    fn too_many_charges_and_long_names_are_refused() {
        let charges = Charges::default();
        let message = |count: usize, name: usize| ChargeMessage {
            gateway: 0,
            charges: (0..count)
                .map(|_| Charge { limit: ClientLimit::Cost, client: "x".repeat(name), amount: 1 })
                .collect(),
        };
        assert!(charges.hear(&message(MAX_CHARGES, MAX_NAME)).is_ok());
        assert!(charges.hear(&message(MAX_CHARGES + 1, 1)).is_err());
        assert!(charges.hear(&message(1, MAX_NAME + 1)).is_err());
        for client in 0..2 * MAX_CHARGES {
            charges.tell(ClientLimit::Cost, client.to_string(), 1);
        }
        assert_eq!(charges.take_untold().unwrap().charges.len(), MAX_CHARGES);
    }
}
