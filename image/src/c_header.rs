//! The C side of `abi`: text of `ebpf/include/fqdn_abi.h`, committed and compared by a test.

use crate::abi::{self, CONSTANTS, LAYOUTS, REASONS};
use std::fmt::Write as _;

/// The whole header.
fn text() -> String {
    let mut out = String::from(
        "/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */\n\
         /* Generated from image/src/abi.rs; `BLESS=1 cargo test -p fqdn-image` writes it anew. */\n\
         #ifndef FQDN_ABI_H\n#define FQDN_ABI_H\n\n",
    );
    let _ = writeln!(out, "#define FQDN_ABI 0x{:016x}ULL\n", abi::fingerprint());
    for (name, value, doc) in CONSTANTS {
        let suffix = if *value > u64::from(u32::MAX) { "ULL" } else { "U" };
        let shown = if *value > 0xffff { format!("0x{value:x}{suffix}") } else { format!("{value}{suffix}") };
        let _ = writeln!(out, "#define FQDN_{name} {shown} /*{doc} */");
    }
    out.push('\n');
    for (index, (name, _, doc)) in REASONS.iter().enumerate() {
        let _ = writeln!(out, "#define FQDN_COUNT_{} {index}U /* {doc} */", shout(name));
    }
    let _ = writeln!(out, "#define FQDN_COUNTS {}U\n", REASONS.len());
    for layout in LAYOUTS {
        let _ = writeln!(out, "/*{} */\nstruct fqdn_{} {{", pad(layout.doc), layout.name);
        for field in layout.fields {
            let _ = writeln!(out, "\t{}; /*{} */", c_field(field.ty, field.name), pad(field.doc));
        }
        let _ = writeln!(out, "}};\n_Static_assert(sizeof(struct fqdn_{}) == {}, \"size\");", layout.name, layout.size);
        for field in layout.fields {
            let _ = writeln!(
                out,
                "_Static_assert(__builtin_offsetof(struct fqdn_{}, {}) == {}, \"offset\");",
                layout.name, field.name, field.offset
            );
        }
        out.push('\n');
    }
    out.push_str("#endif\n");
    out
}

fn pad(doc: &str) -> String {
    format!(" {}", doc.trim())
}

fn shout(camel: &str) -> String {
    let mut out = String::new();
    for (i, c) in camel.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

fn c_field(ty: &str, name: &str) -> String {
    match ty.strip_prefix('[').and_then(|t| t.strip_suffix(']')).and_then(|t| t.split_once(';')) {
        Some((element, n)) => format!("{} {name}[{}]", c_type(element.trim()), n.trim()),
        None => format!("{} {name}", c_type(ty)),
    }
}

fn c_type(ty: &str) -> String {
    match ty {
        "u8" | "u16" | "u32" | "u64" => format!("__{ty}"),
        "SpinLock" => "struct bpf_spin_lock".into(),
        record => {
            let snake = shout(record).to_ascii_lowercase();
            format!("struct fqdn_{snake}")
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_header_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ebpf/include/fqdn_abi.h");
        let want = super::text();
        let have = std::fs::read_to_string(path).unwrap_or_default();
        if have != want {
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(path, want).expect("header is writable");
            }
            panic!("ebpf/include/fqdn_abi.h was not what image/src/abi.rs says (BLESS=1 rewrites it)");
        }
    }
}
