//! The comparison view: two pictures side by side.

use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn a_comparison_shows_both_pictures_at_the_same_step() {
    let site = Site::open("/?view=compare&class=Sandal&seed=4").await;
    // A link with a class and a seed starts the run.
    site.until_state("compare", "completed").await;
    site.script(
        "const vary = document.getElementById('vary'); vary.value = 'temperature'; \
         vary.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    site.fill("#to", "9").await;
    site.click("#submit").await;
    assert_eq!(site.text("#to-error").await, "Enter a number from 0 to 5.");
    site.fill("#to", "0").await;
    site.run("compare").await;
    let titles =
        "return [...document.querySelectorAll('[data-part=side-title]')].map(title => title.innerText)";
    assert_eq!(site.script(titles).await, json!(["Temperature 1.1", "Temperature 0"]));
    site.click("#compare [data-part=bars] > :nth-child(6)").await;
    let steps =
        "return [...document.querySelectorAll('#compare [data-part=tokens]')].map(c => c.dataset.step)";
    site.until(&format!("(() => {{ {steps} }})().join() === '6,6'")).await;

    // The cell is inspected in both pictures; at temperature 0 the most likely code has probability 1.
    site.script("document.querySelector('#compare [data-part=tokens]').focus()").await;
    site.press("\u{e015}").await;
    let probabilities =
        "return [...document.querySelectorAll('#compare [data-part=probability]')].map(p => p.innerText)";
    let probabilities = site.script(probabilities).await;
    assert_eq!(probabilities[1], json!("100 %"));
    assert_ne!(probabilities[0], json!("100 %"));
    let link = site.script("return location.search").await;
    let link = link.as_str().unwrap();
    for part in ["view=compare", "class=Sandal", "seed=4", "vary=temperature", "to=0"] {
        assert!(link.contains(part), "{link}");
    }
    site.close().await;
}

#[tokio::test]
async fn switching_to_compare_does_not_start_a_run() {
    let site = Site::open("/?class=Sandal&seed=4").await;
    site.until_state("draw", "completed").await;
    site.click(".tabs [data-view-link=compare]").await;
    site.until("document.body.dataset.loaded === 'compare'").await;
    assert_eq!(
        site.script("return document.querySelector('#compare .status').dataset.state").await,
        json!("idle")
    );
    site.close().await;
}
