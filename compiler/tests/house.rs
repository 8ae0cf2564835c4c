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
