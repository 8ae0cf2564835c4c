//! The loader under few rights and on broken hosts: a short error that says what to do, and the policy stays.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use fqdn_image::Image;
use fqdn_load::bpfsys;
use kernel_tests::{Node, compile, web_policy};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn loader() -> String {
    Path::new(&kernel_tests::probe()).with_file_name("fqdn-load").to_string_lossy().into_owned()
}

struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let dir = std::env::temp_dir().join(format!("fqdn-env-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Files(dir)
    }

    fn image(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn says(script: &str, code: i32, words: &str) {
    let out = Command::new("sh").args(["-c", script]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(code), "{script}: {text}");
    assert!(text.contains(words), "{script}: want `{words}` in: {text}");
    assert!(!text.contains("panicked"), "{text}");
}

fn images() -> (Image, Image) {
    (compile(&web_policy(&["a.example.test"])), compile(&web_policy(&["b.example.test"])))
}

/// CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, nothing else, from the first load to the rollback.
#[test]
fn three_capabilities_are_enough() {
    let (one, two) = images();
    let node = Node::new("caps", &one);
    fqdn_load::programs::unload(&node.pins).unwrap();
    let files = Files::new("caps");
    let (first, second) = (files.image("1.img", one.bytes()), files.image("2.img", two.bytes()));
    let set = "-all,+bpf,+net_admin,+perfmon";
    let run = format!("setpriv --bounding-set={set} --inh-caps={set} {} --pins {}", loader(), node.pins.dir().display());
    let attach = format!("--resolvers 10.0.0.53 --attach {}", node.cgroup.display());
    says(&format!("setpriv --bounding-set={set} --inh-caps={set} grep CapEff /proc/self/status"), 0, "000000c000001000");
    says(&format!("{run} apply {first} {attach}"), 0, "active");
    says(&format!("{run} apply {first} {attach}"), 0, "unchanged");
    says(&format!("{run} apply {second} {attach}"), 0, "active");
    says(&format!("{run} bind --cgroup {} --labels app=web", node.workload("w").display()), 0, "bound");
    says(&format!("{run} verify {second}"), 0, &two.digest_hex());
    says(&format!("{run} verify {first}"), 1, "active is");
    says(&format!("{run} status"), 0, "enforcing     yes");
    says(&format!("{run} rollback"), 0, &one.digest_hex());
    says(&format!("{run} verify {first}"), 0, &one.digest_hex());
    says(&format!("{run} unload"), 0, "unloaded");
}

#[test]
fn broken_hosts_and_images() {
    let (one, two) = images();
    let node = Node::new("hosts", &one);
    let files = Files::new("hosts");
    let good = files.image("good.img", two.bytes());
    let run = format!("{} --pins {}", loader(), node.pins.dir().display());
    let attach = format!("--resolvers 10.0.0.53 --attach {}", node.cgroup.display());

    says(&format!("{run} apply /nonexistent.img {attach}"), 2, "failed to read image");
    let mut flipped = two.bytes().to_vec();
    flipped[300] ^= 1;
    says(&format!("{run} apply {} {attach}", files.image("flipped.img", &flipped)), 1, "damaged");
    says(&format!("{run} apply {} {attach}", files.image("cut.img", &two.bytes()[..1000])), 1, "truncated");
    let mut other = two.bytes().to_vec();
    other[16] ^= 1;
    says(&format!("{run} apply {} {attach}", files.image("abi.img", &other)), 1, "compile it anew with the same release");
    says(&format!("{run} apply {good} --resolvers nonsense --attach {}", node.cgroup.display()), 2, "no address or prefix");
    says(&format!("setpriv --reuid 65534 --clear-groups {run} apply {good} {attach}"), 2, "as root");
    says(
        &format!(
            "unshare -m sh -c 'mount --make-rprivate / && mount --bind /sys/fs/bpf /sys/fs/bpf && mount -o remount,bind,ro /sys/fs/bpf && {run} apply {good} {attach}'"
        ),
        2,
        "mount bpffs writable",
    );
    says(
        &format!(
            "unshare -m sh -c 'mount --make-rprivate / && umount -l $(grep -o \"/[^ ]* cgroup2\" /proc/mounts | cut -d\" \" -f1) && {} --pins /sys/fs/bpf/fqdn-none apply {good} --resolvers 10.0.0.53'",
            loader()
        ),
        2,
        "no cgroup2 file system is mounted",
    );
    if Command::new("strace").arg("-V").output().is_ok() {
        says(
            &format!(
                "strace -qq -o /dev/null -f -e trace=bpf -e inject=bpf:error=ENOSYS {} --pins /sys/fs/bpf/fqdn-none apply {good} {attach}; c=$?; rmdir /sys/fs/bpf/fqdn-none/* /sys/fs/bpf/fqdn-none 2>/dev/null; exit $c",
                loader()
            ),
            2,
            "failed to",
        );
    } else {
        kernel_tests::not_run!("a kernel without BPF: strace is not installed");
    }
    says(&format!("{} --pins /sys/fs/bpf/fqdn-none status", loader()), 1, "nothing is loaded");
    says(&format!("{run} bind --cgroup /tmp"), 2, "no cgroup2 folder");

    says(&format!("{run} verify"), 0, &one.digest_hex());
}

#[test]
fn run_is_like_env() {
    let (one, _) = images();
    let node = Node::new("run", &one);
    let run = format!("{} --pins {} run --labels app=web --", loader(), node.pins.dir().display());
    says(&format!("{run} sh -c 'exit 7'"), 7, "");
    says(&format!("{run} /nonexistent"), 127, "failed to run");
    says(&format!("{run} /etc/passwd"), 126, "failed to run");
    says(&format!("{run} sh -c 'kill -TERM $$'"), 143, "");
    says(&format!("{} --pins /sys/fs/bpf/fqdn-none run -- true", loader()), 125, "nothing is loaded");
    let kept = run.replace(" run ", " run --keep-caps ");
    says(&format!("{kept} grep fqdn-run /proc/self/cgroup"), 0, "fqdn-run-");
    // Rows 23 and 24: nothing that leads round the policy.
    says(&format!("{run} grep -x '0::/' /proc/self/cgroup"), 0, "0::/");
    says(&format!("{run} grep -E 'NoNewPrivs:.*1' /proc/self/status"), 0, "1");
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        let line = Command::new("sh").args(["-c", &format!("{run} grep {set} /proc/self/status")]).output().unwrap();
        let text = String::from_utf8_lossy(&line.stdout).into_owned();
        let caps = u64::from_str_radix(text.split_whitespace().nth(1).unwrap(), 16).unwrap();
        for capability in [12, 13, 21, 38, 39] {
            assert_eq!(caps >> capability & 1, 0, "{set}: {text}");
        }
    }
    says("mkdir -p /run/nscd && : > /run/nscd/socket", 0, "");
    says(&format!("{run} sh -c 'test -c /run/nscd/socket && echo masked'"), 0, "masked");
    says("rm /run/nscd/socket; rmdir /run/nscd", 0, "");
    assert!(kernel_tests::within(5000, || fqdn_load::bind::workloads(&node.pins).unwrap().is_empty()));
    let left = std::fs::read_dir(&node.cgroup).unwrap().flatten().filter(|e| e.path().is_dir()).count();
    assert_eq!(left, 0, "the cgroup is removed");
}

/// The command lines of processes that run our loader on these pins: another user's loader is not this test's business.
fn ours(node: &Node) -> Vec<String> {
    let program = std::fs::canonicalize(loader()).unwrap();
    let pins = node.pins.dir().display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let lines = processes.filter(|process| std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program));
    let lines =
        lines.map(|process| String::from_utf8_lossy(&std::fs::read(process.join("cmdline")).unwrap_or_default()).into_owned());
    lines.filter(|line| line.contains(&pins)).collect()
}

/// L1, L2 and L22 of the loader: no folder is removed that is not ours, nothing is mounted over anybody's, and nothing is loaded
/// where it would go with a mount namespace.
#[test]
fn only_our_own_folder_is_made_and_removed() {
    let (one, _) = images();
    let node = Node::new("folder", &one);
    let files = Files::new("folder");
    let image = files.image("1.img", one.bytes());
    let attach = format!("--resolvers 10.0.0.53 --attach {}", node.cgroup.display());
    let load = |pins: &str| format!("{} --pins {pins}", loader());
    // A folder with data, on no bpf file system.
    let data = files.0.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("precious"), "x").unwrap();
    says(&format!("{} unload", load(&data.display().to_string())), 1, "on no bpf file system");
    says(&format!("{} apply {image} {attach}", load(&data.join("x").display().to_string())), 1, "mount -t bpf bpf");
    assert!(data.join("precious").exists() && !data.join("x").exists());
    // Pins of another product: its map beside nothing of ours, and beside all of ours.
    let other = format!("{}-other", node.pins.dir().display());
    std::fs::create_dir(&other).unwrap();
    let map = bpfsys::map_create(bpfsys::MAP_TYPE_ARRAY, 4, 8, 1, 0, "theirs").unwrap();
    bpfsys::obj_pin(map.as_fd(), Path::new(&format!("{other}/pinned"))).unwrap();
    says(&format!("{} unload", load(&other)), 1, "what fqdn-load did not make: pinned");
    says(&format!("{} apply {image} {attach}", load(&other)), 1, "what fqdn-load did not make: pinned");
    assert!(Path::new(&other).join("pinned").exists());
    std::fs::remove_file(format!("{other}/pinned")).unwrap();
    bpfsys::obj_pin(map.as_fd(), Path::new(&format!("{other}/theirs"))).unwrap();
    says(&format!("{} unload", load(&other)), 1, "was not made by fqdn-load");
    std::fs::remove_file(format!("{other}/theirs")).unwrap();
    says(&format!("{} unload", load(&other)), 0, "unloaded");
    assert!(!Path::new(&other).exists(), "an empty folder is what a kill may leave");
    let ours = node.pins.dir().display().to_string();
    for place in ["pinned", "links/pinned", "images/pinned"] {
        bpfsys::obj_pin(map.as_fd(), &node.pins.path(place)).unwrap();
        says(&format!("{} unload", load(&ours)), 1, place);
        says(&format!("{} status", load(&ours)), 0, "enforcing     yes");
        std::fs::remove_file(node.pins.path(place)).unwrap();
    }
    // A bpf file system that goes with its mount namespace.
    let private = format!("unshare -m sh -c 'mount -t bpf bpf /mnt && {} apply {image} {attach}'", load("/mnt/fqdn"));
    says(&private, 1, "of this mount namespace alone");
    // Killed before the last of it: what is left says whose it was.
    std::fs::remove_dir_all(node.pins.path("links")).unwrap();
    std::fs::remove_file(node.pins.path("abi")).unwrap();
    says(&format!("{} unload", load(&ours)), 0, "unloaded");
    assert!(!node.pins.dir().exists());
}

/// L13: an image is a file that nobody else can change, read once.
#[test]
fn an_image_is_a_file_of_its_owner() {
    let (one, _) = images();
    let node = Node::new("file", &one);
    let files = Files::new("file");
    let image = files.image("1.img", one.bytes());
    let apply = |path: &str| {
        format!(
            "timeout 20 {} --pins {} apply {path} --resolvers 10.0.0.53 --attach {}",
            loader(),
            node.pins.dir().display(),
            node.cgroup.display()
        )
    };
    let beside = |name: &str| files.0.join(name).display().to_string();
    says(&format!("mkfifo {0} && {1}", beside("fifo"), apply(&beside("fifo"))), 1, "no regular file");
    for device in ["/dev/zero", "/dev/urandom", "/dev/null"] {
        says(&apply(device), 1, "no regular file");
    }
    says(&apply(&files.0.display().to_string()), 1, "no regular file");
    says(&format!("cp {image} {0} && chmod 666 {0} && {1}", beside("open"), apply(&beside("open"))), 1, "anybody may write it");
    says(
        &format!("cp {image} {0} && chown 1234 {0} && {1}", beside("theirs"), apply(&beside("theirs"))),
        1,
        "belongs to the user 1234",
    );
    says(&format!("SUDO_UID=1234 {}", apply(&beside("theirs"))), 0, "attached to");
    says(&format!("truncate -s 2G {0} && {1}", beside("long"), apply(&beside("long"))), 1, "longer than");
    // As a ConfigMap is mounted: a link to a link.
    says(&format!("ln -s {image} {0} && ln -s {0} {1} && {2}", beside("a"), beside("b"), apply(&beside("b"))), 0, "unchanged");
    says(&format!("{} --pins {} status", loader(), node.pins.dir().display()), 0, "enforcing     yes");
}

/// I6: the loader is a command; what it leaves enforces without it, and no process of ours is anywhere.
#[test]
fn i6_nothing_runs() {
    let (one, _) = images();
    let node = Node::new("nobody", &one).with_network();
    let workload = node.workload("w");
    node.bind(&workload, "app=web");
    let mut agent = node.agent(&workload);
    assert_eq!(ours(&node), Vec::<String>::new());
    assert_eq!(agent.connect("10.200.1.1", 80), "EPERM");
    assert!(agent.resolve("a.example.test").starts_with("answer"));
    // A loader that stays is seen: this one waits for its command to end.
    let pins = node.pins.dir().display().to_string();
    let mut stays = Command::new(loader());
    let mut stays =
        stays.args(["--pins", &pins, "run", "--labels", "app=web", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    assert!(kernel_tests::within(2000, || ours(&node).len() == 1));
    drop(stays.stdin.take());
    assert!(stays.wait().unwrap().success());
}
