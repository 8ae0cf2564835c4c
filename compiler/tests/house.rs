//! I8 and other habits of the repository, as tests.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::Path;

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// I8: the compiler never touches the kernel, the loader never parses YAML, the kernel programs know no policy.
#[test]
fn i8_rooms_stay_apart() {
    let manifest = |name: &str| fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
    for word in ["aya", "libc", "fqdn-load"] {
        assert!(!manifest("compiler").contains(word), "compiler depends on {word}");
        assert!(!manifest("image").contains(word), "image depends on {word}");
    }
    for word in ["yaml", "saphyr", "schemars", "jsonschema", "fqdnc"] {
        assert!(!manifest("loader").contains(word), "loader depends on {word}");
    }
    for entry in fs::read_dir(root().join("ebpf/lib")).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        for word in ["example.com", "amazonaws", "kube-dns"] {
            assert!(!text.contains(word), "{}: {word}", entry.path().display());
        }
    }
}

/// Unsafe code stands in two files.
#[test]
fn unsafe_code_stands_in_two_files() {
    let mut found = Vec::new();
    for dir in ["image/src", "compiler/src", "loader/src"] {
        sources(&root().join(dir), &mut found);
    }
    assert!(found.len() > 40, "the sources are read");
    for path in found {
        let allowed = path.ends_with("image/src/abi.rs") || path.ends_with("loader/src/bpfsys.rs");
        assert!(allowed || !fs::read_to_string(&path).unwrap().contains("unsafe {"), "{}", path.display());
    }
}

/// What nobody names is dead: the compiler sees that of private items, this of public ones. A name that stands once, where it is
/// defined, is used by nothing.
#[test]
fn nothing_public_is_dead() {
    let mut found = Vec::new();
    for dir in ["image", "compiler", "loader", "ebpf/tests", "fuzz"] {
        let dir = root().join(dir);
        ["src", "tests", "benches", "fuzz_targets"]
            .iter()
            .map(|part| dir.join(part))
            .filter(|part| part.is_dir())
            .for_each(|part| sources(&part, &mut found));
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut used: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    let mut defined = Vec::new();
    for path in found.iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let text = fs::read_to_string(path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            line.split(|c| !is_word(c))
                .filter(|word| !word.is_empty())
                .for_each(|word| *used.entry(word.to_owned()).or_default() += 1);
            let words: Vec<&str> =
                line.split(|c: char| !is_word(c) && c != '(' && c != ')').filter(|word| !word.is_empty()).collect();
            let public = words.first().is_some_and(|word| *word == "pub" || word.starts_with("pub("));
            let kind =
                words.iter().position(|word| ["fn", "struct", "enum", "const", "static", "type", "trait", "mod"].contains(word));
            if let (true, Some(at)) = (public && path.components().any(|part| part.as_os_str() == "src"), kind) {
                let name = words.get(at + 1).map_or("", |word| word.split('(').next().unwrap());
                if !["const", "fn"].contains(&name) {
                    defined.push((name.to_owned(), path.clone()));
                }
            }
        }
    }
    let dead: Vec<_> = defined.iter().filter(|(name, _)| used.get(name).is_none_or(|count| *count < 2)).collect();
    assert!(dead.is_empty(), "named nowhere but where they are defined: {dead:#?}");
    assert!(defined.len() > 300, "{}", defined.len());
}

fn sources(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() { sources(&entry.path(), found) } else { found.push(entry.path()) }
    }
}

/// I2: the image's slot is read in one place, which every hook passes at most once.
#[test]
fn i2_one_packet_sees_one_image() {
    let text = |folder: &str| {
        let mut found = Vec::new();
        sources(&root().join(folder), &mut found);
        found
            .into_iter()
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
            .collect::<Vec<_>>()
    };
    let (lib, mut hooks) = (text("ebpf/lib"), text("ebpf/hooks"));
    hooks.retain(|(file, _)| file != "cgroup.h"); // no packet comes there: it forgets the bindings of both images
    let count =
        |texts: &[(std::ffi::OsString, String)], what: &str| texts.iter().map(|(_, t)| t.matches(what).count()).sum::<usize>();
    assert_eq!(count(&lib, "&image,") + count(&hooks, "&image,"), 1, "one line reads the slot");
    assert_eq!(count(&lib, "open_image(") + count(&hooks, "open_image("), 2, "its definition and open_policy");
    assert_eq!(count(&lib, "open_policy("), 1, "its definition");
    for (file, text) in &hooks {
        // In ingress a datagram and a segment go different ways.
        let most = if file == "ingress.h" { 2 } else { 1 };
        assert!(text.matches("open_policy(").count() <= most, "{}: once a packet", file.display());
    }
}
