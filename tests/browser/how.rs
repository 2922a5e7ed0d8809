//! The explanation.

use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn the_figures_are_drawn_by_the_model() {
    let site = Site::open("/?view=how").await;
    site.until_state("how", "completed").await;
    site.until("document.querySelectorAll('#how .guess li').length === 4").await;
    // The pictures fade in.
    site.until(
        "[...document.querySelectorAll('#how .film')].map(film => \
         new Set([...film.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())).size).join() === '10,10,10,10,10'",
    )
    .await;
    assert_eq!(site.script("return document.querySelectorAll('#how .curve i').length").await, json!(10));
    // The links lead to the other views, and back.
    site.click("#how [data-view-link=compare]").await;
    assert_eq!(
        site.script("return document.body.dataset.view + location.search").await,
        json!("compare?view=compare")
    );
    site.client.back().await.unwrap();
    site.until("document.body.dataset.view === 'how'").await;
    site.close().await;
}
