//! The view that explains the method.

use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn the_figures_are_drawn_by_the_model() {
    let site = Site::open("/?view=how").await;
    site.until_state("how", "completed").await;
    site.until("document.querySelectorAll('#how .probabilities li').length >= 4").await;
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

#[tokio::test]
async fn one_slider_one_class_and_one_cell_drive_all_figures() {
    let site = Site::open("/?view=how").await;
    site.until_state("how", "completed").await;
    let current = "return [...document.querySelectorAll('#how .step-images')].map(list => \
        [...list.children].findIndex(item => item.classList.contains('current')) + 1)";
    assert_eq!(site.script(current).await, json!([5, 5, 5, 5, 5]));
    site.script(
        "const slider = document.getElementById('how-step'); slider.value = 8; \
         slider.dispatchEvent(new Event('input', {bubbles: true}))",
    )
    .await;
    assert_eq!(site.script(current).await, json!([8, 8, 8, 8, 8]));
    site.click("#how [data-part=forward-noisy] li:nth-child(3)").await;
    assert_eq!(site.script(current).await, json!([3, 3, 3, 3, 3]));
    assert_eq!(
        site.script("return [...document.querySelectorAll('#how .error-chart i')].findIndex(bar => bar.matches('.current')) + 1").await,
        json!(3)
    );
    // A cell that is pointed at is marked in all linked figures.
    site.script(
        "const grid = document.querySelector('#how [data-part=linked-tokens]'), box = grid.getBoundingClientRect(); \
         grid.dispatchEvent(new PointerEvent('pointermove', {pointerType: 'mouse', clientX: box.left + box.width * .01, clientY: box.top + box.height * .99}))",
    )
    .await;
    let texts = "return [...document.querySelectorAll('#how [data-part=linked-text], #how [data-part=probabilities-place]')].map(text => text.innerText)";
    let texts = site.script(texts).await;
    for text in texts.as_array().unwrap() {
        assert!(text.as_str().unwrap().to_lowercase().starts_with("row 7, column 1"), "{text}");
    }
    assert_eq!(
        site.script("return document.querySelector('#how [data-part=code-marker]').checkVisibility()").await,
        json!(true)
    );
    // The code that was drawn is always listed, with its rank.
    for step in 1..=10 {
        site.click(&format!("#how [data-part=forward-noisy] li:nth-child({step})")).await;
        let drawn = site.script("return [...document.querySelectorAll('#how .probabilities .drawn')].map(item => item.innerText)").await;
        assert_eq!(drawn.as_array().unwrap().len(), 1, "{step}: {drawn}");
        let drawn = drawn[0].as_str().unwrap();
        let rank = drawn.rsplit("rank ").next().and_then(|rank| rank.trim().parse::<u32>().ok());
        assert!(rank.is_some_and(|rank| (1..=256).contains(&rank)), "{drawn}");
    }
    // Another class draws all figures anew.
    let first = site.text("#how .status").await;
    site.script(
        "const select = document.getElementById('how-class'); select.value = 'Bag'; \
         select.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    site.until("document.querySelector('#how .status').innerText.startsWith('Figures: Bag')").await;
    assert_ne!(site.text("#how .status").await, first);
    assert_eq!(site.script("return window.layoutShifts").await, json!([]));
    site.close().await;
}
