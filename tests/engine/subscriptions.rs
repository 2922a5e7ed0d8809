//! Subscriptions: late, slow, resumed and dropped ones.

use super::common::{events, fake_engine, options, request, with_timeout};

#[tokio::test]
async fn subscribers_resume_after_any_event() {
    let (engine, script) = fake_engine(options());
    let id = engine.submit(request(&engine, 1, 2)).unwrap();
    let all = events(&engine, id).await;
    for after in 0..=all.len() as u64 {
        let mut subscription = engine.subscribe(id, after).unwrap();
        assert_eq!(subscription.is_exhausted(), after == all.len() as u64);
        let mut rest = Vec::new();
        while let Some(event) = with_timeout(subscription.next()).await {
            rest.push(event);
        }
        assert_eq!(rest, all[after as usize..]);
    }
    // A number from an earlier run of the server.
    let mut subscription = engine.subscribe(id, 1_000).unwrap();
    assert_eq!(with_timeout(subscription.next()).await.unwrap().0, 1);

    // Live: a late subscriber, one that reads nothing until the end, and one that leaves.
    script.pause();
    let id = engine.submit(request(&engine, 2, 1)).unwrap();
    let mut idle = engine.subscribe(id, 0).unwrap();
    script.run_steps(2);
    let mut early = engine.subscribe(id, 0).unwrap();
    for _ in 0..3 {
        with_timeout(early.next()).await.unwrap();
    }
    drop(early);
    let mut late = engine.subscribe(id, 3).unwrap();
    drop(engine.subscribe(id, 0));
    let follow = async {
        let mut ids = Vec::new();
        while let Some((id, _)) = late.next().await {
            ids.push(id);
        }
        ids
    };
    let (ids, ()) = tokio::join!(with_timeout(follow), async { script.resume() });
    assert_eq!(ids, [4, 5, 6, 7, 8]);
    assert_eq!(with_timeout(idle.next()).await.unwrap().0, 1);
}

/// Thousands of subscribers that don't read neither slow the worker nor keep the job from ending.
#[tokio::test]
async fn subscribers_that_do_not_read_do_not_block_the_job() {
    let (engine, script) = fake_engine(options());
    script.pause();
    let id = engine.submit(request(&engine, 1, 1)).unwrap();
    let idle: Vec<_> = (0..5_000).map(|_| engine.subscribe(id, 0).unwrap()).collect();
    script.resume();
    let all = events(&engine, id).await;
    assert_eq!(all.len(), 8);
    // They can still read all events.
    for mut subscription in idle.into_iter().step_by(1_000) {
        for event in &all {
            assert_eq!(&with_timeout(subscription.next()).await.unwrap(), event);
        }
        assert!(with_timeout(subscription.next()).await.is_none());
    }
}
