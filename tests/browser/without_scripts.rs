//! The page without JavaScript.

use fantoccini::Locator;
use serde_json::json;

use super::site::{Browser, TIMEOUT, from_data_url, generated, server};

#[tokio::test]
async fn without_scripts_the_form_returns_pictures() {
    let (_server, url) = server(0);
    let browser = Browser::start(1024, 900).await;
    browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    browser.goto(&format!("{url}/?class=Bag&seed=12&count=2&temperature=0.8")).await;
    browser.client.find(Locator::Css("#submit")).await.unwrap().click().await.unwrap();
    let pictures = browser
        .client
        .wait()
        .at_most(TIMEOUT)
        .for_element(Locator::Css(".no-script-results img"))
        .await
        .unwrap();
    let source = pictures.attr("src").await.unwrap().unwrap();
    assert_eq!(
        from_data_url(&source),
        generated(&["--class", "Bag", "--seed", "12", "--temperature", "0.8"])
    );
    assert_eq!(browser.client.find_all(Locator::Css(".no-script-results img")).await.unwrap().len(), 2);
    assert!(browser.text(".no-script-results").await.contains("Bag, seed 12, no. 2"));
    // The form keeps its values, and hides what needs scripts.
    let seed = browser.client.find(Locator::Css("#seed")).await.unwrap();
    assert_eq!(seed.attr("value").await.unwrap().as_deref(), Some("12"));
    assert!(!browser.client.find(Locator::Css("#random-seed")).await.unwrap().is_displayed().await.unwrap());
    browser.close().await;
}

#[tokio::test]
async fn a_submitted_form_with_invalid_values_lists_them() {
    let (_server, url) = server(0);
    let client = reqwest::Client::new();
    let send = async |body: &'static str| {
        let request =
            client.post(&url).header("content-type", "application/x-www-form-urlencoded").body(body);
        request.send().await.unwrap().text().await.unwrap()
    };
    let page = send("class=Bag&seed=12&temperature=hot&count=99").await;
    assert!(page.contains("temperature can’t be “hot”") && page.contains("count can’t be “99”"), "{page}");
    assert!(!page.contains("class=\"no-script-results\""));
    let page = send("class=Bag&class=Dress&seed=1-9").await;
    assert!(page.contains("18 pictures"), "{page}");
    // Values are escaped.
    let page = send("class=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(!page.contains("<script>alert"));
    // An empty form draws with the defaults.
    assert!(send("").await.contains("class=\"no-script-results\""));
}
