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
    let allowed = ["image/src/abi.rs", "loader/src/bpfsys.rs"];
    for dir in ["image/src", "compiler/src", "loader/src"] {
        for entry in fs::read_dir(root().join(dir)).unwrap().flatten() {
            let name = format!("{dir}/{}", entry.file_name().to_string_lossy());
            let text = fs::read_to_string(entry.path()).unwrap();
            assert!(!text.contains("unsafe {") || allowed.contains(&name.as_str()), "{name}");
        }
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
