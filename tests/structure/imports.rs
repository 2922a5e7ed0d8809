//! Reads which files a file imports.

use std::collections::{BTreeMap, BTreeSet};

/// For each file, the files that it imports.
pub type Imports = BTreeMap<String, BTreeSet<String>>;

type Sources = BTreeMap<String, String>;

/// Rust: the code without comments, and with empty strings; the same for JavaScript and Python.
pub fn code_only(text: &str, line_comment: &str) -> String {
    let (mut code, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        if rest.starts_with(line_comment) {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if line_comment == "//" && rest.starts_with("/*") {
            rest = &rest[rest.find("*/").map_or(rest.len(), |end| end + 2)..];
        } else if line_comment == "#" && (rest.starts_with("\"\"\"") || rest.starts_with("'''")) {
            let quotes = &rest[..3];
            rest = &rest[rest[3..].find(quotes).map_or(rest.len(), |end| end + 6)..];
        } else if line_comment == "//" && first == 'r' && is_raw_string(rest) && !ends_in_word(&code) {
            let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            rest = &rest[rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())..];
            code.push_str("\"\"");
        } else if first == '"' || (line_comment == "#" && first == '\'') {
            rest = &rest[string_end(rest, first)..];
            code.push_str("\"\"");
        } else {
            // A character such as '"' or '\'', which is no string.
            let length = if line_comment == "//" { char_length(rest) } else { None };
            let length = length.unwrap_or(first.len_utf8());
            if length == first.len_utf8() {
                code.push(first);
            }
            rest = &rest[length..];
        }
    }
    code
}

fn is_raw_string(text: &str) -> bool {
    text[1..].trim_start_matches('#').starts_with('"')
}

fn ends_in_word(code: &str) -> bool {
    code.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_')
}

fn string_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            letter if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal with a quote or an escape.
fn char_length(text: &str) -> Option<usize> {
    for literal in ["'\"'", "'\\''", "'\\\"'", "'\\\\'"] {
        if text.starts_with(literal) {
            return Some(literal.len());
        }
    }
    None
}

/// The code without unit tests.
fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    while let Some(start) = kept.find("#[cfg(test)]") {
        let block = kept[start..].find(['{', ';']).map(|at| start + at);
        let end = match block {
            Some(open) if kept[open..].starts_with('{') => {
                let mut depth = 0;
                let close = kept[open..].char_indices().find(|(_, letter)| {
                    depth += i32::from(*letter == '{') - i32::from(*letter == '}');
                    depth == 0
                });
                close.map_or(kept.len(), |(at, _)| open + at + 1)
            }
            Some(semicolon) => semicolon + 1,
            None => kept.len(),
        };
        kept.replace_range(start..end, "");
    }
    kept
}

/// A Rust file: where it is in the module tree, and its code.
struct Module<'a> {
    file: &'a str,
    code: String,
    /// Names that it re-exports, with their paths.
    exports: BTreeMap<String, Vec<String>>,
}

/// The modules of a crate by their paths; the root's is empty.
type Crate<'a> = BTreeMap<Vec<String>, Module<'a>>;

pub fn rust_imports(sources: &Sources) -> Imports {
    let is_program = |file: &str| file == "src/main.rs" || file.starts_with("src/cli/");
    let library = modules(sources.iter().filter(|(file, _)| !is_program(file)));
    let program = modules(sources.iter().filter(|(file, _)| is_program(file)));
    let mut imports = Imports::new();
    for (own, others) in [(&library, &library), (&program, &library)] {
        for (path, module) in own {
            let found = imports.entry(module.file.to_owned()).or_default();
            for (name, target) in module_paths(path, &module.code, own) {
                // A name that is only handed on is no dependency.
                if name.is_some_and(|name| is_only_exported(module, &name)) {
                    continue;
                }
                let file = match target.split_first() {
                    Some((first, rest)) if first == "rdpm" => resolve(rest, others, 0),
                    _ => resolve(&target, own, 0),
                };
                found.extend(file.filter(|file| *file != module.file).map(str::to_owned));
            }
        }
    }
    imports
}

fn modules<'a>(sources: impl Iterator<Item = (&'a String, &'a String)>) -> Crate<'a> {
    let mut modules = Crate::new();
    for (file, text) in sources {
        let trimmed = file.trim_start_matches("src/").trim_end_matches(".rs");
        let path: Vec<String> = match trimmed {
            "lib" | "main" => Vec::new(),
            path => path.trim_end_matches("/mod").split('/').map(str::to_owned).collect(),
        };
        let code = without_tests(&code_only(text, "//"));
        modules.insert(path, Module { file, code, exports: BTreeMap::new() });
    }
    let exports: Vec<_> = modules
        .iter()
        .map(|(path, module)| {
            let exported = declarations(&module.code).into_iter().filter(|(is_public, _)| *is_public);
            let paths = exported.flat_map(|(_, tree)| expand(&tree));
            let named = paths.filter_map(|(name, target)| Some((name?, absolute(&target, path, &modules)?)));
            (path.clone(), named.collect())
        })
        .collect();
    for (path, exported) in exports {
        if let Some(module) = modules.get_mut(&path) {
            module.exports = exported;
        }
    }
    modules
}

/// The `use` declarations of some code: whether they re-export, and their trees.
fn declarations(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].trim_end_matches(' ');
        let is_public = before.ends_with("pub")
            || (before.ends_with(')')
                && before
                    .rfind("pub(")
                    .is_some_and(|open| !before[open..before.len() - 1].contains([')', ';'])));
        let starts_line = before.is_empty() || before.ends_with(['\n', ';', '{', '}', ']']);
        if (is_public || starts_line)
            && let Some(end) = code[at..].find(';')
        {
            found.push((is_public, code[at + 4..at + end].split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    found
}

/// The paths of a `use` tree, with the names that they introduce; none for globs.
fn expand(tree: &str) -> Vec<(Option<String>, Vec<String>)> {
    fn walk(tree: &str, prefix: &[String], found: &mut Vec<(Option<String>, Vec<String>)>) {
        let tree = tree.trim();
        if tree.is_empty() {
            return;
        }
        if let Some(list) = tree.strip_prefix('{').and_then(|list| list.strip_suffix('}')) {
            let (mut depth, mut start) = (0, 0);
            for (at, letter) in list.char_indices() {
                match letter {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        walk(&list[start..at], prefix, found);
                        start = at + 1;
                    }
                    _ => {}
                }
            }
            walk(&list[start..], prefix, found);
        } else if let Some((first, rest)) = tree.split_once("::").filter(|(first, _)| !first.contains('{')) {
            walk(rest, &[prefix, &[first.trim().to_owned()]].concat(), found);
        } else {
            let (item, name) = tree.split_once(" as ").unwrap_or((tree, tree));
            match item.trim() {
                "*" => found.push((None, prefix.to_vec())),
                "self" => found.push((prefix.last().cloned(), prefix.to_vec())),
                item => found.push((Some(name.trim().to_owned()), [prefix, &[item.to_owned()]].concat())),
            }
        }
    }
    let mut found = Vec::new();
    walk(tree, &[], &mut found);
    found
}

/// All paths of a module that lead into its crate or into the library, with the names that `use` gives them.
fn module_paths(path: &[String], code: &str, modules: &Crate<'_>) -> Vec<(Option<String>, Vec<String>)> {
    let used = declarations(code).into_iter().flat_map(|(_, tree)| expand(&tree));
    let inline = qualified_paths(code).into_iter().map(|target| (None, target));
    used.chain(inline).filter_map(|(name, target)| Some((name, absolute(&target, path, modules)?))).collect()
}

/// `crate::…`, `super::…`, `self::…` and `rdpm::…` in code.
fn qualified_paths(code: &str) -> Vec<Vec<String>> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::", "rdpm::"] {
        for (at, _) in code.match_indices(root) {
            if !code[..at].ends_with(is_word) && !code[..at].ends_with(':') {
                let path: String =
                    code[at..].chars().take_while(|letter| is_word(*letter) || *letter == ':').collect();
                found.push(path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
            }
        }
    }
    found
}

/// A path from the root of the crate; paths of the library keep the first part `rdpm`. None for other crates.
fn absolute(target: &[String], path: &[String], modules: &Crate<'_>) -> Option<Vec<String>> {
    let (first, rest) = target.split_first()?;
    let mut base = path.to_vec();
    match first.as_str() {
        "crate" => return Some(rest.to_vec()),
        "rdpm" => return Some(target.to_vec()),
        "self" => {}
        "super" => {
            base.pop();
            let ups = rest.iter().take_while(|part| *part == "super").count();
            base.truncate(base.len().saturating_sub(ups));
            return Some([&base, &rest[ups..]].concat());
        }
        // A child module.
        _ => {
            base.push(first.clone());
            return modules.contains_key(&base).then(|| [path, target].concat());
        }
    }
    Some([&base, rest].concat())
}

/// The file that defines what a path names.
fn resolve<'a>(path: &[String], modules: &Crate<'a>, depth: usize) -> Option<&'a str> {
    let length = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let module = &modules[&path[..length]];
    let exported = path.get(length).and_then(|name| module.exports.get(name));
    match exported {
        Some(target) if depth < 8 => {
            let whole = [target.as_slice(), &path[length + 1..]].concat();
            resolve(&whole, modules, depth + 1).or(Some(module.file))
        }
        _ => Some(module.file),
    }
}

fn is_only_exported(module: &Module<'_>, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let uses = module.code.split(|letter| !is_word(letter)).filter(|word| *word == name).count();
    module.exports.contains_key(name) && uses == 1
}

pub fn javascript_imports(sources: &Sources) -> Imports {
    javascript_statements(sources, |statement| {
        statement.starts_with("import") || statement.starts_with("export") || statement.contains("import(")
    })
}

/// Without `import(…)`: what a browser loads together with a script.
pub fn static_javascript_imports(sources: &Sources) -> Imports {
    javascript_statements(sources, |statement| {
        !statement.contains("import(")
            && (statement.starts_with("import")
                || (statement.starts_with("export") && statement.contains("from")))
    })
}

fn javascript_statements(sources: &Sources, is_import: impl Fn(&str) -> bool) -> Imports {
    let mut imports = Imports::new();
    for (file, text) in sources {
        let found = imports.entry(file.clone()).or_default();
        // Comments without strings: names of files are strings.
        let mut lines = String::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find("/*") {
            lines.push_str(&rest[..start]);
            rest = &rest[rest[start..].find("*/").map_or(rest.len(), |end| start + end + 2)..];
        }
        lines.push_str(rest);
        for statement in lines.split(';').map(code_of_statement).filter(|statement| is_import(statement)) {
            let names =
                statement.split(['"', '\'']).filter(|part| part.starts_with("./") || part.starts_with("../"));
            found.extend(
                names.filter_map(|name| relative(file, name)).filter(|other| sources.contains_key(other)),
            );
        }
    }
    imports
}

/// A statement without the `//` lines before it.
fn code_of_statement(statement: &str) -> &str {
    let mut code = statement.trim_start();
    while code.starts_with("//") {
        code = code.find('\n').map_or("", |end| code[end..].trim_start());
    }
    code.trim_end()
}

/// A path relative to a file, from the repository's root.
fn relative(file: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// `root` is the folder that contains the package.
pub fn python_imports(sources: &Sources, root: &str) -> Imports {
    let mut imports = Imports::new();
    let file_of = |module: &[&str]| {
        let path = format!("{root}/{}", module.join("/"));
        [format!("{path}.py"), format!("{path}/__init__.py")]
            .into_iter()
            .find(|file| sources.contains_key(file))
    };
    for (file, text) in sources {
        let found = imports.entry(file.clone()).or_default();
        let own: Vec<&str> = file.trim_start_matches(root).trim_start_matches('/').split('/').collect();
        let package = &own[..own.len() - 1];
        let code = code_only(text, "#").replace("\\\n", " ");
        let mut rest = code.as_str();
        while !rest.is_empty() {
            let line_end = rest.find('\n').unwrap_or(rest.len());
            let line = rest[..line_end].trim();
            let is_open = line.starts_with("from ") && line.contains('(') && !line.contains(')');
            let end = if is_open { rest.find(')').map_or(line_end, |at| at + 1) } else { line_end };
            let statement = rest[..end].replace(['(', ')', '\n'], " ");
            rest = rest[end..].strip_prefix('\n').unwrap_or(&rest[end..]);
            let statement = statement.trim();
            if let Some((module, names)) =
                statement.strip_prefix("from ").and_then(|s| s.split_once(" import "))
            {
                let dots = module.bytes().take_while(|byte| *byte == b'.').count();
                let base: Vec<&str> = match dots {
                    0 => Vec::new(),
                    dots => package[..(package.len() + 1).saturating_sub(dots)].to_vec(),
                };
                let inner = module.trim_start_matches('.').split('.').filter(|part| !part.is_empty());
                let module: Vec<&str> = base.into_iter().chain(inner).collect();
                for name in names.split(',').map(|name| name.split_whitespace().next().unwrap_or("")) {
                    let submodule = file_of(&[&module[..], &[name]].concat());
                    found.extend(submodule.or_else(|| file_of(&module)).filter(|other| other != file));
                }
            } else if let Some(names) = statement.strip_prefix("import ") {
                for name in names.split(',').map(|name| name.split_whitespace().next().unwrap_or("")) {
                    let module: Vec<&str> = name.split('.').collect();
                    found.extend(file_of(&module).filter(|other| other != file));
                }
            }
        }
    }
    imports
}
