//! Downloads that are interrupted: by the server, by the end of the program, by another version of the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::file_server::{Fault, Received, Tags};
use crate::system::{LIST, MODEL, SMALL, System, fixture, shipped};

/// The requests of the model's large file.
fn of_model(received: &[Received]) -> Vec<&Received> {
    received.iter().filter(|request| request.path == MODEL).collect()
}

fn content() -> Vec<u8> {
    fs::read(fixture("words/model.safetensors")).unwrap()
}

/// The file beside the large one that has arrived in part.
fn part(system: &System) -> PathBuf {
    system.entry().join("part/model.safetensors.part")
}

fn wait_for(what: &str, is_true: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Starts a pull, and ends it when so many bytes of the large file have arrived.
fn interrupt(system: &System, count: usize) {
    system.server.fail_once(MODEL, Fault::Stall(count));
    let mut command = system.command(&["pull", &system.url()]);
    let mut pull: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let has_arrived = || system.path("cache").is_dir() && length(&part(system)) == count as u64;
    wait_for("the part arrives", has_arrived);
    pull.kill().unwrap();
    pull.wait().unwrap();
    system.server.received();
}

#[test]
fn cut_connection_is_resumed_with_the_rest() {
    let system = System::new();
    let names = ["config.json", "model.safetensors"];
    system.server.publish("/m/clothes", &shipped("fashion-mnist"), &names);
    let whole = fs::read(shipped("fashion-mnist").join("model.safetensors")).unwrap();
    let half = whole.len() / 2;
    system.server.fail_once("/m/clothes/model.safetensors", Fault::Cut(half));
    let folder = system.pull(&system.server.url("/m/clothes"));
    assert!(fs::read(folder.join("model.safetensors")).unwrap() == whole);
    let received = system.server.received();
    let [_, _, first, second] = &received[..] else { panic!("{received:?}") };
    assert_eq!((first.status, first.sent, first.range.as_ref()), (200, half, None));
    assert_eq!((second.status, second.range.as_deref()), (206, Some(&*format!("bytes={half}-"))));
    assert!(second.if_range.is_some());
    assert_eq!(first.sent + second.sent, whole.len());
}

#[test]
fn pull_that_was_killed_goes_on_where_it_was() {
    let system = System::new();
    interrupt(&system, 60_000);
    let folder = system.pull(&system.url());
    let received = system.server.received();
    // The small files have arrived, too.
    let paths: Vec<&str> = received.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, [LIST, MODEL]);
    assert_eq!((received[1].status, received[1].range.as_deref()), (206, Some("bytes=60000-")));
    assert_eq!(received[1].sent, content().len() - 60_000);
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), content());
    assert!(!part(&system).exists());
}

#[test]
fn attempts_are_limited_and_their_parts_are_kept() {
    let system = System::new();
    system.server.fail(MODEL, Fault::Cut(100));
    let said = system.fail(&["pull", &system.url()]);
    assert!(said.contains("the connection ended within model.safetensors"), "{said}");
    let received = system.server.received();
    let ranges: Vec<_> = of_model(&received).iter().map(|request| request.range.clone()).collect();
    let expected = [None, Some("bytes=100-"), Some("bytes=200-"), Some("bytes=300-")];
    assert_eq!(ranges, expected.map(|range| range.map(str::to_owned)));
    assert_eq!(length(&part(&system)), 400);
    system.server.fail(MODEL, None);
    system.pull(&system.url());
    assert_eq!(of_model(&system.server.received())[0].range.as_deref(), Some("bytes=400-"));
}

#[test]
fn slow_progress_does_not_use_up_the_attempts() {
    let system = System::new();
    let names = ["config.json", "model.safetensors"];
    system.server.publish("/m/clothes", &shipped("fashion-mnist"), &names);
    for _ in 0..6 {
        system.server.fail_once("/m/clothes/model.safetensors", Fault::Cut(1_100_000));
    }
    let folder = system.pull(&system.server.url("/m/clothes"));
    assert_eq!(system.server.received().len(), 2 + 7);
    let whole = fs::read(shipped("fashion-mnist").join("model.safetensors")).unwrap();
    assert!(whole.len() > 7_000_000 && fs::read(folder.join("model.safetensors")).unwrap() == whole);
}

#[test]
fn server_that_answers_again_after_errors_is_used() {
    let system = System::new();
    for path in [LIST, MODEL] {
        for status in [500, 429, 503] {
            system.server.fail_once(path, Fault::Status(status));
        }
    }
    system.pull(&system.url());
    let received = system.server.received();
    let statuses: Vec<u16> = of_model(&received).iter().map(|request| request.status).collect();
    assert_eq!(statuses, [500, 429, 503, 200]);
}

#[test]
fn file_that_changed_meanwhile_is_downloaded_anew() {
    let system = System::new();
    interrupt(&system, 60_000);
    // Of the same length, so that the rest would fit.
    let mut other = content();
    other[0] ^= 1;
    system.server.put(MODEL, other.clone());
    system.server.list(SMALL);
    let folder = system.pull(&system.url());
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), other);
    let received = system.server.received();
    let [request] = of_model(&received)[..] else { panic!("{received:?}") };
    assert_eq!((request.status, request.sent), (200, other.len()));
    assert_eq!(request.range.as_deref(), Some("bytes=60000-"));
}

#[test]
fn server_without_ranges_sends_the_whole_file() {
    let system = System::new();
    interrupt(&system, 60_000);
    system.server.fail_once(MODEL, Fault::NoRanges);
    let folder = system.pull(&system.url());
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), content());
    let received = system.server.received();
    let [request] = of_model(&received)[..] else { panic!("{received:?}") };
    assert_eq!((request.range.as_deref(), request.status), (Some("bytes=60000-"), 200));
}

#[test]
fn server_without_strong_tags_and_dates_is_not_asked_for_a_rest() {
    for tags in [Tags::None, Tags::Weak] {
        let system = System::new();
        system.server.identify_by(tags);
        interrupt(&system, 60_000);
        let folder = system.pull(&system.url());
        assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), content());
        let received = system.server.received();
        let [request] = of_model(&received)[..] else { panic!("{received:?}") };
        assert_eq!((request.range.as_ref(), request.status), (None, 200), "{tags:?}");
    }
}

#[test]
fn dates_identify_versions_too() {
    let system = System::new();
    system.server.identify_by(Tags::Dates);
    interrupt(&system, 60_000);
    let folder = system.pull(&system.url());
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), content());
    let received = system.server.received();
    let [request] = of_model(&received)[..] else { panic!("{received:?}") };
    assert_eq!((request.range.as_deref(), request.status), (Some("bytes=60000-"), 206));
    assert_eq!(request.if_range.as_deref(), Some("Sat, 28 Nov 2026 05:08:24 GMT"));
}

#[test]
fn range_that_is_refused_starts_anew() {
    let system = System::new();
    interrupt(&system, 60_000);
    // Longer than the file that the server has.
    let mut longer = content();
    longer.extend([0; 100]);
    fs::write(part(&system), longer).unwrap();
    let folder = system.pull(&system.url());
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), content());
    let received = system.server.received();
    let statuses: Vec<u16> = of_model(&received).iter().map(|request| request.status).collect();
    assert_eq!(statuses, [416, 200]);
}

#[test]
fn part_that_is_complete_is_not_asked_for() {
    let system = System::new();
    interrupt(&system, 60_000);
    fs::write(part(&system), content()).unwrap();
    system.pull(&system.url());
    assert_eq!(system.server.paths(), [LIST]);
}

#[test]
fn part_with_the_wrong_content_is_replaced_once() {
    let system = System::new();
    interrupt(&system, 60_000);
    fs::write(part(&system), vec![7; 60_000]).unwrap();
    let folder = system.pull(&system.url());
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), content());
    let received = system.server.received();
    let statuses: Vec<u16> = of_model(&received).iter().map(|request| request.status).collect();
    assert_eq!(statuses, [206, 200]);
}

#[test]
fn wrong_hash_names_the_file_and_both_hashes() {
    let system = System::new();
    let other = [content(), vec![1]].concat();
    system.server.put(MODEL, other.clone());
    let said = system.fail(&["pull", &system.url()]);
    let [actual, expected] = [&other, &content()].map(|content| crate::file_server::hash(content));
    assert!(
        said.contains(&format!("{MODEL} has the wrong hash: {actual} instead of {expected} in SHA256SUMS")),
        "{said}"
    );
    let received = system.server.received();
    let statuses: Vec<u16> = of_model(&received).iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200, 200]);
    assert!(!part(&system).exists());
}
