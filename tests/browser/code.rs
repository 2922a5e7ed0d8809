//! Code for the settings: it follows them, runs, and makes the same pictures.

use std::path::Path;
use std::process::Command;

use image::imageops::FilterType;
use serde_json::json;
use tempfile::TempDir;

use super::program::rdpm;
use super::site::{Site, generated};

const CODE: &str = "return document.querySelector('.code-drawer code').textContent";

async fn language(site: &Site, name: &str) -> String {
    site.script(&format!("document.querySelector('[name=code-language][value={name}]').click()")).await;
    site.script(CODE).await.as_str().unwrap().to_owned()
}

fn run(folder: &Path, command: &mut Command) {
    let output = command.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs code in a folder.
fn run_code(folder: &Path, language: &str, code: &str) {
    match language {
        "curl" => run(folder, Command::new("sh").args(["-c", code])),
        "python" => run(folder, Command::new("python3").args(["-c", code])),
        "javascript" => {
            std::fs::write(folder.join("draw.mjs"), code).unwrap();
            run(folder, Command::new("node").arg("draw.mjs"));
            std::fs::remove_file(folder.join("draw.mjs")).unwrap();
        }
        _ => {
            let weights = format!("{}/weights", env!("CARGO_MANIFEST_DIR"));
            for line in code.lines() {
                let arguments = shlex::split(line).unwrap();
                assert_eq!(arguments[0], "rdpm");
                run(folder, rdpm().env("RDPM_WEIGHTS", &weights).args(&arguments[1..]));
            }
        }
    }
}

#[tokio::test]
async fn code_follows_the_settings_before_and_after_drawing() {
    let site = Site::open("/").await;
    site.click(".code-link [data-open=code]").await;
    site.until("document.querySelector('.code-drawer')?.open").await;
    let code = language(&site, "curl").await;
    assert!(code.contains(r#""class":"T-shirt/top""#) && !code.contains("seed"), "{code}");
    assert!(site.text(".code-note").await.contains("Without a seed"));
    site.click("#class-8").await;
    site.fill("#guidance", "3").await;
    let code = language(&site, "openai").await;
    assert!(code.contains(r#"prompt="Bag""#) && code.contains(r#""guidance":3"#), "{code}");
    // An invalid setting leaves the code and says so.
    site.fill("#guidance", "300").await;
    assert_eq!(site.script(CODE).await, json!(code));
    assert!(site.text(".code-note").await.contains("A setting is invalid"));
    site.fill("#guidance", "2").await;
    site.run("draw").await;
    let seed = site.script("return document.getElementById('seed').value").await;
    let code = language(&site, "curl").await;
    assert!(code.contains(&format!(r#""seed":{}"#, seed.as_str().unwrap())), "{code}");
    // Other views have code of their own.
    site.click(".tabs [data-view-link=compare]").await;
    site.until("document.body.dataset.loaded === 'compare'").await;
    site.until("document.querySelector('.code-drawer code').textContent.split('curl').length === 3").await;
    site.click(".tabs [data-view-link=tokenize]").await;
    site.until("document.querySelector('.code-drawer code').textContent.includes('tokenizations')").await;
    site.click(".tabs [data-view-link=how]").await;
    site.until("!document.querySelector('.code-drawer').open").await;
    site.close().await;
}

#[tokio::test]
async fn code_in_each_language_writes_the_chosen_picture_or_all() {
    let site = Site::open("/?class=Bag&class=T-shirt%2Ftop&seed=7&count=2&top_k=60&pick=4").await;
    site.until_state("draw", "completed").await;
    site.click("#draw [data-open=code]").await;
    site.until("document.querySelector('.code-drawer')?.open").await;
    let expected = generated(&["--class", "Bag", "--seed", "7", "--first", "1", "--top-k", "60"]).to_luma8();
    let folder = TempDir::new().unwrap();
    for name in ["curl", "python", "javascript", "shell"] {
        let code = language(&site, name).await;
        run_code(folder.path(), name, &code);
        let files: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files, [folder.path().join("bag-7-2.png")], "{name}");
        let picture = image::open(&files[0]).unwrap().resize_exact(28, 28, FilterType::Nearest);
        assert_eq!(picture.to_luma8(), expected, "{name}");
        std::fs::remove_file(&files[0]).unwrap();
    }
    site.click("[name=code-scope][value=all]").await;
    for (name, files) in [("curl", 2), ("python", 4), ("javascript", 4), ("shell", 2)] {
        let code = language(&site, name).await;
        run_code(folder.path(), name, &code);
        let written: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(written.len(), files, "{name}: {written:?}");
        written.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }
    site.close().await;
}
