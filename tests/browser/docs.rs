//! The API documentation runs its operations against its own server.

use serde_json::{Value, json};

use super::site::Site;

/// Runs an operation, waits for its answer and returns the status line.
async fn run(site: &Site, operation: &str) -> String {
    let article = format!("[data-operation={operation}]");
    site.script(&format!("document.querySelector('{article} .run-status').textContent = ''")).await;
    site.script(&format!("document.querySelector('{article} [type=submit]').click()")).await;
    let status = format!("document.querySelector('{article} .run-status').textContent");
    site.until(&format!(
        "/^\\d{{3}}/.test({status}) && document.querySelector('{article} .answer').firstChild"
    ))
    .await;
    let status = site.script(&format!("return {status}")).await;
    status.as_str().unwrap().to_owned()
}

async fn answer(site: &Site, operation: &str) -> String {
    site.text(&format!("[data-operation={operation}] .answer")).await
}

#[tokio::test]
async fn operations_of_the_documentation_run_against_its_own_server() {
    let site = Site::open("/docs").await;
    site.until("document.querySelector('.run')").await;
    let status = run(&site, "listModels").await;
    assert!(status.starts_with("200"), "{status}");
    assert!(answer(&site, "listModels").await.contains("\"name\": \"emoji\""));
    // The command follows the fields.
    site.fill("[data-operation=completePrompt] input", "red hea").await;
    let command = site.text("[data-operation=completePrompt] .command").await;
    assert!(command.contains("/api/v1/words?prefix=red+hea'"), "{command}");
    run(&site, "completePrompt").await;
    assert!(answer(&site, "completePrompt").await.contains("\"heart\""));
    // A body can be changed; the operations on the generation then know its id.
    let body = json!({"model": "emoji", "prompt": "<b>red</b> heart", "style": "noto", "seed": 7});
    site.fill("[data-operation=createGeneration] textarea", &body.to_string()).await;
    let command = site.text("[data-operation=createGeneration] .command").await;
    assert!(command.contains("-X POST") && command.contains("<b>red</b> heart"), "{command}");
    let status = run(&site, "createGeneration").await;
    assert!(status.starts_with("200"), "{status}");
    let created = answer(&site, "createGeneration").await;
    let generation: Value = serde_json::from_str(&created).unwrap();
    assert_eq!((&generation["status"], &generation["unknown_words"]), (&json!("completed"), &json!(["b"])));
    let status = run(&site, "getImage").await;
    assert!(status.starts_with("200"), "{status}");
    site.until("document.querySelector('[data-operation=getImage] .answer img')?.naturalWidth === 512").await;
    let status = run(&site, "followGeneration").await;
    assert!(status.starts_with("200"), "{status}");
    site.until("document.querySelector('[data-operation=followGeneration] .answer').textContent.includes('event: completed')")
        .await;
    site.browser.close().await;
}

#[tokio::test]
async fn wrong_input_in_the_documentation_is_told_beside_the_operation() {
    let site = Site::open("/docs").await;
    site.until("document.querySelector('.run')").await;
    site.script("document.querySelector('[data-operation=getGeneration] [type=submit]').click()").await;
    let status = site.text("[data-operation=getGeneration] .run-status").await;
    assert_eq!(status, "Create a generation first, or enter its id.");
    site.fill("[data-operation=getGeneration] input", "../../<script>").await;
    assert!(run(&site, "getGeneration").await.starts_with("404"));
    site.fill("[data-operation=createGeneration] textarea", "{\"prompt\":").await;
    assert!(run(&site, "createGeneration").await.starts_with("400"));
    assert!(answer(&site, "createGeneration").await.contains("The body is not JSON"));
    // Without scripts the examples are there.
    let page = reqwest::get(format!("{}/docs", site.url)).await.unwrap().text().await.unwrap();
    assert!(page.contains("data-body") && !page.contains("class=\"run\""));
    site.browser.close().await; // the console names the refused requests
}
