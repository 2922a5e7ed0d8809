//! The engine's metrics.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rdpm::engine::{Engine, Options, Status};

use super::common::{Fault, STEPS, fake_engine, options, request};
use super::final_status;

fn text(engine: &Engine) -> String {
    let mut registry = Registry::with_prefix("rdpm");
    engine.register_metrics(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

/// The value of a line.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn metrics_count_every_job_and_image() {
    let (engine, script) = fake_engine(Options { max_batch: 2, max_queue: 4, ..options() });
    script.pause();
    let running = engine.submit(request(&engine, 1, 2)).unwrap();
    script.run_steps(1);
    let waiting = engine.submit(request(&engine, 2, 3)).unwrap();
    engine.submit(request(&engine, 3, 2)).unwrap_err();
    let before = text(&engine);
    assert_eq!(value(&before, "rdpm_queue_images"), 3.0);
    assert_eq!(value(&before, "rdpm_live_jobs"), 2.0);
    assert_eq!(value(&before, "rdpm_slots_in_use{device=\"toy\"}"), 2.0);
    assert_eq!(value(&before, "rdpm_refused_jobs_total{reason=\"full\"}"), 1.0);

    engine.cancel(waiting).unwrap();
    script.resume();
    assert_eq!(final_status(&engine, running).await, Status::Completed);
    script.fail_steps([Some(Fault::Error)]);
    let failed = engine.submit(request(&engine, 4, 1)).unwrap();
    assert_eq!(final_status(&engine, failed).await, Status::Failed);
    let last = engine.submit(request(&engine, 5, 1)).unwrap();
    assert_eq!(final_status(&engine, last).await, Status::Completed);
    engine.shutdown(std::time::Duration::from_secs(1));

    let after = text(&engine);
    for (name, expected) in [
        ("rdpm_jobs_total{model=\"toy\",status=\"completed\"}", 2),
        ("rdpm_jobs_total{model=\"toy\",status=\"canceled\"}", 1),
        ("rdpm_jobs_total{model=\"toy\",status=\"failed\"}", 1),
        ("rdpm_images_total{model=\"toy\",status=\"completed\"}", 3),
        ("rdpm_images_total{model=\"toy\",status=\"canceled\"}", 3),
        ("rdpm_images_total{model=\"toy\",status=\"failed\"}", 1),
        ("rdpm_faults_total{device=\"toy\",model=\"toy\"}", 1),
        ("rdpm_step_seconds_count{device=\"toy\",model=\"toy\"}", 2 * STEPS),
        ("rdpm_batch_images_sum{device=\"toy\",model=\"toy\"}", 3 * STEPS),
        ("rdpm_batch_images_bucket{le=\"1.0\",device=\"toy\",model=\"toy\"}", STEPS),
        ("rdpm_first_step_seconds_count{model=\"toy\"}", 2),
        ("rdpm_completion_seconds_count{model=\"toy\"}", 2),
        ("rdpm_model_loaded{device=\"toy\",model=\"toy\"}", 1),
        ("rdpm_queue_images", 0),
        ("rdpm_live_jobs", 0),
        ("rdpm_ended_jobs", 4),
    ] {
        assert_eq!(value(&after, name), expected as f64, "{name} in {after}");
    }
}
