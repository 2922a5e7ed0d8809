//! What goes wrong in practice, and what people take along.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::site::{Browser, PATIENCE, Site, bytes_of, generated, server, server_with};

const STEP: &str = "Number(document.querySelector('#draw [data-part=tokens]').dataset.step)";
const LINKS: &str =
    "return JSON.parse(sessionStorage['rdpm.run']).session.jobs.map(job => job.links.self).join()";

/// What gets through between a page and its server.
#[derive(Debug, PartialEq)]
enum Way {
    Open,
    /// Of a run nothing after its first step: however fast the server is, the page is in the middle of that run.
    Held,
    /// Nothing: connections are dropped, and no others taken.
    Cut,
}

/// A page of a server, with a way between the two that is held until told otherwise.
async fn open_held(path: &str) -> (Site, watch::Sender<Way>) {
    let (server, url) = server(0);
    let target = url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, way) = watch::channel(Way::Held);
    tokio::spawn(async move {
        while let Ok((page, _)) = listener.accept().await {
            if *way.borrow() != Way::Cut {
                tokio::spawn(connect(page, target.clone(), way.clone()));
            }
        }
    });
    let browser = Browser::start(1440, 1000).await;
    browser.goto(&format!("http://{address}{path}")).await;
    (Site { browser, url, server }, sender)
}

/// Passes on what goes over one connection, until one side or the way ends it.
async fn connect(mut page: TcpStream, target: String, mut way: watch::Receiver<Way>) {
    // The server may just be restarting.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut requests, to_page) = page.split();
    let (answers, mut to_server) = server.split();
    tokio::select! {
        _ = tokio::io::copy(&mut requests, &mut to_server) => {}
        _ = answer(answers, to_page, way.clone()) => {}
        Ok(_) = way.wait_for(|way| *way == Way::Cut) => {}
    }
}

/// Passes answers on, as far as the way lets them through.
async fn answer(
    mut answers: impl AsyncRead + Unpin,
    mut to_page: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) -> std::io::Result<()> {
    let (mut read, mut passed) = (Vec::<u8>::new(), 0);
    loop {
        let held = *way.borrow_and_update() == Way::Held;
        let end = if held { second_step(&read).max(passed) } else { read.len() };
        to_page.write_all(&read[passed..end]).await?;
        passed = end;
        tokio::select! {
            count = answers.read_buf(&mut read) => if count? == 0 { return Ok(()) },
            Ok(()) = way.changed() => {}
        }
    }
}

/// Where an answer's second step begins; its end, where none does.
fn second_step(answer: &[u8]) -> usize {
    const BEGINNING: &[u8] = b"event: step";
    let mut steps = answer.windows(BEGINNING.len()).enumerate().filter(|(_, window)| *window == BEGINNING);
    steps.nth(1).map_or(answer.len(), |(at, _)| at)
}

#[tokio::test]
async fn a_reload_in_the_middle_of_a_run_goes_on_with_that_run() {
    let (site, way) = open_held("/?class=Shirt&seed=31&count=16").await;
    site.until(&format!("{STEP} >= 1")).await;
    let before = site.script(LINKS).await;
    site.client.refresh().await.unwrap();
    way.send(Way::Open).unwrap();
    site.until_state("draw", "completed").await;
    assert_eq!(site.script(LINKS).await, before);
    assert_eq!(site.picture().await, generated(&["--class", "Shirt", "--seed", "31"]));
    // Steps from before the reload are there too.
    site.click("#draw [data-part=bars] > :nth-child(1)").await;
    site.until(&format!("{STEP} === 1")).await;
    // And after it has ended, a reload shows it again without drawing it anew.
    site.client.refresh().await.unwrap();
    site.until("document.querySelector('#draw .status').innerText.includes('again')").await;
    assert_eq!(site.script(LINKS).await, before);
    site.close().await;
}

#[tokio::test]
async fn a_server_that_was_restarted_in_the_middle_of_a_run_leaves_a_way_out() {
    let (site, way) = open_held("/?class=Trouser&seed=5&count=16").await;
    site.until(&format!("{STEP} >= 1")).await;
    let port = site.url.rsplit(':').next().unwrap().parse().unwrap();
    let Site { browser, server: first, .. } = site;
    drop(first);
    browser.until_state("draw", "offline").await;
    way.send(Way::Open).unwrap();
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
async fn a_network_that_was_cut_loses_nothing() {
    let (site, way) = open_held("/?class=Pullover&seed=8&count=16").await;
    site.until(&format!("{STEP} >= 1")).await;
    way.send(Way::Cut).unwrap();
    site.until_state("draw", "offline").await;
    assert!(site.text("#draw .status").await.contains("nothing is lost"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    way.send(Way::Open).unwrap();
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Pullover", "--seed", "8"]));
    for step in 1..=10 {
        site.click(&format!("#draw [data-part=bars] > :nth-child({step})")).await;
        site.until(&format!("{STEP} === {step}")).await;
    }
    site.browser.close().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_said_and_can_be_tried_again() {
    let site = Site::open("/").await;
    let port = site.url.rsplit(':').next().unwrap().parse().unwrap();
    let Site { browser, server: first, .. } = site;
    drop(first);
    browser.click("#go").await;
    browser.until_state("draw", "failed").await;
    assert!(browser.text("#draw .status").await.contains("can’t be reached"));
    let (_second, _) = server(port);
    browser.click("#draw [data-part=retry]").await;
    browser.until_state("draw", "completed").await;
    browser.close().await;
}

#[tokio::test]
async fn cancel_ends_the_run_and_the_page_goes_on() {
    let (site, way) = open_held("/").await;
    site.fill("#count", "16").await;
    site.click("#go").await;
    site.until(&format!("{STEP} >= 1")).await;
    site.click("#cancel").await;
    site.until_state("draw", "canceled").await;
    way.send(Way::Open).unwrap();
    site.fill("#count", "1").await;
    site.click("#go").await;
    site.until_state("draw", "completed").await;
    site.close().await;
}

/// Asks for so much that it isn't done before the page asks, whichever of the two is slow; the last job.
async fn occupy(url: &str) -> Value {
    let client = reqwest::Client::new();
    let mut last = Value::Null;
    for seed in 0..15 {
        let settings = json!({"class": 0, "seed": seed, "count": 16});
        let answer = client.post(format!("{url}/api/v1/generations")).json(&settings).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        last = answer.json().await.unwrap();
    }
    last
}

#[tokio::test]
async fn a_run_that_waits_says_its_place() {
    let site = Site::open("/").await;
    occupy(&site.url).await;
    site.script(
        "window.said = []; new MutationObserver(() => window.said.push(document.querySelector('#draw .status').innerText)) \
         .observe(document.querySelector('#draw .status'), {subtree: true, childList: true, characterData: true})",
    )
    .await;
    site.click("#go").await;
    site.until("window.said.some(text => /In the queue, at position \\d|Next in the queue/.test(text))")
        .await;
    site.click("#cancel").await;
    site.until_state("draw", "canceled").await;
    site.close().await;
}

#[tokio::test]
async fn a_sheet_of_more_classes_than_a_client_may_ask_for_at_once_is_drawn() {
    let (_server, url) = server_with(0, &["--rate-limit", "10", "--rate-burst", "3"]);
    let browser = Browser::start(1440, 1000).await;
    browser.goto(&format!("{url}/?class=Dress&class=Coat&class=Shirt&class=Bag&seed=3")).await;
    browser.until_state("draw", "completed").await;
    let sheet = "return document.querySelectorAll('#draw [data-part=sheet] canvas').length";
    assert_eq!(browser.script(sheet).await, json!(4));
    assert_eq!(browser.picture().await, generated(&["--class", "Dress", "--seed", "3"]));
    // The fourth was refused at first, which the console notes.
    let complaints = browser.complaints().await;
    let is_refusal = |one: &Value| one["message"].as_str().unwrap().contains("status of 429");
    assert!(!complaints.is_empty() && complaints.iter().all(is_refusal), "{complaints:?}");
    browser.close().await;
}

#[tokio::test]
async fn steps_that_could_not_be_followed_are_shown_in_the_end() {
    let (_server, url) = server_with(0, &["--max-streams", "1"]);
    let browser = Browser::start(1440, 1000).await;
    // Whoever follows the last of that holds the only stream.
    let last = occupy(&url).await;
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
    tokio::time::timeout(PATIENCE, completed).await.unwrap();
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
async fn two_tabs_draw_at_the_same_time_and_share_the_history() {
    let site = Site::open("/?class=Bag&seed=1&count=8").await;
    let first = site.client.window().await.unwrap();
    let window = site.client.new_window(true).await.unwrap();
    site.client.switch_to_window(window.handle).await.unwrap();
    site.goto(&format!("{}/?class=Dress&seed=2&count=8", site.url)).await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Dress", "--seed", "2"]));
    site.client.switch_to_window(first).await.unwrap();
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Bag", "--seed", "1"]));
    site.until("document.querySelectorAll('#draw .past-strip a').length === 2").await;
    site.close().await;
}

#[tokio::test]
async fn pictures_drawn_before_come_back_with_their_settings_and_can_be_forgotten() {
    let site = Site::open("/?class=Sneaker&seed=9&guidance=3").await;
    site.until_state("draw", "completed").await;
    let picture = site.picture().await;
    site.goto(&site.url).await;
    assert_eq!(site.script("return document.getElementById('guidance').value").await, json!("2"));
    site.click("#draw .past-strip a").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.script("return document.getElementById('guidance').value").await, json!("3"));
    assert_eq!(site.picture().await, picture);
    site.click("[data-part=forget]").await;
    assert_eq!(
        site.script("return [localStorage.length, document.querySelectorAll('#draw .past-strip a').length]")
            .await,
        json!([0, 0])
    );
    site.close().await;
}

#[tokio::test]
async fn whatever_the_storage_holds_the_page_works() {
    let site = Site::open("/").await;
    let broken = [
        r#""{""#,
        r#""null""#,
        r#"JSON.stringify([null, 1, {}, {address: "javascript:alert(1)", label: "x", seed: 1, thumbnail: "data:image/png;base64,AAAA"}, {address: "/?seed=1", label: "x", seed: 1, thumbnail: "/api/v1/models"}])"#,
        r#"JSON.stringify({session: {jobs: [{body: {class: 1}, links: {self: "//elsewhere", events: 7}}]}, settings: 3, address: "/"})"#,
        r#"JSON.stringify({address: "/", settings: {classes: ["Bag"], seeds: [1], count: 1}, session: {jobs: [{body: {class: "Bag", seed: 1, count: 1}, links: {self: "/api/v1/generations/none", events: "/api/v1/generations/none/events"}}], ended: true}})"#,
    ];
    for value in broken {
        site.script(&format!(
            "localStorage['rdpm.history./?seed=1'] = {value}; sessionStorage['rdpm.run'] = {value}"
        ))
        .await;
        site.goto(&site.url).await;
        assert_eq!(
            site.script("return document.querySelectorAll('#draw .past-strip a').length").await,
            json!(0)
        );
        site.until_state("draw", "idle").await;
    }
    site.click("#go").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.script("return document.querySelectorAll('#draw .past-strip a').length").await, json!(1));
    // A storage that takes nothing costs the history, nothing else.
    site.script("localStorage.clear(); Storage.prototype.setItem = () => { throw new Error('full'); }").await;
    site.run("draw").await;
    // Asking for a run that the server doesn't know is answered by 404, which the console notes.
    let complaints = site.complaints().await;
    assert!(
        complaints.iter().all(|one| one["message"].as_str().unwrap().contains("/none")),
        "{complaints:?}"
    );
    site.browser.close().await;
}

#[tokio::test]
async fn a_picture_is_saved_and_copied_as_link_curl_python_and_tokens() {
    let site = Site::open("/?class=Ankle+boot&seed=6&top_k=50").await;
    site.until_state("draw", "completed").await;
    let name = site.script("return document.querySelector('[data-part=download]').download").await;
    assert_eq!(name, json!("ankle-boot-6.png"));
    let saved = site.script("return document.querySelector('[data-part=download]').href").await;
    let saved = bytes_of(saved.as_str().unwrap());
    let copy = async |what: &str| {
        // What it says about that goes away by itself, so it is noted when it comes.
        site.script(
            "const place = document.querySelector('[data-part=copied]'); place.textContent = ''; window.said = []; \
             new MutationObserver(() => window.said.push(place.textContent)).observe(place, {childList: true})",
        )
        .await;
        site.click("[data-part=copy-menu] summary").await;
        site.click(&format!("[data-copy={what}]")).await;
        site.until("window.said.some(text => text.includes('Cop'))").await;
        site.script("return document.getElementById('copy-text').value").await.as_str().unwrap().to_owned()
    };
    let link = copy("link").await;
    assert!(
        link.contains("class=Ankle+boot") && link.contains("seed=6") && link.contains("top_k=50"),
        "{link}"
    );
    let tokens: Vec<Vec<Vec<u32>>> = serde_json::from_str(&copy("tokens").await).unwrap();
    assert_eq!((tokens.len(), tokens[0].len(), tokens[0][0].len()), (10, 7, 7));

    let place = TempDir::new().unwrap();
    let python = copy("python").await;
    std::fs::write(place.path().join("draw.py"), python).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output =
            std::process::Command::new(program).args(arguments).current_dir(place.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let file = run("python3", &["draw.py"]);
    let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap();
    assert_eq!(pixels(&std::fs::read(place.path().join(file.trim())).unwrap()), pixels(&saved));
    let answer: Value = serde_json::from_str(&run("sh", &["-c", &copy("curl").await])).unwrap();
    assert_eq!((&answer["class"], &answer["seed"]), (&json!("Ankle boot"), &json!(6)));
    site.close().await;
}

#[tokio::test]
async fn an_animation_is_saved() {
    let site = Site::open("/?class=Coat&seed=6").await;
    site.until_state("draw", "completed").await;
    // What the page makes to be saved is kept here.
    site.script(
        "const make = URL.createObjectURL; \
         URL.createObjectURL = blob => { blob.arrayBuffer().then(b => window.saved = [...new Uint8Array(b.slice(0, 6))]); return make.call(URL, blob); }",
    )
    .await;
    site.click("[data-part=animation-menu] summary").await;
    site.click("[data-animation=tokens]").await;
    site.until("window.saved").await;
    assert_eq!(site.script("return String.fromCharCode(...window.saved)").await, json!("GIF89a"));
    site.close().await;
}
