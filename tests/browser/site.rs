//! A server, a browser, and the page in it.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use fantoccini::error::NewSessionError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use image::DynamicImage;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::program::{Program, rdpm};

/// How long anything may take on a machine that is slow and busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Runs in every document before its own scripts: notes what jumps by how much, as Chromium measures it.
const WATCH_SHIFTS: &str = "window.jumps = []; new PerformanceObserver(list => { \
    for (const {value, hadRecentInput, sources} of list.getEntries()) { \
        const what = sources.map(({node}) => (node?.outerHTML ?? node?.textContent ?? '').slice(0, 80)); \
        if (!hadRecentInput) window.jumps.push([value, ...what]); } \
    }).observe({type: 'layout-shift', buffered: true})";

/// The program with the shipped weights; `port` 0 picks a free one. Ended when dropped.
pub fn server(port: u16) -> (Program, String) {
    server_with(port, &[])
}

/// The same with further arguments.
pub fn server_with(port: u16, arguments: &[&str]) -> (Program, String) {
    let mut command = rdpm();
    command.args(["serve", "--port", &port.to_string()]).args(arguments);
    let (program, address) = Program::start(&mut command, "http://");
    (program, format!("http://{address}"))
}

/// A browser. Ended when dropped.
pub struct Browser {
    pub client: Client,
    _driver: Driver,
    _profile: TempDir,
}

/// Chromedriver, a group of its own with its browser, which ends with it.
struct Driver(Program);

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    }
}

impl Browser {
    pub async fn start(width: u32, height: u32) -> Self {
        // On a machine that is busy with other browsers, one now and then doesn't start.
        let mut left = 2;
        let browser = loop {
            match Self::try_start(width, height).await {
                Err(_) if left > 0 => left -= 1,
                started => break started.unwrap(),
            }
        };
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH_SHIFTS})).await;
        browser.size(width, height).await;
        browser
    }

    async fn try_start(width: u32, height: u32) -> Result<Self, NewSessionError> {
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").process_group(0);
        let (driver, port) = Program::start(&mut driver, "started successfully on port ");
        let driver = Driver(driver);
        let profile = TempDir::new().unwrap();
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--window-size={width},{height}"),
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": PATIENCE.as_secs() * 1000},
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await?;
        Ok(Self { client, _driver: driver, _profile: profile })
    }

    /// A command of Chromium's own protocol.
    pub async fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.client.issue_cmd(Cdp(json!({"cmd": command, "params": parameters}))).await.unwrap()
    }

    /// The size of the page's window.
    pub async fn size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What style sheets ask about the reader: `prefers-color-scheme` and the like.
    pub async fn prefer(&self, features: &[(&str, &str)]) {
        let features: Vec<_> =
            features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.cdp("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    pub async fn text(&self, selector: &str) -> String {
        self.client.find(Locator::Css(selector)).await.unwrap().text().await.unwrap()
    }

    pub async fn click(&self, selector: &str) {
        // In the middle of the window nothing that sticks to its edges is in the way. Where the page still moves, the
        // click would go where the element was.
        let at_rest = "const [selector, done] = arguments, element = document.querySelector(selector); \
            element.scrollIntoView({block: 'center'}); \
            const look = before => requestAnimationFrame(() => { \
                const {x, y} = element.getBoundingClientRect(); \
                if (before?.x === x && before.y === y) done(); else look({x, y}); }); \
            look()";
        let found = self.client.execute_async(at_rest, vec![json!(selector)]).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"));
        let element = self.client.find(Locator::Css(selector)).await.unwrap();
        element.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.client.find(Locator::Css(selector)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses keys wherever the focus is.
    pub async fn press(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Polls until a script's expression is true, for at most [`PATIENCE`].
    pub async fn until(&self, condition: &str) {
        let (start, script) = (Instant::now(), format!("return Boolean({condition})"));
        loop {
            match self.client.execute(&script, Vec::new()).await {
                Ok(Value::Bool(true)) => return,
                Ok(_) => {}
                // The page was being replaced by another at that moment.
                Err(error) if error.is_unknown_error() => {}
                Err(error) => panic!("{condition}: {error}"),
            }
            if start.elapsed() > PATIENCE {
                let status = self
                    .script("return [...document.querySelectorAll('.status')].map(s => s.innerText)")
                    .await;
                panic!("not in {PATIENCE:?}: {condition}; status: {status}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a view's status line says that it stands so.
    pub async fn until_state(&self, view: &str, state: &str) {
        self.until(&format!("document.querySelector('#{view} .status').dataset.state === '{state}'")).await;
    }

    /// Waits until a view stands as it does before anything is done in it; the explanation's figures are drawn then.
    pub async fn until_settled(&self, view: &str) {
        self.until(&format!("document.body.dataset.loaded === '{view}'")).await;
        if view == "how" {
            self.until_state(view, "completed").await;
        }
        self.until_painted().await;
    }

    /// Presses the button and waits until what that began is done, not what was done before.
    pub async fn run(&self, view: &str) {
        self.script(&format!("document.querySelector('#{view} .status').dataset.state = 'before'")).await;
        self.click("#go").await;
        self.until_state(view, "completed").await;
    }

    /// Waits until what the page has decided to show is on its canvases, which are painted in the next frame.
    pub async fn until_painted(&self) {
        let script = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))";
        self.client.execute_async(script, Vec::new()).await.unwrap();
    }

    /// The finished picture on stage, as it would be saved.
    pub async fn picture(&self) -> DynamicImage {
        let source = self.script("return document.querySelector('[data-part=download]').href").await;
        from_data_url(source.as_str().unwrap())
    }

    /// What the browser's console holds of errors and warnings.
    pub async fn complaints(&self) -> Vec<Value> {
        let log = self.client.issue_cmd(Log).await.unwrap();
        log.as_array().unwrap().iter().filter(|entry| entry["level"] != "INFO").cloned().collect()
    }

    pub async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

/// A server of its own and a browser that shows a page of it.
pub struct Site {
    pub browser: Browser,
    pub url: String,
    pub server: Program,
}

impl Site {
    pub async fn open(path: &str) -> Self {
        Self::open_at(path, 1440, 1000).await
    }

    pub async fn open_at(path: &str, width: u32, height: u32) -> Self {
        let (server, url) = server(0);
        let browser = Browser::start(width, height).await;
        browser.goto(&format!("{url}{path}")).await;
        Self { browser, url, server }
    }

    /// Ends the test: nothing may stand in the console.
    pub async fn close(self) {
        assert_eq!(self.browser.complaints().await, Vec::<Value>::new());
        self.browser.close().await;
    }
}

impl std::ops::Deref for Site {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

/// What `rdpm generate` makes with these flags.
pub fn generated(flags: &[&str]) -> DynamicImage {
    let place = TempDir::new().unwrap();
    let output = place.path().join("picture.png");
    let status = rdpm().arg("generate").args(flags).arg("--output").arg(&output).status().unwrap();
    assert!(status.success());
    image::open(output).unwrap()
}

pub fn from_data_url(source: &str) -> DynamicImage {
    image::load_from_memory(&bytes_of(source)).unwrap()
}

/// The file in a PNG's data URL.
pub fn bytes_of(source: &str) -> Vec<u8> {
    let encoded = source.strip_prefix("data:image/png;base64,").expect("a PNG data URL");
    base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()
}

/// A file of a package that `scripts/test` installs from npm.
pub fn npm(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/node_modules").join(path);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `npm ci` in tests/browser installs it", path.display()))
}

/// The bytes of a page's first load by kind, head and body, as they came over the wire.
pub async fn transferred(browser: &Browser) -> BTreeMap<String, u64> {
    let list = browser
        .script(
            "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')] \
             .map(entry => [entry.initiatorType + ' ' + new URL(entry.name).pathname, entry.transferSize])",
        )
        .await;
    serde_json::from_value::<Vec<(String, u64)>>(list).unwrap().into_iter().collect()
}

/// Chromium's own command that reads the console.
#[derive(Debug)]
struct Log;

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

/// Chromium's own command that passes a command of its protocol on.
#[derive(Debug)]
struct Cdp(Value);

impl WebDriverCompatibleCommand for Cdp {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}
