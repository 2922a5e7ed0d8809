//! The page where no script runs.

use fantoccini::Locator;
use serde_json::json;

use super::site::{Browser, PATIENCE, from_data_url, generated, server};

#[tokio::test]
async fn without_scripts_the_form_returns_its_pictures() {
    let (_server, url) = server(0);
    let browser = Browser::start(1024, 900).await;
    browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    browser.goto(&format!("{url}/?class=Bag&seed=12&count=2&temperature=0.8")).await;
    browser.client.find(Locator::Css("#go")).await.unwrap().click().await.unwrap();
    let pictures =
        browser.client.wait().at_most(PATIENCE).for_element(Locator::Css(".drawn img")).await.unwrap();
    let source = pictures.attr("src").await.unwrap().unwrap();
    assert_eq!(
        from_data_url(&source),
        generated(&["--class", "Bag", "--seed", "12", "--temperature", "0.8"])
    );
    assert_eq!(browser.client.find_all(Locator::Css(".drawn img")).await.unwrap().len(), 2);
    assert!(browser.text(".drawn").await.contains("Bag, seed 12, no. 2"));
    // The form is as it was, and what needs scripts isn't offered.
    let seed = browser.client.find(Locator::Css("#seed")).await.unwrap();
    assert_eq!(seed.attr("value").await.unwrap().as_deref(), Some("12"));
    assert!(!browser.client.find(Locator::Css("#dice")).await.unwrap().is_displayed().await.unwrap());
    browser.close().await;
}

#[tokio::test]
async fn a_sent_form_that_cannot_be_used_is_explained() {
    let (_server, url) = server(0);
    let client = reqwest::Client::new();
    let send = async |body: &'static str| {
        let request =
            client.post(&url).header("content-type", "application/x-www-form-urlencoded").body(body);
        request.send().await.unwrap().text().await.unwrap()
    };
    let page = send("class=Bag&seed=12&temperature=hot&count=99").await;
    assert!(page.contains("temperature can’t be “hot”") && page.contains("count can’t be “99”"), "{page}");
    assert!(!page.contains("class=\"drawn\""));
    let page = send("class=Bag&class=Dress&seed=1-9").await;
    assert!(page.contains("18 pictures"), "{page}");
    // Nothing of it is taken for markup.
    let page = send("class=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(!page.contains("<script>alert"));
    // A page without any setting draws too.
    assert!(send("").await.contains("class=\"drawn\""));
}
