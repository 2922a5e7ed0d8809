//! Drawing for a request that answers with a picture only.

use super::wait::{CancelOnDrop, wait_until_completed};
use crate::engine::{Request, Snapshot};
use crate::queue::AnyEngine;
use crate::web::access::{Budget, Client, Cost};
use crate::web::problem::Problem;

/// Charges and draws the images of a request. The job is canceled when this is dropped.
///
/// # Errors
/// 429 where the client exceeds its limits, those of the engine, and those of [`wait_until_completed`].
pub(in crate::web) async fn draw(
    engine: &AnyEngine,
    client: &Client,
    budget: &Budget,
    request: Request,
) -> Result<Snapshot, Problem> {
    budget.charge(Cost::images(request.count()))?;
    let id = engine.submit(request.with_client(Some(client.engine_id()))).await?;
    let _cancel = CancelOnDrop::new(engine, id);
    wait_until_completed(engine, id).await
}
