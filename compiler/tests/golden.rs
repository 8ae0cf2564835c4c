//! Golden files: a folder is a case. `BLESS=1` rewrites what a tool wrote (never verdicts), and the run still
//! fails if anything changed.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::Image;
use fqdn_image::dump;
use fqdnc::diagnostic::{Code, Severity};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn cases(kind: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(root().join(kind)).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

fn fqdnc(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fqdnc")).current_dir(dir).args(arguments).output().unwrap()
}

/// Compares with the file, or with its absence if the text is empty.
fn compare(path: &Path, have: &str, stale: &mut Vec<String>) {
    let want = fs::read_to_string(path).unwrap_or_default();
    if want == have {
        return;
    }
    stale.push(format!("{}\n--- want\n{want}--- have\n{have}", path.display()));
    if std::env::var_os("BLESS").is_some() {
        if have.is_empty() { fs::remove_file(path).unwrap() } else { fs::write(path, have).unwrap() }
    }
}

fn finish(stale: &[String], cases: usize, least: usize) {
    assert!(stale.is_empty(), "{} files differ (BLESS=1 rewrites them):\n{}", stale.len(), stale.join("\n"));
    assert!(cases >= least, "{cases} cases, at least {least} are wanted");
}

/// A damaged image says where: `damaged/<case>.txt` is a base case of golden/accept, an edit, and what is said.
#[test]
fn damaged_images_say_where() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut stale = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("golden/damaged")).unwrap().flatten().map(|e| e.path()).collect();
    files.sort();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let mut lines = text.lines();
        let (base, edit) = (lines.next().unwrap(), lines.next().unwrap());
        let image = target.join("damaged.img");
        assert!(compile(&root().join("golden/accept").join(base), &image).status.success(), "{base}");
        let mut bytes = fs::read(&image).unwrap();
        let words: Vec<&str> = edit.split(' ').collect();
        let number = |text: &str| usize::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        match words.as_slice() {
            ["truncate", length] => bytes.truncate(number(length)),
            ["set", at, value] => bytes[number(at)] = number(value) as u8,
            ["seal", at, value] => {
                bytes[number(at)] = number(value) as u8;
                let generation = fqdn_image::encode::generation(&fqdn_image::encode::digest(&bytes));
                bytes[8..16].copy_from_slice(&generation.to_le_bytes());
            }
            ["append", count] => bytes.resize(bytes.len() + number(count), 0),
            _ => panic!("{}: no edit: {edit}", file.display()),
        }
        fs::write(&image, bytes).unwrap();
        let run = fqdnc(target, &["inspect", "damaged.img"]);
        assert_eq!(run.status.code(), Some(1), "{}", file.display());
        compare(file, &format!("{base}\n{edit}\n{}", String::from_utf8(run.stderr).unwrap()), &mut stale);
    }
    finish(&stale, files.len(), 12);
}

/// Images of released formats: read as they were, or refused by their version. BLESS never touches them.
#[test]
fn images_of_other_versions_are_told_apart() {
    let mut seen = 0;
    for version in cases("golden/compat") {
        for image in
            fs::read_dir(&version).unwrap().flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "img"))
        {
            seen += 1;
            let run = fqdnc(&version, &["dump", image.to_str().unwrap()]);
            let want = fs::read_to_string(image.with_extension("txt")).unwrap();
            let have = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
            let have: Vec<&str> = have.lines().map(|line| line.split("`: ").last().unwrap_or(line)).collect();
            let (first, wanted) = (have.first().copied().unwrap_or(""), want.lines().next().unwrap_or(""));
            assert!(first.starts_with(wanted), "{}: {first}", image.display());
        }
    }
    assert!(seen >= 1);
}

fn compile(dir: &Path, image: &Path) -> Output {
    let mut arguments = vec!["compile", ".", "-o", image.to_str().unwrap()];
    if dir.join("cluster.profile.yaml").exists() {
        arguments.extend(["--profile", "cluster.profile.yaml"]);
    }
    fqdnc(dir, &arguments)
}

#[test]
fn accepted_policies_give_these_images() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut stale = Vec::new();
    let mut all = cases("golden/accept");
    let accepted = all.len();
    all.extend(cases("policies"));
    for dir in &all {
        let image = target.join("accept.img");
        let run = compile(dir, &image);
        assert!(run.status.success(), "{}: {}", dir.display(), String::from_utf8_lossy(&run.stderr));
        let image = Image::decode(fs::read(&image).unwrap()).unwrap();
        compare(&dir.join("image.txt"), &dump::dump(&image).unwrap(), &mut stale);
        compare(&dir.join("image.sha256"), &format!("{} {}\n", image.digest_hex(), image.bytes().len()), &mut stale);
        compare(&dir.join("diagnostics.txt"), &String::from_utf8(run.stderr).unwrap(), &mut stale);
    }
    finish(&stale, accepted, 40);
}

#[test]
fn rejected_policies_say_why() {
    let mut stale = Vec::new();
    let all = cases("golden/reject");
    for dir in &all {
        let mut arguments = vec!["check", "policy.yaml", "--deny", "warnings"];
        if dir.join("cluster.profile.yaml").exists() {
            arguments.extend(["--profile", "cluster.profile.yaml"]);
        }
        let run = fqdnc(dir, &arguments);
        assert_eq!(run.status.code(), Some(1), "{}: {}", dir.display(), String::from_utf8_lossy(&run.stderr));
        let text = String::from_utf8(run.stdout).unwrap();
        let name = dir.file_name().unwrap().to_str().unwrap();
        let code = code_of(name).unwrap_or_else(|| panic!("{name} begins with no code"));
        assert!(text.contains(&format!("[{}]", code.text())), "{name}: {text}");
        compare(&dir.join("diagnostics.txt"), &text, &mut stale);
    }
    finish(&stale, all.len(), 60);
}

/// The longest code that a name begins with.
fn code_of(name: &str) -> Option<Code> {
    Code::ALL.iter().copied().filter(|code| name.starts_with(code.text())).max_by_key(|code| code.text().len())
}

/// Codes that no small file can show; `hostile.rs` shows them.
const ELSEWHERE: &[Code] = &[Code::TooLarge];

#[test]
fn every_code_has_a_case() {
    let shown: Vec<String> = ["golden/accept", "golden/reject"]
        .iter()
        .flat_map(|kind| cases(kind))
        .filter_map(|dir| fs::read_to_string(dir.join("diagnostics.txt")).ok())
        .collect();
    let names: Vec<Code> = cases("golden/reject").iter().filter_map(|dir| code_of(dir.file_name()?.to_str()?)).collect();
    for code in Code::ALL.iter().filter(|code| !ELSEWHERE.contains(code)) {
        let there = match code.severity() {
            Severity::Notice => shown.iter().any(|text| text.contains(&format!("notice[{}]", code.text()))),
            _ => names.contains(code),
        };
        assert!(there, "no case shows `{}`", code.text());
        assert!(code.explanation().len() > 20, "`{}` has no page", code.text());
    }
}

#[test]
fn tiny_images_byte_by_byte() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut stale = Vec::new();
    let all = cases("golden/format");
    for dir in &all {
        let path = target.join("format.img");
        assert!(compile(dir, &path).status.success());
        let image = Image::decode(fs::read(&path).unwrap()).unwrap();
        let mut text = String::new();
        for (i, line) in image.bytes().chunks(16).enumerate() {
            let section =
                image.sections().iter().filter(|(_, first, n, _)| *n > 0 && *first as usize * 64 == i * 16).map(|s| s.0).next();
            let head = if i % 4 == 0 && i < 20 {
                ["image_head", "image_walk", "image_rows", "image_texts", "image_learnable"][i / 4]
            } else {
                section.unwrap_or("")
            };
            // The fingerprint changes with every record of the ABI, also of those that are in no image.
            let hex: Vec<String> = line.iter().map(|b| format!("{b:02x}")).collect();
            let hex = if i == 0 {
                format!("{} (generation)", hex[..8].join(" "))
            } else if i == 1 {
                format!("(abi) {}", hex[8..].join(" "))
            } else {
                hex.join(" ")
            };
            text.push_str(format!("{:06x}  {hex}  {head}", i * 16).trim_end());
            text.push('\n');
        }
        compare(&dir.join("image.hex"), &text, &mut stale);
        compare(&dir.join("image.txt"), &dump::dump_all(&image).unwrap(), &mut stale);
    }
    finish(&stale, all.len(), 2);
}

#[test]
fn verdict_tables_hold() {
    let run = fqdnc(&root(), &["test", "golden/accept", "policies"]);
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    assert!(text.ends_with(", 0 wrong\n"), "{text}");
}

/// I4: the image depends on the policies alone, not on order, path or locale.
#[test]
fn i4_same_input_same_bytes() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("i4");
    let _ = fs::remove_dir_all(&target);
    fs::create_dir_all(target.join("deep/er")).unwrap();
    let text = fs::read_to_string(root().join("golden/accept/union/policy.yaml")).unwrap();
    let mut documents: Vec<&str> = text.split("---\n").collect();
    let mut images = Vec::new();
    for turn in 0..3 {
        documents.rotate_left(1);
        let dir = if turn == 1 { target.join("deep/er") } else { target.join("deep") };
        for (i, document) in documents.iter().enumerate() {
            fs::write(dir.join(format!("{}.yaml", (b'a' + i as u8) as char)), document).unwrap();
        }
        let out = target.join("x.img");
        let locale = if turn == 2 { "tr_TR.UTF-8" } else { "C" };
        let run = Command::new(env!("CARGO_BIN_EXE_fqdnc"))
            .current_dir(&dir)
            .env("LC_ALL", locale)
            .args(["compile", "a.yaml", "b.yaml", "c.yaml", "-o"])
            .arg(&out)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        images.push(fs::read(&out).unwrap());
    }
    assert!(images[0] == images[1] && images[1] == images[2]);
}

/// I9: a changed rule line changes as many lines of the dump as it has selectors, also beneath a wildcard.
#[test]
fn i9_a_changed_line_changes_few_lines() {
    let dump = |third: &str| -> Vec<String> {
        let names: Vec<String> = (0..300)
            .map(|i| format!("{{matchName: n{i}.example.com}}"))
            .chain([format!("{{matchPattern: \"{third}\"}}")])
            .collect();
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p}}\nspec: {{endpointSelector: {{}}, egress: [{{toFQDNs: [{}]}}]}}\n",
            names.join(", ")
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("i9.yaml");
        fs::write(&path, text).unwrap();
        let image = path.with_extension("img");
        let run = fqdnc(&root(), &["compile", path.to_str().unwrap(), "-o", image.to_str().unwrap()]);
        assert!(run.status.success());
        let run = fqdnc(&root(), &["dump", image.to_str().unwrap()]);
        String::from_utf8(run.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let (before, after) = (dump("www.other.com"), dump("*.com"));
    let gone = before.iter().filter(|l| !after.contains(l)).count();
    let new = after.iter().filter(|l| !before.contains(l)).count();
    assert!(gone <= 1 && new <= 1, "{gone} lines gone, {new} new");
}

/// I4 again: as many threads as there are, or one; enough names that the sorting is shared out.
#[test]
fn i4_any_number_of_threads() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("i4-threads");
    let _ = fs::remove_dir_all(&target);
    fs::create_dir_all(&target).unwrap();
    for file in 0..3 {
        let names: String = (0..20_000u32)
            .map(|i| format!("    - matchName: h{}.o{file}.example\n", i.wrapping_mul(0x9e37_79b9) % 90_000))
            .collect();
        let text = format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p{file}}}\nspec:\n  endpointSelector: {{}}\n  egress:\n  - toFQDNs:\n{names}"
        );
        fs::write(target.join(format!("{file}.yaml")), text).unwrap();
    }
    let build = |program: &str, arguments: &[&str], image: &str| {
        let run =
            Command::new(program).current_dir(&target).args(arguments).args(["compile", ".", "-o", image]).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        fs::read(target.join(image)).unwrap()
    };
    let binary = env!("CARGO_BIN_EXE_fqdnc");
    assert!(build(binary, &[], "many.img") == build("taskset", &["-c", "0", binary], "one.img"));
}
