//! Calls that run, so that another message can cancel them.
//!
//! Over HTTP, a call and the notification that cancels it are two requests that have only their ids in common. Ids are counted
//! by each client from 0, so the session is part of what identifies a call; without one, a call can't be canceled by a message,
//! but it ends with its connection. Only running calls are kept.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rmcp::model::RequestId;
use tokio::sync::oneshot;

use super::caller::Caller;
use crate::web::access::Client;

type Key = (Client, Arc<str>, RequestId);

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct RunningCalls(Arc<Mutex<HashMap<Key, oneshot::Sender<()>>>>);

/// A call that runs until this is dropped.
pub(super) struct RunningCall {
    calls: RunningCalls,
    key: Option<Key>,
    canceled: oneshot::Receiver<()>,
}

impl RunningCalls {
    pub fn begin(&self, caller: &Caller, id: &RequestId) -> RunningCall {
        let key = caller.session.clone().map(|session| (caller.client.clone(), session, id.clone()));
        let (cancel, canceled) = oneshot::channel();
        if let Some(key) = &key {
            self.0.lock().insert(key.clone(), cancel);
        }
        RunningCall { calls: self.clone(), key, canceled }
    }

    /// Cancels a call, if it runs.
    pub fn cancel(&self, client: Client, session: Arc<str>, id: RequestId) {
        if let Some(cancel) = self.0.lock().remove(&(client, session, id)) {
            let _ = cancel.send(());
        }
    }
}

impl RunningCall {
    /// Resolves when the call is canceled.
    pub async fn canceled(&mut self) {
        if (&mut self.canceled).await.is_err() {
            // It can't be, or a later call has the same id.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let Some(key) = &self.key else { return };
        let mut calls = self.calls.0.lock();
        // A later call with the same id stays.
        self.canceled.close();
        if calls.get(key).is_some_and(oneshot::Sender::is_closed) {
            calls.remove(key);
        }
    }
}
