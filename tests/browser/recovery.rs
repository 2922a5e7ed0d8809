//! Reloads, lost connections, restarts, refusals, cancellation.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::site::{Browser, Site, TIMEOUT, generated, server, server_with};

const STEP: &str = "Number(document.querySelector('#draw [data-part=tokens]').dataset.step)";
const LINKS: &str =
    "return JSON.parse(sessionStorage['rdpm.run']).run.jobs.map(job => job.links.self).join()";

/// What a proxy between a page and its server forwards.
#[derive(Debug, PartialEq)]
enum Forwarding {
    Everything,
    /// Nothing of a run after its first step: however fast the server is, the page is in the middle of the run.
    FirstStep,
    /// Nothing: connections are closed, and new ones refused.
    Nothing,
}

/// Opens a page through a proxy that forwards only the first step of a run until told otherwise.
async fn open_through_proxy(path: &str) -> (Site, watch::Sender<Forwarding>) {
    let (server, url) = server(0);
    let target = url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, forwarding) = watch::channel(Forwarding::FirstStep);
    tokio::spawn(async move {
        while let Ok((page, _)) = listener.accept().await {
            if *forwarding.borrow() != Forwarding::Nothing {
                tokio::spawn(forward(page, target.clone(), forwarding.clone()));
            }
        }
    });
    let browser = Browser::start(1440, 1000).await;
    browser.goto(&format!("http://{address}{path}")).await;
    (Site { browser, url, server }, sender)
}

/// Forwards one connection until one side or the proxy closes it.
async fn forward(mut page: TcpStream, target: String, mut forwarding: watch::Receiver<Forwarding>) {
    // The server may be restarting.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut requests, to_page) = page.split();
    let (responses, mut to_server) = server.split();
    tokio::select! {
        _ = tokio::io::copy(&mut requests, &mut to_server) => {}
        _ = forward_responses(responses, to_page, forwarding.clone()) => {}
        Ok(_) = forwarding.wait_for(|now| *now == Forwarding::Nothing) => {}
    }
}

/// Forwards responses as far as the proxy allows.
async fn forward_responses(
    mut responses: impl AsyncRead + Unpin,
    mut to_page: impl AsyncWrite + Unpin,
    mut forwarding: watch::Receiver<Forwarding>,
) -> std::io::Result<()> {
    let (mut read, mut forwarded) = (Vec::<u8>::new(), 0);
    loop {
        let hold = *forwarding.borrow_and_update() == Forwarding::FirstStep;
        let end = if hold { second_step(&read).max(forwarded) } else { read.len() };
        to_page.write_all(&read[forwarded..end]).await?;
        forwarded = end;
        tokio::select! {
            count = responses.read_buf(&mut read) => if count? == 0 { return Ok(()) },
            Ok(()) = forwarding.changed() => {}
        }
    }
}

/// Where the second step event of a response begins; the end of the response if it has none.
fn second_step(response: &[u8]) -> usize {
    const BEGINNING: &[u8] = b"event: step";
    let mut steps = response.windows(BEGINNING.len()).enumerate().filter(|(_, window)| *window == BEGINNING);
    steps.nth(1).map_or(response.len(), |(at, _)| at)
}

#[tokio::test]
async fn a_reload_during_a_run_continues_it() {
    let (site, proxy) = open_through_proxy("/?class=Shirt&seed=31&count=16").await;
    site.until(&format!("{STEP} >= 1")).await;
    let before = site.script(LINKS).await;
    site.client.refresh().await.unwrap();
    proxy.send(Forwarding::Everything).unwrap();
    site.until_state("draw", "completed").await;
    assert_eq!(site.script(LINKS).await, before);
    assert_eq!(site.picture().await, generated(&["--class", "Shirt", "--seed", "31"]));
    // The steps before the reload are available, too.
    site.click("#draw [data-part=bars] > :nth-child(1)").await;
    site.until(&format!("{STEP} === 1")).await;
    // A reload after the end restores the run without drawing it again.
    site.client.refresh().await.unwrap();
    site.until("document.querySelector('#draw .status').innerText.includes('Restored')").await;
    assert_eq!(site.script(LINKS).await, before);
    site.close().await;
}

#[tokio::test]
async fn a_run_lost_by_a_server_restart_can_be_retried() {
    let (site, proxy) = open_through_proxy("/?class=Trouser&seed=5&count=16").await;
    site.until(&format!("{STEP} >= 1")).await;
    let port = site.url.rsplit(':').next().unwrap().parse().unwrap();
    let Site { browser, server: first, .. } = site;
    drop(first);
    browser.until_state("draw", "offline").await;
    proxy.send(Forwarding::Everything).unwrap();
    let (_second, _) = server(port);
    browser.until_state("draw", "failed").await;
    let status = browser.text("#draw .status").await;
    assert!(status.contains("restarted") && status.contains("same seed"), "{status}");
    browser.click("#draw [data-part=retry]").await;
    browser.until_state("draw", "completed").await;
    assert_eq!(browser.picture().await, generated(&["--class", "Trouser", "--seed", "5"]));
    browser.close().await;
}

#[tokio::test]
async fn a_run_continues_after_the_connection_was_lost() {
    let (site, proxy) = open_through_proxy("/?class=Pullover&seed=8&count=16").await;
    site.until(&format!("{STEP} >= 1")).await;
    proxy.send(Forwarding::Nothing).unwrap();
    site.until_state("draw", "offline").await;
    assert!(site.text("#draw .status").await.contains("no steps are lost"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.send(Forwarding::Everything).unwrap();
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Pullover", "--seed", "8"]));
    for step in 1..=10 {
        site.click(&format!("#draw [data-part=bars] > :nth-child({step})")).await;
        site.until(&format!("{STEP} === {step}")).await;
    }
    site.browser.close().await;
}

#[tokio::test]
async fn an_unreachable_server_is_reported_and_can_be_retried() {
    let site = Site::open("/").await;
    let port = site.url.rsplit(':').next().unwrap().parse().unwrap();
    let Site { browser, server: first, .. } = site;
    drop(first);
    browser.click("#submit").await;
    browser.until_state("draw", "failed").await;
    assert!(browser.text("#draw .status").await.contains("can’t be reached"));
    let (_second, _) = server(port);
    browser.click("#draw [data-part=retry]").await;
    browser.until_state("draw", "completed").await;
    browser.close().await;
}

#[tokio::test]
async fn a_canceled_run_can_be_followed_by_another() {
    let (site, proxy) = open_through_proxy("/").await;
    site.fill("#count", "16").await;
    site.click("#submit").await;
    site.until(&format!("{STEP} >= 1")).await;
    site.click("#cancel").await;
    site.until_state("draw", "canceled").await;
    proxy.send(Forwarding::Everything).unwrap();
    site.fill("#count", "1").await;
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    site.close().await;
}

/// Queues so many jobs that they are still running when the page submits its own. Returns the last job.
async fn fill_queue(url: &str) -> Value {
    let client = reqwest::Client::new();
    let mut last = Value::Null;
    for seed in 0..15 {
        let settings = json!({"class": 0, "seed": seed, "count": 16});
        let response = client.post(format!("{url}/api/v1/generations")).json(&settings).send().await.unwrap();
        assert_eq!(response.status(), 202);
        last = response.json().await.unwrap();
    }
    last
}

#[tokio::test]
async fn a_queued_run_shows_its_position() {
    let site = Site::open("/").await;
    fill_queue(&site.url).await;
    site.script(
        "window.texts = []; new MutationObserver(() => window.texts.push(document.querySelector('#draw .status').innerText)) \
         .observe(document.querySelector('#draw .status'), {subtree: true, childList: true, characterData: true})",
    )
    .await;
    site.click("#submit").await;
    site.until("window.texts.some(text => /In the queue, at position \\d|Next in the queue/.test(text))")
        .await;
    site.click("#cancel").await;
    site.until_state("draw", "canceled").await;
    site.close().await;
}

#[tokio::test]
async fn a_sheet_beyond_the_rate_limit_burst_is_drawn() {
    let (_server, url) = server_with(0, &["--rate-limit", "10", "--rate-burst", "3"]);
    let browser = Browser::start(1440, 1000).await;
    browser.goto(&format!("{url}/?class=Dress&class=Coat&class=Shirt&class=Bag&seed=3")).await;
    browser.until_state("draw", "completed").await;
    let sheet = "return document.querySelectorAll('#draw [data-part=sheet] canvas').length";
    assert_eq!(browser.script(sheet).await, json!(4));
    assert_eq!(browser.picture().await, generated(&["--class", "Dress", "--seed", "3"]));
    // The fourth job was refused at first; the console shows that.
    let console_messages = browser.console_messages().await;
    let is_refusal = |one: &Value| one["message"].as_str().unwrap().contains("status of 429");
    assert!(!console_messages.is_empty() && console_messages.iter().all(is_refusal), "{console_messages:?}");
    browser.close().await;
}

#[tokio::test]
async fn steps_are_shown_after_a_stream_was_refused_at_first() {
    let (_server, url) = server_with(0, &["--max-streams", "1"]);
    let browser = Browser::start(1440, 1000).await;
    // A client that follows the last of these jobs takes the only stream.
    let last = fill_queue(&url).await;
    let client = reqwest::Client::new();
    let stream = client.get(format!("{url}{}", last["links"]["events"].as_str().unwrap()));
    let stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    browser.goto(&format!("{url}/?class=Coat&seed=5")).await;
    browser.until_state("draw", "offline").await;
    let own = browser.script(LINKS).await;
    let completed = async {
        let ask = || client.get(format!("{url}{}", own.as_str().unwrap())).send();
        while ask().await.unwrap().json::<Value>().await.unwrap()["status"] != "completed" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, completed).await.unwrap();
    drop(stream);
    browser.until_state("draw", "completed").await;
    assert_eq!(browser.picture().await, generated(&["--class", "Coat", "--seed", "5"]));
    for step in [1, 10] {
        browser.click(&format!("#draw [data-part=bars] > :nth-child({step})")).await;
        browser.until(&format!("{STEP} === {step}")).await;
    }
    browser.close().await;
}

#[tokio::test]
async fn a_refused_submission_keeps_its_seed() {
    let site = Site::open("/").await;
    let port = site.url.rsplit(':').next().unwrap().parse().unwrap();
    let Site { browser, server: first, .. } = site;
    drop(first);
    let seed = "return document.getElementById('seed').value";
    browser.click("#submit").await;
    browser.until_state("draw", "failed").await;
    let refused = browser.script(seed).await;
    // Both the button and another submission use the seed again.
    browser.click("#submit").await;
    browser.until_state("draw", "failed").await;
    assert_eq!(browser.script(seed).await, refused);
    let (_second, _) = server(port);
    browser.click("#draw [data-part=retry]").await;
    browser.until_state("draw", "completed").await;
    assert_eq!(browser.script(seed).await, refused);
    let done = browser.text("#draw .status").await;
    assert!(done.contains(&format!("seed {}", refused.as_str().unwrap())), "{done}");
    browser.close().await;
}

#[tokio::test]
async fn the_notice_about_a_view_that_could_not_be_loaded_goes_when_it_loads() {
    let site = Site::open("/").await;
    site.until("document.body.dataset.loaded === 'draw'").await;
    site.cdp("Network.enable", json!({})).await;
    site.cdp("Network.setBlockedURLs", json!({"urls": ["*/views/how.js"]})).await;
    site.click(".tabs [data-view-link=how]").await;
    site.until("document.getElementById('notice').innerText.includes('couldn’t be loaded')").await;
    site.cdp("Network.setBlockedURLs", json!({"urls": []})).await;
    site.click(".tabs [data-view-link=how]").await;
    site.until_state("how", "completed").await;
    assert_eq!(site.text("#notice").await, "");
    site.browser.close().await;
}
