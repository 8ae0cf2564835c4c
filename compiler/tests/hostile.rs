//! Input that nobody should give: an error that says what to do, the right exit code, never a panic.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::name::is_plain;
use fqdn_image::{Image, Pattern, WireName};
use fqdnc::diagnostic::Findings;
use fqdnc::source::Source;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn fqdnc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fqdnc")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn file(name: &str, bytes: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).unwrap();
    path.to_string_lossy().into_owned()
}

fn says(run: &Output, code: i32, words: &str) {
    let text = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(run.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "want `{words}` in: {text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn files_that_are_no_policies() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("empty");
    fs::create_dir_all(&dir).unwrap();
    says(&fqdnc(&["check", dir.to_str().unwrap()]), 1, "no policy found");
    says(&fqdnc(&["check", "/nonexistent"]), 2, "failed to read");
    says(&fqdnc(&["check", &file("latin1.yaml", b"kind: \xfc")]), 1, "not UTF-8 at byte 6");
    says(&fqdnc(&["check", &file("nul.yaml", b"kind: a\0b")]), 1, "a NUL");
    says(&fqdnc(&["check", &file("rtl.yaml", "kind: a\u{202e}b".as_bytes())]), 1, "bidirectional");
    says(&fqdnc(&["check", &file("cr.yaml", b"kind: a\rspec: b\n")]), 1, "carriage return");
    says(&fqdnc(&["check", &file("bom.yaml", "\u{feff}kind: x\n".as_bytes())]), 1, "no policy found");
    let big = Path::new(env!("CARGO_TARGET_TMPDIR")).join("big.yaml");
    fs::File::create(&big).unwrap().set_len((256 << 20) + 1).unwrap();
    says(&fqdnc(&["check", big.to_str().unwrap()]), 1, "split it");
    fs::remove_file(&big).unwrap();
}

/// What is no regular file stays what it is: devices, FIFOs, links, `-` (bypass: /dev/null became a file).
#[test]
fn outputs_stay_what_they_are() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outputs");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let at = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/accept/exact/policy.yaml");
    let compile = |more: &[&str]| fqdnc(&[&["compile", policy], more].concat());
    assert!(compile(&["-o", &at("image"), "--dump", &at("text")]).status.success());
    let (image, text) = (fs::read(at("image")).unwrap(), fs::read(at("text")).unwrap());

    let run = compile(&["-o", "-", "--dump", &at("text")]);
    assert_eq!(run.stdout, image);
    assert!(String::from_utf8_lossy(&run.stderr).contains("policies"), "the summary goes to standard error");
    assert!(!dir.join("-").exists() && !Path::new("-").exists());
    assert_eq!(compile(&["-o", &at("image"), "--dump", "-"]).stdout, text);

    let fifo = at("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::read(fifo).unwrap()
    });
    assert!(compile(&["-o", &fifo]).status.success());
    assert_eq!(reader.join().unwrap(), image);
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());

    let link = at("link");
    std::os::unix::fs::symlink("target", &link).unwrap();
    for _ in 0..2 {
        assert!(compile(&["-o", &link]).status.success());
        assert_eq!(fs::read(at("target")).unwrap(), image);
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    std::os::unix::fs::symlink("fifo", at("to-fifo")).unwrap();
    let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
    assert!(compile(&["-o", &at("to-fifo")]).status.success());
    assert_eq!(reader.join().unwrap(), image);

    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    says(&compile(&["-o", &at("socket")]), 2, "it is a socket");
    says(&compile(&["-o", &at("")]), 2, "it is a folder");
    says(&compile(&["-o", &at("both"), "--dump", &at("both")]), 2, "name two files");

    // A dump that cannot be written leaves no image either, and nothing else lies about.
    says(&compile(&["-o", &at("late"), "--dump", &at("nowhere/text")]), 2, "failed to write");
    assert!(!dir.join("late").exists());
    let mut names: Vec<String> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["fifo", "image", "link", "socket", "target", "text", "to-fifo"]);
}

/// A link that somebody else laid is not followed; a file's rights stay.
#[test]
fn outputs_of_others() {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("others");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/accept/exact/policy.yaml");
    let image = dir.join("image");
    fs::write(&image, "").unwrap();
    fs::set_permissions(&image, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(fqdnc(&["compile", policy, "-o", image.to_str().unwrap()]).status.success());
    assert_eq!(fs::metadata(&image).unwrap().permissions().mode() & 0o777, 0o640);
    let link = dir.join("link");
    symlink("target", &link).unwrap();
    if lchown(&link, Some(12345), None).is_err() {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"NOT RUN  a link of another user needs root\n");
        return;
    }
    says(&fqdnc(&["compile", policy, "-o", link.to_str().unwrap()]), 2, "it is a link of user 12345");
    assert!(!dir.join("target").exists());
}

/// A row that rules by address make wrong fails, and one that hangs on the address satisfies nothing.
#[test]
fn verdicts_by_name_know_rules_by_address() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("by-address");
    fs::create_dir_all(&dir).unwrap();
    let policy = |to: &str| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n  endpointSelector: {{}}\n  egress: [{{{to}}}]\n"
        )
    };
    for (to, expect, words) in [
        ("toEntities: [all]", "deny", "image: want deny, got allow"),
        ("toPorts: [{ports: [{port: \"443\"}]}]", "deny", "reference: want deny, got allow"),
        ("toCIDR: [192.0.2.0/24]", "deny", "it hangs on the address (address-rule of shop/p)"),
        ("toCIDR: [192.0.2.0/24]", "allow", "want allow, got depends"),
    ] {
        fs::write(dir.join("policy.yaml"), policy(to)).unwrap();
        let row = format!("{{from: web, name: evil.test, port: 443/tcp, expect: {expect}}}");
        fs::write(dir.join("a.verdicts.yaml"), format!("workloads: {{web: {{namespace: shop}}}}\nverdicts: [{row}]\n")).unwrap();
        says(&fqdnc(&["test", dir.to_str().unwrap()]), 1, words);
    }
}

#[test]
fn profiles_that_contradict_themselves() {
    let policy = file(
        "ok.yaml",
        b"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec: {endpointSelector: {}, egress: [{}]}\n",
    );
    let with = |text: &str| fqdnc(&["check", &policy, "--profile", &file("bad.profile.yaml", text.as_bytes())]);
    let head = "apiVersion: fqdn.policy/v1\nkind: Profile\n";
    says(&with(&format!("{head}clusterCIDRs: [10.0.0.0/8]\n")), 1, "`inCluster` is missing");
    says(&with(&format!("{head}ttl: {{min: 2h, max: 1h}}\n")), 1, "the least ttl");
    says(&with(&format!("{head}ttl: {{min: soon}}\n")), 1, "no duration");
    says(&with(&format!("{head}resolver: []\n")), 1, "did you mean `resolvers`?");
    says(&with(""), 1, "the profile is empty");
}

fn image() -> (PathBuf, Vec<u8>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/accept/overlap/policy.yaml");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile.img");
    says(&fqdnc(&["compile", root.to_str().unwrap(), "-o", path.to_str().unwrap()]), 0, "1 policies");
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn damaged_images_are_refused() {
    let (path, bytes) = image();
    for at in 0..bytes.len() {
        for bit in [1u8, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            assert!(Image::decode(damaged).is_err(), "byte {at} flipped");
        }
    }
    for length in 0..bytes.len() {
        assert!(Image::decode(bytes[..length].to_vec()).is_err(), "cut to {length}");
    }
    let mut longer = bytes.clone();
    longer.extend([0; 64]);
    assert!(Image::decode(longer).is_err());
    let mut other = bytes.clone();
    other[16] ^= 1;
    fs::write(&path, &other).unwrap();
    says(&fqdnc(&["inspect", path.to_str().unwrap()]), 1, "image made for ABI");
    fs::write(&path, &bytes[..100]).unwrap();
    says(&fqdnc(&["dump", path.to_str().unwrap()]), 1, "truncated");
    says(&fqdnc(&["eval", "/nonexistent", "a.test"]), 2, "failed to read image");
}

/// A digest that fits does not make an image: every field damaged and the digest taken anew.
#[test]
fn i1_resealed_images_never_panic() {
    let (_, bytes) = image();
    let name = WireName::parse("www.example.com").unwrap();
    let mut accepted = 0;
    for at in (16..bytes.len()).filter(|at| !(16..24).contains(at)) {
        for value in [0u8, 1, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            let generation = fqdn_image::encode::generation(&fqdn_image::encode::digest(&damaged));
            damaged[8..16].copy_from_slice(&generation.to_le_bytes());
            if let Ok(image) = Image::decode(damaged) {
                accepted += 1;
                let _ = image.selectors_of(&name);
                let _ = fqdn_image::dump::dump(&image);
                let _ = image.address_class(u128::MAX);
            }
        }
    }
    println!("{accepted} resealed images were well formed");
}

/// The image walk against the reference on random names and pattern sets, as sets of selectors.
#[test]
fn the_walk_finds_exactly_the_matching_selectors() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut roll = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let words = [
        "a",
        "b",
        "ab",
        "ba",
        "abc",
        "s3",
        "api",
        "x-y",
        "_t",
        "a-label-of-more-than-nineteen-bytes",
        "a-label-of-more-than-nineteen-bytez",
    ];
    let mut checked = 0;
    for _ in 0..60 {
        let mut patterns: Vec<Pattern> = Vec::new();
        for _ in 0..1 + roll(14) {
            let mut labels = Vec::new();
            for _ in 0..1 + roll(4) {
                labels.push(match roll(7) {
                    0 => "*".to_owned(),
                    1 => format!("{}*", words[roll(8)]),
                    2 => format!("*{}*{}", words[roll(4)], words[roll(8)]),
                    _ => words[roll(words.len())].to_owned(),
                });
            }
            let text = format!("{}{}", if roll(8) == 0 { "**." } else { "" }, labels.join("."));
            patterns.push(Pattern::parse(&text).unwrap());
        }
        if roll(5) == 0 {
            patterns.push(Pattern::everything());
        }
        let list: Vec<String> = patterns.iter().map(|p| format!("{{matchPattern: \"{p}\"}}")).collect();
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p}}\nspec: {{endpointSelector: {{}}, egress: [{{toFQDNs: [{}]}}]}}\n",
            list.join(", ")
        );
        let source = fqdnc::source::Source::new("x", text);
        let mut findings = fqdnc::diagnostic::Findings::default();
        let profile = fqdnc::load_profile(None, &mut findings).unwrap();
        let Some(compiled) = fqdnc::compile(&[source], &profile, "default", &mut findings) else {
            assert!(findings.0.iter().all(|d| d.code != fqdnc::diagnostic::Code::Syntax));
            continue;
        };
        let image = Image::decode(compiled.bytes).unwrap();
        for _ in 0..2_000 {
            let mut labels = Vec::new();
            for _ in 0..1 + roll(5) {
                let mut label = words[roll(words.len())].to_owned();
                match roll(9) {
                    0 => label.push_str(words[roll(8)]),
                    1 => label.push_str("\\000"),
                    _ => {}
                }
                labels.push(label);
            }
            let name = WireName::parse(&labels.join(".")).unwrap();
            let mut want: Vec<String> = patterns.iter().filter(|p| p.matches(&name)).map(Pattern::to_string).collect();
            let mut have: Vec<String> =
                image.selectors_of(&name).into_iter().skip(1).map(|s| image.selector_text(s).to_owned()).collect();
            want.sort();
            want.dedup();
            have.sort();
            assert_eq!(have, want, "{name} among {patterns:?}");
            checked += 1;
        }
    }
    println!("{checked} names");
    assert!(checked >= 100_000);
}

/// All 256 byte values at each place of a label, against each form of pattern.
#[test]
fn every_byte_in_every_place() {
    let patterns = ["abc.test", "*.test", "**.test", "a*c.test", "*bc.test", "ab*.test", "*"].map(|p| Pattern::parse(p).unwrap());
    let mut wrong = 0;
    for byte in 0..=255u8 {
        for place in 0..3 {
            let mut wire = b"\x03abc\x04test\x00".to_vec();
            wire[1 + place] = byte;
            let name = WireName::from_wire(&wire).unwrap();
            let folded = byte.to_ascii_lowercase();
            let same = folded == b"abc"[place];
            let want = [
                same,
                is_plain(folded),
                is_plain(folded),
                place == 1 && is_plain(folded) || same,
                place == 0 && is_plain(folded) || same,
                place == 2 && is_plain(folded) || same,
                is_plain(folded),
            ];
            wrong += patterns.iter().zip(want).filter(|(p, want)| p.matches(&name) != *want).count();
        }
    }
    assert_eq!(wrong, 0);
}

/// What is wrong many times is told some times, in a time that grows with the text, whatever the lines are long.
#[test]
fn many_mistakes_and_long_lines_are_told_in_time() {
    let head =
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n  endpointSelector: {}\n  egress:\n";
    let many = |n: usize, one: &dyn Fn(usize) -> String| (0..n).map(one).collect::<String>();
    let long = "x".repeat(100_000);
    for (what, text) in [
        ("documents that cannot be read", many(20_000, &|_| "---\né: @x\n".into())),
        ("merges in one mapping", format!("{head}  - {{{}toCIDR: []}}\n", many(20_000, &|_| "<<: {}, ".into()))),
        (
            "mappings in one merge",
            format!("{head}  - {{<<: [{}{{}}], toCIDR: []}}\n", many(20_000, &|i| format!("{{a{i}: 1}}, "))),
        ),
        ("unknown keys", format!("{head}  - {{toCIDR: []}}\n{}", many(100_000, &|i| format!("  k{i}: 1\n")))),
        ("characters", format!("{head}  - {{}} # {}\n", "\u{2028}".repeat(50_000))),
        (
            "a mistake behind a long line",
            format!("{head}  - {{toCIDR: [192.0.2.0/24], x{long}: 1, toPorts: [{{ports: [{{port: 443}}]}}]}}\n"),
        ),
        ("wrong types", format!("{head}  - toCIDR: [{}]\n", many(20_000, &|i| format!("{i}, ")))),
    ] {
        let start = std::time::Instant::now();
        let source = Source::new("x", text);
        let mut findings = Findings::default();
        let profile = fqdnc::load_profile(None, &mut findings).unwrap();
        let compiled = fqdnc::compile(&[source], &profile, "default", &mut findings);
        findings.sort();
        assert!(compiled.is_none() && findings.refused(), "{what}");
        let shown: usize = findings.0.iter().take(200).map(|finding| finding.human(false).len()).sum();
        assert!(shown < 4_000_000, "{what}: {shown} bytes");
        assert!(start.elapsed().as_secs() < 20, "{what}: {:?}", start.elapsed());
    }
}
