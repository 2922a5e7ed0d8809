//! Who calls a tool.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::web::access::{Budget, Client};
use crate::web::request::Upload;

/// The client of a message, and what it holds. Cheap to clone.
#[derive(Clone)]
pub(super) struct Caller {
    pub client: Client,
    pub budget: Budget,
    /// Tells clients apart that are the same by key and network; chosen by the server. `None` if the client has none.
    pub session: Option<Arc<str>>,
    /// The permit of a large message.
    upload: Arc<Mutex<Option<Upload>>>,
}

impl Caller {
    /// The only one of a program on standard input and output.
    pub fn local() -> Self {
        Self::new(Client::local(), Budget::unlimited(), None, None)
    }

    /// One that sent a message over HTTP.
    pub fn remote(client: Client, budget: Budget, session: Option<Arc<str>>, upload: Upload) -> Self {
        Self::new(client, budget, session, Some(upload))
    }

    fn new(client: Client, budget: Budget, session: Option<Arc<str>>, upload: Option<Upload>) -> Self {
        Self { client, budget, session, upload: Arc::new(Mutex::new(upload)) }
    }

    /// Lets another large message in. To be called as soon as images are decoded.
    pub fn release_upload(&self) {
        self.upload.lock().take();
    }
}
