//! Clients have equal shares of the ended jobs that stay readable.

use rdpm::engine::{ClientId, Engine, JobId, Options, Request, Status};

use super::common::{events, fake_engine, options, request};
use super::final_status;

fn of(client: &ClientId, request: Request) -> Request {
    request.with_client(Some(client.clone()))
}

async fn complete(engine: &Engine, client: &ClientId) -> JobId {
    let id = engine.submit(of(client, request(engine, 1, 1))).unwrap();
    events(engine, id).await;
    id
}

fn cancel(engine: &Engine, client: &ClientId) -> JobId {
    let id = engine.submit(of(client, request(engine, 2, 1))).unwrap();
    engine.cancel(id).unwrap();
    id
}

/// Waits until the worker has moved the last job to the ended ones, which it does after its last event.
async fn settle(engine: &Engine, client: &ClientId) {
    cancel(engine, client);
}

#[tokio::test]
async fn canceled_jobs_do_not_evict_results_even_of_the_same_client() {
    let (engine, _) = fake_engine(Options { max_finished: 8, ..options() });
    let (one, other) = (ClientId::new("one"), ClientId::new("other"));
    let results = [complete(&engine, &one).await, complete(&engine, &other).await];
    for _ in 0..300 {
        cancel(&engine, &other);
    }
    for id in results {
        assert_eq!(final_status(&engine, id).await, Status::Completed);
    }
    // The canceled ones that fit stay, the newest included.
    let newest = cancel(&engine, &one);
    assert_eq!(engine.get(newest).unwrap().status, Status::Canceled);
}

#[tokio::test]
async fn a_client_with_many_results_loses_its_own_oldest_ones() {
    let (engine, _) = fake_engine(Options { max_finished: 4, ..options() });
    let (one, other) = (ClientId::new("one"), ClientId::new("other"));
    let kept = complete(&engine, &one).await;
    let mut results = Vec::new();
    for _ in 0..12 {
        results.push(complete(&engine, &other).await);
    }
    settle(&engine, &other).await;
    assert!(engine.get(kept).is_some());
    let readable: Vec<bool> = results.iter().map(|&id| engine.get(id).is_some()).collect();
    assert!(!readable[..9].contains(&true), "{readable:?}");
    assert!(readable[11], "{readable:?}");
}

#[tokio::test]
async fn many_members_of_a_group_share_what_the_group_gets() {
    let (engine, _) = fake_engine(Options { max_finished: 4, ..options() });
    let network = ClientId::new("network");
    let kept =
        [complete(&engine, &ClientId::new("one")).await, complete(&engine, &ClientId::new("two")).await];
    for token in 0..12 {
        complete(&engine, &network.clone().with_member(token.to_string())).await;
    }
    settle(&engine, &network).await;
    assert!(kept.iter().all(|&id| engine.get(id).is_some()));

    // Within a group, too, the member with the most loses its own.
    let (engine, _) = fake_engine(Options { max_finished: 3, ..options() });
    let (quiet, busy) = (network.clone().with_member("quiet"), network.with_member("busy"));
    let kept = complete(&engine, &quiet).await;
    for _ in 0..6 {
        complete(&engine, &busy).await;
    }
    settle(&engine, &busy).await;
    assert!(engine.get(kept).is_some());
}

#[tokio::test]
async fn shares_of_bytes_count_bytes() {
    let (one, other) = (ClientId::new("one"), ClientId::new("other"));
    // Room for some jobs of one image, not for many of sixteen.
    let (engine, _) = fake_engine(Options { max_finished_bytes: 256 << 10, ..options() });
    let kept = [complete(&engine, &one).await, complete(&engine, &one).await, complete(&engine, &one).await];
    for _ in 0..40 {
        let id = engine.submit(of(&other, request(&engine, 1, 16))).unwrap();
        events(&engine, id).await;
    }
    settle(&engine, &other).await;
    assert!(kept.iter().all(|&id| engine.get(id).is_some()));
}
