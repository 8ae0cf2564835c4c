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
    let mut reads = 0;
    for entry in fs::read_dir(root().join("ebpf/lib")).unwrap().flatten() {
        reads += fs::read_to_string(entry.path()).unwrap().matches("bpf_map_lookup_elem(&image,").count();
    }
    let hooks = fs::read_to_string(root().join("ebpf/fqdn.bpf.c")).unwrap();
    assert_eq!(reads + hooks.matches("&image,").count(), 1);
    assert_eq!(hooks.matches("open_image(").count(), 1);
    assert_eq!(hooks.matches("open_policy(").count(), 4, "its definition, egress, ingress and the four sock_addr hooks in one");
}
