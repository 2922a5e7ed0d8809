//! The structure of the code, read from its import lines: no file imports itself through others, no layer imports a higher
//! one, the page preloads what its scripts import, and names that were replaced don't come back.
//!
//! Imports are those of `use` declarations and qualified paths (Rust), of `import` and `export … from` (JavaScript), and of
//! `import` and `from … import` (Python). A name that a Rust module re-exports counts as imported from the file that defines
//! it. `mod` lines, comments and unit tests don't count.

#[path = "structure/imports.rs"]
mod imports;
#[path = "structure/words.rs"]
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use imports::{Imports, javascript_imports, python_imports, rust_imports, static_javascript_imports};

/// The layers of the Rust code, the highest first.
const RUST_LAYERS: [&str; 9] = [
    "src/main.rs",
    "src/cli/",
    "src/web/",
    "src/store/",
    "src/request/",
    "src/queue/",
    "src/engine/",
    "src/picture/",
    "src/model/",
];
/// The layers of the page's scripts, the highest first.
const SCRIPT_LAYERS: [&str; 4] = ["static/main.js", "static/views/", "static/components/", "static/lib/"];

/// Where circles are not checked yet.
const UNCHECKED: [&str; 0] = [];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of all files with an ending below a folder, by their paths in the repository.
fn sources(folder: &str, ending: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir()
                && !name.starts_with('.')
                && !["node_modules", "__pycache__"].contains(&name.as_str())
            {
                folders.push(path);
            } else if name.ends_with(ending) {
                let own = path.strip_prefix(repository()).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(own, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "{folder}");
    found
}

fn rust() -> Imports {
    rust_imports(&sources("src", ".rs"))
}

fn javascript() -> Imports {
    javascript_imports(&sources("static", ".js"))
}

fn python() -> Imports {
    python_imports(&sources("training/rdpm_training", ".py"), "training")
}

/// A circle of imports, as the files on it.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    fn visit(
        file: &str,
        imports: &Imports,
        done: &mut BTreeSet<String>,
        path: &mut Vec<String>,
    ) -> Option<Vec<String>> {
        if let Some(at) = path.iter().position(|other| other == file) {
            return Some(path[at..].to_vec());
        }
        if done.contains(file) {
            return None;
        }
        path.push(file.to_owned());
        for other in imports.get(file).into_iter().flatten() {
            if let Some(circle) = visit(other, imports, done, path) {
                return Some(circle);
            }
        }
        path.pop();
        done.insert(file.to_owned());
        None
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|file| visit(file, imports, &mut done, &mut Vec::new()))
}

/// The imports between files that are checked.
fn checked(mut imports: Imports) -> Imports {
    let is_checked = |file: &str| !UNCHECKED.iter().any(|folder| file.starts_with(folder));
    imports.retain(|file, _| is_checked(file));
    imports
}

/// Imports from a lower layer to a higher one.
fn upward(imports: &Imports, layers: &[&str]) -> Vec<String> {
    let layer = |file: &str| layers.iter().position(|layer| file.starts_with(layer));
    let edges = imports.iter().flat_map(|(file, others)| others.iter().map(move |other| (file, other)));
    edges
        .filter(
            |(file, other)| matches!((layer(file), layer(other)), (Some(own), Some(other)) if other < own),
        )
        .map(|(file, other)| format!("{file} imports {other}"))
        .collect()
}

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    for (imports, least) in [(rust(), 200), (javascript(), 40), (python(), 40)] {
        let edges: usize = imports.values().map(BTreeSet::len).sum();
        assert!(edges >= least, "only {edges} imports were read");
        let circle = circle(&checked(imports));
        assert!(circle.is_none(), "a circle of imports: {}", circle.unwrap().join(" → "));
    }
}

#[test]
fn layers_import_downwards() {
    assert_eq!(upward(&rust(), &RUST_LAYERS), [""; 0]);
    assert_eq!(upward(&javascript(), &SCRIPT_LAYERS), [""; 0]);
}

/// What a file imports, directly and through others.
fn imported_from(file: &str, imports: &Imports) -> BTreeSet<String> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![file]);
    while let Some(file) = waiting.pop() {
        for other in imports.get(file).into_iter().flatten() {
            if found.insert(other.clone()) {
                waiting.push(other);
            }
        }
    }
    found
}

#[test]
fn page_preloads_the_modules_that_its_main_script_imports() {
    let imports = static_javascript_imports(&sources("static", ".js"));
    let imported = imported_from("static/main.js", &imports);
    assert!(imported.len() >= 30, "only {} modules were found", imported.len());
    let page = &sources("templates", "index.html")["templates/index.html"];
    let list = page.split_once("{% for module in [").unwrap().1.split_once("] %}").unwrap().0;
    let preloaded: Vec<String> =
        list.split(", ").map(|quoted| format!("static/{}.js", quoted.trim_matches('"'))).collect();
    assert_eq!(preloaded, imported.into_iter().collect::<Vec<_>>());
}

#[test]
fn replaced_names_are_not_used() {
    let mut found = Vec::new();
    for (folder, ending) in [
        ("src", ".rs"),
        ("tests", ".rs"),
        ("benches", ".rs"),
        ("static", ".js"),
        ("training/rdpm_training", ".py"),
    ] {
        for (file, text) in sources(folder, ending) {
            if !words::UNCHECKED.iter().any(|folder| file.starts_with(folder)) {
                let names = words::replaced_names(&text, ending);
                found.extend(names.into_iter().map(|name| format!("{file}: {name}")));
            }
        }
    }
    assert!(found.is_empty(), "replaced names:\n{}", found.join("\n"));
}

/// Files by path, for the tests of the readers.
fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn rust_circle_through_a_re_export_is_found() {
    let imports = rust_imports(&files(&[
        ("src/lib.rs", "pub mod a;"),
        ("src/a/mod.rs", "mod x; mod y; pub use x::X;"),
        ("src/a/x.rs", "use super::y::{self, Y}; pub struct X;"),
        ("src/a/y.rs", "use std::fmt;\nuse crate::a::X; pub struct Y;"),
    ]));
    assert_eq!(circle(&imports).unwrap(), ["src/a/x.rs", "src/a/y.rs"]);
}

#[test]
fn rust_circle_through_a_qualified_path_is_found() {
    let imports = rust_imports(&files(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "pub fn f() { crate::b::g() }"),
        ("src/b.rs", "use crate::a; pub fn g() {}"),
    ]));
    assert_eq!(circle(&imports).unwrap(), ["src/a.rs", "src/b.rs"]);
}

#[test]
fn rust_comments_strings_and_unit_tests_are_skipped() {
    let imports = rust_imports(&files(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::B; pub struct A;"),
        (
            "src/b.rs",
            "// use crate::a::A;\n/* crate::a::A */ const T: &str = \"crate::a::A\";\n#[cfg(test)] mod tests { use crate::a::A; }",
        ),
    ]));
    assert_eq!(circle(&imports), None);
}

#[test]
fn script_circle_is_found() {
    let imports = javascript_imports(&files(&[
        ("static/a.js", "import { b } from \"./lib/b.js\";"),
        ("static/lib/b.js", "/** @type {import(\"./c.js\").C} */\nexport * from '../a.js';"),
    ]));
    assert_eq!(circle(&imports).unwrap(), ["static/a.js", "static/lib/b.js"]);
}

#[test]
fn script_imports_include_the_first_line_and_all_that_load_later() {
    let sources = files(&[
        (
            "static/a.js",
            "// @ts-check\nimport { b } from \"./b.js\";\nexport { c } from \"./c.js\";\n\
             const later = { d: () => import(\"./d.js\"), e: () => import(\"./e.js\") };",
        ),
        ("static/b.js", "// import { e } from \"./e.js\";"),
        ("static/c.js", "import \"./b.js\";"),
        ("static/d.js", ""),
        ("static/e.js", ""),
    ]);
    let all = imported_from("static/a.js", &javascript_imports(&sources));
    assert_eq!(Vec::from_iter(all), ["b", "c", "d", "e"].map(|name| format!("static/{name}.js")));
    let first = imported_from("static/a.js", &static_javascript_imports(&sources));
    assert_eq!(Vec::from_iter(first), ["b", "c"].map(|name| format!("static/{name}.js")));
}

#[test]
fn python_circle_is_found() {
    let imports = python_imports(
        &files(&[
            ("training/rdpm_training/__init__.py", ""),
            ("training/rdpm_training/a.py", "from .deep import b\n"),
            ("training/rdpm_training/deep/b.py", "import torch\nfrom rdpm_training.c import (\n    x,\n)\n"),
            ("training/rdpm_training/c.py", "from . import a, torch\n"),
        ]),
        "training",
    );
    let expected = ["a.py", "deep/b.py", "c.py"].map(|file| format!("training/rdpm_training/{file}"));
    assert_eq!(circle(&imports).unwrap(), expected);
}

#[test]
fn upward_import_is_found() {
    let imports = rust_imports(&files(&[
        ("src/lib.rs", "mod engine; mod web;"),
        ("src/engine/mod.rs", "use crate::web::W;"),
        ("src/web/mod.rs", "pub struct W;"),
    ]));
    assert_eq!(upward(&imports, &RUST_LAYERS), ["src/engine/mod.rs imports src/web/mod.rs"]);
}

#[test]
fn replaced_name_is_found() {
    let text = "// A Ledger.\nstruct Ledger; let text = \"Ledger\"; let ledgers = 1;";
    assert_eq!(words::replaced_names(text, ".rs"), ["Ledger"]);
}
