//! The view that explains the method.

use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn the_figures_are_drawn_by_the_model() {
    let site = Site::open("/?view=how").await;
    site.until_state("how", "completed").await;
    site.until("document.querySelectorAll('#how .probabilities li').length === 4").await;
    // Wait until the pictures have faded in.
    site.until(
        "[...document.querySelectorAll('#how .step-images')].map(list => \
         new Set([...list.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())).size).join() === '10,10,10,10,10'",
    )
    .await;
    assert_eq!(
        site.script("return document.querySelectorAll('#how .error-chart i').length").await,
        json!(10)
    );
    // Links switch to another view; Back returns.
    site.click("#how [data-view-link=compare]").await;
    assert_eq!(
        site.script("return document.body.dataset.view + location.search").await,
        json!("compare?view=compare")
    );
    site.client.back().await.unwrap();
    site.until("document.body.dataset.view === 'how'").await;
    site.close().await;
}
