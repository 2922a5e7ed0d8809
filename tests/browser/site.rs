//! Starts a server and a browser, and drives the page.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use image::DynamicImage;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::program::{Program, rdpm};

/// Limit for every wait: the machine may be slow and busy.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// Runs in every document before its own scripts: records layout shifts as Chromium measures them.
const RECORD_LAYOUT_SHIFTS: &str = "window.layoutShifts = []; new PerformanceObserver(list => { \
    for (const {value, hadRecentInput, sources} of list.getEntries()) { \
        const what = sources.map(({node}) => (node?.outerHTML ?? node?.textContent ?? '').slice(0, 80)); \
        if (!hadRecentInput) window.layoutShifts.push([value, ...what]); } \
    }).observe({type: 'layout-shift', buffered: true})";

/// Starts the program with the shipped weights; `port` 0 picks a free one. It ends when dropped.
pub fn server(port: u16) -> (Program, String) {
    server_with(port, &[])
}

/// The same with more arguments.
pub fn server_with(port: u16, arguments: &[&str]) -> (Program, String) {
    let mut command = rdpm();
    command.args(["serve", "--port", &port.to_string()]).args(arguments);
    let (program, address) = Program::start(&mut command, "http://");
    (program, format!("http://{address}"))
}

/// A browser, which ends when dropped.
pub struct Browser {
    pub client: Client,
    _driver: Driver,
    _profile: TempDir,
}

/// Chromedriver and its browser, in a process group of their own. Both end when dropped.
struct Driver(Program);

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    }
}

impl Browser {
    pub async fn start(width: u32, height: u32) -> Self {
        // Chromedriver takes a random port for IPv4, and ends where the same one is in use for IPv6. On a busy machine a
        // browser sometimes fails to start.
        let mut retries = 4;
        let browser = loop {
            match Self::try_start(width, height).await {
                Err(_) if retries > 0 => retries -= 1,
                started => break started.unwrap(),
            }
        };
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({"source": RECORD_LAYOUT_SHIFTS})).await;
        browser.set_size(width, height).await;
        browser
    }

    async fn try_start(width: u32, height: u32) -> Result<Self, String> {
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").process_group(0);
        let (driver, port) = Program::try_start(&mut driver, "started successfully on port ")?;
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
            "timeouts": {"script": TIMEOUT.as_secs() * 1000},
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self { client, _driver: driver, _profile: profile })
    }

    /// Sends a command of the Chrome DevTools Protocol.
    pub async fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.client.issue_cmd(Cdp(json!({"cmd": command, "params": parameters}))).await.unwrap()
    }

    /// Sets the size of the viewport.
    pub async fn set_size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Emulates media features such as `prefers-color-scheme`.
    pub async fn emulate_media(&self, features: &[(&str, &str)]) {
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
        // In the middle of the window no sticky element covers it. While the page still scrolls, the click would miss
        // the element.
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

    /// Sends keys to the focused element.
    pub async fn press(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Polls until a script's expression is true, for at most [`TIMEOUT`].
    pub async fn until(&self, condition: &str) {
        let (start, script) = (Instant::now(), format!("return Boolean({condition})"));
        loop {
            match self.client.execute(&script, Vec::new()).await {
                Ok(Value::Bool(true)) => return,
                Ok(_) => {}
                // The page is being replaced by another.
                Err(error) if error.is_unknown_error() => {}
                Err(error) => panic!("{condition}: {error}"),
            }
            if start.elapsed() > TIMEOUT {
                let status = self
                    .script("return [...document.querySelectorAll('.status')].map(s => s.innerText)")
                    .await;
                panic!("not within {TIMEOUT:?}: {condition}; status: {status}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a view's status line has this state.
    pub async fn until_state(&self, view: &str, state: &str) {
        self.until(&format!("document.querySelector('#{view} .status').dataset.state === '{state}'")).await;
    }

    /// Waits until a view is loaded; for the explanation, until its figures are drawn.
    pub async fn until_loaded(&self, view: &str) {
        self.until(&format!("document.body.dataset.loaded === '{view}'")).await;
        if view == "how" {
            self.until_state(view, "completed").await;
        }
        self.until_painted().await;
    }

    /// Submits the form and waits until the new run is completed.
    pub async fn run(&self, view: &str) {
        self.script(&format!("document.querySelector('#{view} .status').dataset.state = 'submitted'")).await;
        self.click("#submit").await;
        self.until_state(view, "completed").await;
    }

    /// Waits until the canvases are painted, which happens in the next frame.
    pub async fn until_painted(&self) {
        let script = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))";
        self.client.execute_async(script, Vec::new()).await.unwrap();
    }

    /// The finished picture in the viewer, as it would be saved.
    pub async fn picture(&self) -> DynamicImage {
        let source = self.script("return document.querySelector('[data-part=download]').href").await;
        from_data_url(source.as_str().unwrap())
    }

    /// Errors and warnings in the browser's console.
    pub async fn console_messages(&self) -> Vec<Value> {
        let log = self.client.issue_cmd(Log).await.unwrap();
        log.as_array().unwrap().iter().filter(|entry| entry["level"] != "INFO").cloned().collect()
    }

    /// Records the files that the page saves from now on; see [`saved_file`].
    pub async fn record_files(&self) {
        self.script(RECORD_FILES).await;
    }

    pub async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

/// A server, and a browser that shows its page.
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
        // The first view shows the model that knows words; most tests are about the other one, which draws faster.
        let path = if path == "/" { "/?model=fashion-mnist" } else { path };
        browser.goto(&format!("{url}{path}")).await;
        Self { browser, url, server }
    }

    /// Ends the test; fails if the console has errors or warnings.
    pub async fn close(self) {
        assert_eq!(self.browser.console_messages().await, Vec::<Value>::new());
        self.browser.close().await;
    }
}

impl std::ops::Deref for Site {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

/// Records saved files: their names, and their contents as data URLs.
const RECORD_FILES: &str = "window.files = []; let blob; const make = URL.createObjectURL; \
    URL.createObjectURL = content => { blob = content; return make.call(URL, content); }; \
    HTMLAnchorElement.prototype.click = function () { \
        const name = this.download, reader = new FileReader(); \
        reader.onload = () => window.files.push([name, reader.result]); \
        reader.readAsDataURL(blob); }";

/// The last of `count` saved files: its name, and its content.
pub async fn saved_file(browser: &Browser, count: usize) -> (String, Vec<u8>) {
    browser.until(&format!("window.files.length === {count}")).await;
    let last = browser.script("return window.files.at(-1)").await;
    let encoded = last[1].as_str().unwrap().split_once(";base64,").unwrap().1;
    let content = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    (last[0].as_str().unwrap().to_owned(), content)
}

/// The output of `rdpm generate` with these flags.
pub fn generated(flags: &[&str]) -> DynamicImage {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("picture.png");
    let status = rdpm().arg("generate").args(flags).arg("--output").arg(&output).status().unwrap();
    assert!(status.success());
    image::open(output).unwrap()
}

pub fn from_data_url(source: &str) -> DynamicImage {
    image::load_from_memory(&bytes_of(source)).unwrap()
}

/// The bytes in a PNG's data URL.
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

/// The bytes that the page's first load transferred, header included, by kind and path.
pub async fn transferred(browser: &Browser) -> BTreeMap<String, u64> {
    let list = browser
        .script(
            "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')] \
             .map(entry => [entry.initiatorType + ' ' + new URL(entry.name).pathname, entry.transferSize])",
        )
        .await;
    serde_json::from_value::<Vec<(String, u64)>>(list).unwrap().into_iter().collect()
}

/// Chromedriver's command that reads the console.
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

/// Chromedriver's command that forwards a command of the Chrome DevTools Protocol.
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
