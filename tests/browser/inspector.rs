//! The inspected cell.

use serde_json::{Value, json};

use super::site::Site;

#[tokio::test]
async fn a_cell_shows_its_code_probability_entropy_alternatives_and_codes_at_other_steps() {
    let site = Site::open("/?class=Dress&seed=11").await;
    site.until_state("draw", "completed").await;
    // The same numbers from the API.
    let client = reqwest::Client::new();
    let settings = json!({"class": "Dress", "seed": 11, "alternatives": true});
    let job: Value = client
        .post(format!("{}/api/v1/generations", site.url))
        .json(&settings)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let events = format!("{}{}", site.url, job["links"]["events"].as_str().unwrap());
    let events = client.get(events).send().await.unwrap().text().await.unwrap();
    let steps: Vec<Value> = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .filter(|data| data["step"].is_u64())
        .map(|data| data["images"][0].clone())
        .collect();
    assert_eq!(steps.len(), 10);

    // By keyboard: three cells to the right, two down.
    site.script("document.querySelector('#draw [data-part=tokens]').focus()").await;
    site.press("\u{e014}\u{e014}\u{e014}\u{e015}\u{e015}").await;
    let last = &steps[9];
    let code = last["tokens"][2][3].as_u64().unwrap();
    site.until(&format!("document.querySelector('#draw [data-part=code]').innerText === 'Code {code}'"))
        .await;
    assert_eq!(site.text("#draw [data-part=position]").await, "Row 3, column 4");
    let entropy = last["entropy"][2][3].as_f64().unwrap();
    assert_eq!(site.text("#draw [data-part=entropy]").await, format!("{entropy:.2} of 8 bits"));
    let codes = site.script(
        "return [...document.querySelectorAll('#draw .code-history li')].map(li => Number(li.innerText))",
    );
    assert_eq!(codes.await, json!(steps.iter().map(|step| step["tokens"][2][3].clone()).collect::<Vec<_>>()));
    let alternatives = site.script(
        "return [...document.querySelectorAll('#draw .alternatives li span:nth-child(2)')].map(s => Number(s.innerText))",
    );
    // The code that was drawn is listed, too, if it isn't one of the most likely.
    let mut listed = last["alternatives"]["codes"][2][3].as_array().unwrap().clone();
    if !listed.contains(&json!(code)) {
        listed.push(json!(code));
    }
    assert_eq!(alternatives.await, json!(listed));
    let announced =
        site.script("return document.querySelector('#draw [data-part=announcement]').textContent").await;
    assert!(
        announced.as_str().unwrap().starts_with(&format!("Row 3, column 4: code {code}, probability")),
        "{announced}"
    );

    // The cell stays selected at another step.
    site.click("#draw [data-part=bars] > :nth-child(2)").await;
    let earlier = steps[1]["tokens"][2][3].as_u64().unwrap();
    site.until(&format!("document.querySelector('#draw [data-part=code]').innerText === 'Code {earlier}'"))
        .await;
    // The pointer selects the cell below it; when it leaves, the pinned cell is selected again.
    let move_to = |script: &str| {
        format!(
            "const canvas = document.querySelector('#draw [data-part=tokens]'); \
             const box = canvas.getBoundingClientRect(); {script}"
        )
    };
    site.script(&move_to(
        "canvas.dispatchEvent(new PointerEvent('pointermove', {pointerType: 'mouse', clientX: box.left + 2, clientY: box.top + 2}))",
    ))
    .await;
    assert_eq!(site.text("#draw [data-part=position]").await, "Row 1, column 1");
    site.script(&move_to("canvas.dispatchEvent(new PointerEvent('pointerleave', {pointerType: 'mouse'}))"))
        .await;
    assert_eq!(site.text("#draw [data-part=position]").await, "Row 3, column 4");
    site.close().await;
}
