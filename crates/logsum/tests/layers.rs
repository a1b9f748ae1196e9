//! The module structure: imports go one way, and all modules have distinct names and distinct header lines.
//!
//! The layers are those of DESIGN.md, from the bottom up. A layer is a folder or a file of `src`, or a file of the
//! arithmetic's crate or the kernels'; it may import from itself and from lower layers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The first word of each line of the indented block after this heading, in order.
fn layers(design: &str, heading: &str) -> Vec<String> {
    let (_, rest) = design.split_once(heading).unwrap_or_else(|| panic!("DESIGN.md has no line {heading:?}"));
    let lines =
        rest.lines().skip(1).skip_while(|line| line.is_empty()).take_while(|line| line.starts_with("    "));
    let names =
        lines.filter(|line| !line.starts_with("     ")).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The code of a file, without comments and unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The root modules that the code names: in `use` lines, in paths, and through relative paths.
fn named(code: &str, depth: usize) -> Vec<String> {
    let mut names = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        if code[..start].ends_with('$') || code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        match rest.strip_prefix('{') {
            // A group at the root: the first word of each of its items.
            Some(group) => names.extend(first_words(group)),
            None => names.extend(word(rest)),
        }
    }
    // As many `super` as the file is deep lead to the root.
    let up = "super::".repeat(depth);
    for (start, _) in code.match_indices(&up) {
        if !code[..start].ends_with("super::") {
            names.extend(word(&code[start + up.len()..]).filter(|name| name != "super"));
        }
    }
    names
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The first word of each item of a group whose opening brace has been read.
fn first_words(group: &str) -> Vec<String> {
    let (mut depth, mut item, mut words) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.extend(word(std::mem::take(&mut item).trim())),
            _ => {}
        }
        if depth == 0 && c != ',' {
            item.push(c);
        }
    }
    words.extend(word(item.trim()));
    words
}

/// A message for each import from a higher or unknown layer.
fn upward(files: &[(String, String)], layers: &[String]) -> Vec<String> {
    let rank = |name: &str| layers.iter().position(|layer| layer == name);
    let mut faults = Vec::new();
    for (file, text) in files {
        let room = file.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        let Some(own) = rank(room) else {
            faults.push(format!("{file}: DESIGN.md has no layer {room}"));
            continue;
        };
        for name in named(&code(text), file.matches('/').count() + usize::from(!file.ends_with("mod.rs"))) {
            match rank(&name) {
                Some(found) if found <= own => {}
                Some(_) => faults.push(format!("{file}: {room} must not import from {name}")),
                None => faults.push(format!("{file}: `{name}` is in no layer of DESIGN.md")),
            }
        }
    }
    faults
}

fn read(folder: &Path) -> Vec<(String, String)> {
    let files = sources(folder).into_iter().map(|path| {
        let name = path.strip_prefix(folder).expect("inside").to_string_lossy().replace('\\', "/");
        (name, fs::read_to_string(&path).expect("a text"))
    });
    files.filter(|(name, _)| name != "lib.rs" && name != "test_reference.rs").collect()
}

#[test]
fn imports_go_one_way() {
    let design = fs::read_to_string(repository().join("DESIGN.md")).expect("DESIGN.md");
    let crates = repository().join("crates");
    for (heading, folder) in [
        ("### The arithmetic", "logsum-arithmetic/src"),
        ("### The library", "logsum/src"),
        ("### The kernels for GPUs", "logsum-gpu/src"),
    ] {
        let layers = layers(&design, heading);
        let files = read(&crates.join(folder));
        assert!(layers.len() > 4 && files.len() >= layers.len() - 1, "{layers:?}, {} files", files.len());
        for layer in &layers {
            let is_there = layer == "arithmetic"
                || files
                    .iter()
                    .any(|(file, _)| file.split('/').next() == Some(layer) || *file == format!("{layer}.rs"));
            assert!(is_there, "DESIGN.md has a layer {layer}, {folder} has none");
        }

        let faults = upward(&files, &layers);
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// Shows that the test above can fail.
#[test]
fn an_upward_import_is_found() {
    let layers = ["arithmetic", "simd", "kernels", "operations"].map(str::to_owned);
    let planted = [
        ("kernels/block.rs", "use crate::operations::row_reduction;", 1),
        ("kernels/block.rs", "use crate::{simd::Vector, operations::{reduction, terms}};", 1),
        ("kernels/mod.rs", "fn f() { crate::operations::f() }", 1),
        ("kernels/deep/row.rs", "use super::super::super::operations::f;", 1),
        ("kernels/block.rs", "use crate::simd::Vector;\nuse super::columns;\nuse crate::arithmetic::exp;", 0),
        ("operations/terms.rs", "use crate::kernels::block;\nuse super::reduction;", 0),
        ("operations/terms.rs", "// use crate::arrays;\n#[cfg(test)]\nmod tests { use crate::arrays; }", 0),
        ("simd.rs", "use crate::nowhere::f;", 1),
        ("attic.rs", "", 1),
    ];
    for (file, text, expected) in planted {
        let found = upward(&[(file.to_owned(), text.to_owned())], &layers);
        assert_eq!(found.len(), expected, "{file}: {text:?}: {found:?}");
    }
}

#[test]
fn each_room_has_a_name_and_a_header_of_its_own() {
    let files = read(&repository().join("crates/logsum/src"));
    let (mut names, mut headers) = (BTreeMap::new(), BTreeMap::new());
    for (file, text) in &files {
        let mut parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        let name = *parts.last().expect("a name");
        if let Some(other) = names.insert(name, file) {
            panic!("{file} and {other} have one name");
        }
        let header = text.lines().next().unwrap_or_default();
        assert!(header.starts_with("//! "), "{file} does not say what it is");
        if let Some(other) = headers.insert(header, file) {
            panic!("{file} says what {other} says: {header}");
        }
    }
}
