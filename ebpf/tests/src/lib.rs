//! What the kernel tests share: a node with a loaded policy, network namespaces, an agent inside a workload.
//! Nothing here imitates the kernel: programs, sockets and packets are real.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]
#![allow(missing_docs)]

use fqdn_image::abi::{Recent, Record};
use fqdn_image::{Image, WireName};
use fqdn_load::bind::{self, Told};
use fqdn_load::pins::Pins;
use fqdn_load::{programs, status, swap};
use fqdnc::diagnostic::Findings;
use fqdnc::source::Source;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub mod packet;

/// Address of the name server in the server's namespace; a second one answers SERVFAIL to `sf-` names.
pub const RESOLVER: &str = "10.198.0.1";
pub const RESOLVER_TWO: &str = "10.198.0.3";
pub const RESOLVER_V6: &str = "fd98::1";
/// A resolver that is never seen on the wire: only by translation.
pub const SERVICE: &str = "10.96.0.10";
pub const CLIENT: &str = "10.198.0.2";

/// Compiles one policy text.
pub fn compile(text: &str) -> Image {
    compile_with(text, "")
}

/// The same with lines of a profile, for example `ttl: {min: 0s, grace: 0s}`.
pub fn compile_with(text: &str, lines: &str) -> Image {
    let mut findings = Findings::default();
    let source = Source::new("test.yaml", text);
    let profile = format!("apiVersion: fqdn.policy/v1\nkind: Profile\n{lines}\n");
    let profile = Source::new("test.profile.yaml", profile);
    let given = (!lines.is_empty()).then_some(&profile);
    let profile = fqdnc::load_profile(given, &mut findings).unwrap_or_else(|| panic!("{}", errors(&findings)));
    let compiled = fqdnc::compile(&[source], &profile, "default", &mut findings);
    let bytes = compiled.unwrap_or_else(|| panic!("{}", errors(&findings))).bytes;
    Image::decode(bytes).unwrap()
}

pub fn errors(findings: &Findings) -> String {
    let list: Vec<String> =
        findings.0.iter().filter(|d| d.severity() == fqdnc::diagnostic::Severity::Error).map(|d| d.message.clone()).collect();
    list.join("; ")
}

/// A policy for `app=web` that may ask for everything under example.test and reach these names on port 80.
pub fn web_policy(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|n| format!("{{matchPattern: \"{n}\"}}")).collect();
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: web}}\nspec:\n  endpointSelector: {{matchLabels: {{app: web}}}}\n  egress:\n  - toPorts: [{{ports: [{{port: \"53\"}}], rules: {{dns: [{{matchPattern: \"**.example.test\"}}]}}}}]\n  - toFQDNs: [{}]\n    toPorts: [{{ports: [{{port: \"80\"}}, {{port: \"7777\"}}]}}]\n",
        names.join(", ")
    )
}

pub fn sh(script: &str) -> String {
    let out = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(out.status.success(), "`{script}`: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Programs, pins, a cgroup for workloads and, if asked for, two network namespaces with a server in one.
pub struct Node {
    pub pins: Pins,
    pub cgroup: PathBuf,
    name: String,
    servers: Vec<Child>,
}

impl Node {
    pub fn new(name: &str, image: &Image) -> Node {
        let name = format!("fqdn-t-{name}");
        remove(&name);
        let cgroup = fqdn_load::cgroup::mount_point().unwrap().join(&name);
        fs::create_dir_all(&cgroup).unwrap();
        let node = Node { pins: Pins::new(Path::new(&format!("/sys/fs/bpf/{name}"))), cgroup, name, servers: Vec::new() };
        node.apply(image);
        node
    }

    pub fn apply(&self, image: &Image) -> swap::Applied {
        let resolvers = format!("{RESOLVER},{RESOLVER_TWO},{RESOLVER_V6},{SERVICE},127.0.0.53,127.0.0.11");
        swap::apply(&self.pins, image, &resolvers, &self.cgroup).unwrap()
    }

    /// Client and server namespace, joined by a veth pair; the server answers names and accepts connections.
    pub fn with_network(self) -> Node {
        self.with_server("serve").0
    }

    /// The same, and the name server says what its standard input tells it.
    pub fn with_responder(self) -> (Node, Agent) {
        let (mut node, ready) = self.with_server("responder");
        let mut child = node.servers.pop().unwrap();
        let agent = Agent { stdin: child.stdin.take().unwrap(), stdout: ready, child };
        (node, agent)
    }

    /// The same, and another server's words.
    pub fn with_peer(self, what: &str) -> Node {
        self.with_server(what).0
    }

    fn with_server(mut self, what: &str) -> (Node, BufReader<ChildStdout>) {
        let n = &self.name;
        sh(&format!(
            "ip netns add {n}-c; ip netns add {n}-s
             ip link add veth0 netns {n}-c type veth peer name veth0 netns {n}-s
             ip -n {n}-c addr add {CLIENT}/24 dev veth0; ip -n {n}-c addr add fd98::2/64 dev veth0 nodad
             ip -n {n}-c link set lo up; ip -n {n}-c link set veth0 up
             ip -n {n}-c route add default via {RESOLVER}
             ip -n {n}-c -6 route add default via {RESOLVER_V6}
             ip -n {n}-s addr add {RESOLVER}/24 dev veth0; ip -n {n}-s addr add {RESOLVER_TWO}/24 dev veth0
             ip -n {n}-s addr add {RESOLVER_V6}/64 dev veth0 nodad
             ip -n {n}-s link set lo up; ip -n {n}-s link set veth0 up
             ip -n {n}-s route add local 10.200.0.0/16 dev lo; ip -n {n}-s -6 route add local fd20::/16 dev lo"
        ));
        let mut server = Command::new("ip")
            .args(["netns", "exec", &format!("{n}-s"), &probe()])
            .args(what.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut ready = BufReader::new(server.stdout.take().unwrap());
        ready.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        self.servers.push(server);
        (self, ready)
    }

    pub fn netns(&self, side: &str) -> String {
        format!("{}-{side}", self.name)
    }

    /// A cgroup below ours.
    pub fn workload(&self, name: &str) -> PathBuf {
        let path = self.cgroup.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn bind(&self, cgroup: &Path, labels: &str) {
        self.bind_as(cgroup, labels, false);
    }

    pub fn bind_as(&self, cgroup: &Path, labels: &str, audit: bool) {
        let _lock = self.pins.lock().unwrap();
        let told = Told { path: cgroup.to_owned(), namespace: "default".into(), labels: labels.into(), audit, ..Told::default() };
        bind::bind(&self.pins, &told).unwrap();
    }

    pub fn unbind(&self, cgroup: &Path) {
        let _lock = self.pins.lock().unwrap();
        bind::unbind(&self.pins, cgroup).unwrap();
    }

    /// What was learned lately has come to `learned`, where there is room.
    pub fn settled(&self) {
        let recent = self.pins.map("recent").unwrap();
        let taken =
            || recent.keys().unwrap().iter().any(|at| Recent::read(&recent.get(at).unwrap().unwrap()).unwrap().cgroup != 0);
        for _ in 0..200 {
            if !taken() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("a place of `recent` stays taken");
    }

    /// What was learned, and who holds how much of it.
    pub fn forget(&self) {
        for map in ["learned", "names"] {
            let map = self.pins.map(map).unwrap();
            for key in map.keys().unwrap() {
                let _ = map.remove(&key); // what is over the sweep removes at any moment
            }
        }
        let usage = self.pins.map("usage").unwrap();
        for key in usage.keys().unwrap() {
            usage.remove(&key).unwrap();
        }
        let owned = self.pins.map("owned").unwrap();
        for key in owned.keys().unwrap() {
            owned.set(&key, &vec![0; size_of::<fqdn_image::abi::Owned>()]).unwrap();
        }
        self.pins.map("pool").unwrap().set(&0u32.to_le_bytes(), &0u64.to_le_bytes()).unwrap();
    }

    pub fn counter(&self, name: &str) -> u64 {
        status::counters(&self.pins).unwrap()[name].as_u64().unwrap()
    }

    /// An agent in a cgroup and the client's namespace.
    pub fn agent(&self, cgroup: &Path) -> Agent {
        self.start(cgroup, &["agent"])
    }

    pub fn start(&self, cgroup: &Path, arguments: &[&str]) -> Agent {
        self.start_in("c", cgroup, arguments)
    }

    /// In another namespace of this node's: `x` is one that the test makes.
    pub fn start_in(&self, side: &str, cgroup: &Path, arguments: &[&str]) -> Agent {
        self.begin(cgroup, &format!("ip netns exec {} {} {}", self.netns(side), probe(), arguments.join(" ")))
    }

    /// An agent in a cgroup and the host's own namespace.
    pub fn agent_at_home(&self, cgroup: &Path) -> Agent {
        self.begin(cgroup, &format!("{} agent", probe()))
    }

    /// Any program in a cgroup and a namespace of this node's; its input and output are the caller's.
    pub fn run_in(&self, side: &str, cgroup: &Path, command: &str) -> Child {
        spawn_in(cgroup, &format!("ip netns exec {} {command}", self.netns(side)))
    }

    fn begin(&self, cgroup: &Path, command: &str) -> Agent {
        let mut child = spawn_in(cgroup, command);
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Agent { child, stdin, stdout }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        remove(&self.name);
    }
}

/// Removes what a node of this name left, also one of a run that was killed.
fn remove(name: &str) {
    let pins = Pins::new(Path::new(&format!("/sys/fs/bpf/{name}")));
    let _ = programs::unload(&pins);
    let script = format!(
        "for n in {name}-c {name}-s {name}-x {name}-p {name}-n; do ip netns pids $n 2>/dev/null | xargs -r kill -9; ip netns del $n 2>/dev/null; done
         c=$(awk '{{ for (i = 7; i < NF; i++) if ($i == \"-\" && $(i+1) == \"cgroup2\") {{ print $5; exit }} }}' /proc/self/mountinfo)/{name}
         [ -d $c ] || exit 0
         echo 1 > $c/cgroup.kill; for i in 1 2 3 4 5 6 7 8 9 10; do find $c -depth -type d -exec rmdir {{}} + 2>/dev/null; [ -d $c ] || exit 0; sleep 0.1; done"
    );
    let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
}

fn spawn_in(cgroup: &Path, command: &str) -> Child {
    let script = format!("echo 0 > {}/cgroup.procs && exec {command}", cgroup.display());
    Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Within so many milliseconds.
pub fn within(milliseconds: u64, holds: impl Fn() -> bool) -> bool {
    let end = std::time::Instant::now() + std::time::Duration::from_millis(milliseconds);
    while std::time::Instant::now() < end {
        if holds() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    holds()
}

/// Says what a test leaves out: past the test's captured output, where the run counts it.
#[macro_export]
macro_rules! not_run {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "NOT RUN  {}", format_args!($($what)*));
    }};
}

/// False = nft is not here, and that is said.
pub fn has_nft() -> bool {
    let has = Command::new("nft").arg("--version").output().is_ok();
    if !has {
        not_run!("nft is not installed (apt-get install nftables)");
    }
    has
}

pub fn probe() -> String {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("probe").to_string_lossy().into_owned()
}

/// A process inside a workload that does what it is told.
pub struct Agent {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Agent {
    /// One command, one line of answer.
    pub fn tell(&mut self, command: &str) -> String {
        writeln!(self.stdin, "{command}").unwrap();
        self.line()
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Moves the process to another cgroup; its sockets stay of the one that they were made in.
    pub fn moves_to(&self, cgroup: &Path) {
        fs::write(cgroup.join("cgroup.procs"), self.child.id().to_string()).unwrap();
    }

    pub fn resolve(&mut self, name: &str) -> String {
        self.tell(&format!("resolve {name} {RESOLVER}"))
    }

    pub fn connect(&mut self, address: &str, port: u16) -> String {
        self.tell(&format!("connect {address} {port}"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another server that answers names as theirs say, at an address and port of one of this node's namespaces.
pub struct Accomplice(Child);

impl Node {
    pub fn serve_at(&self, side: &str, at: &str) -> Accomplice {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns(side), &probe(), "serve-at", at]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
        Accomplice(child)
    }
}

impl Drop for Accomplice {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn wire(name: &str) -> Vec<u8> {
    WireName::parse(name).unwrap().wire().to_vec()
}

/// A small generator with a fixed start (xorshift64): the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let i = self.roll(items.len());
        &items[i]
    }
}
