//! Resolvers times clients: whatever resolves and connects without a policy does so when its name is listed. Prints a line for each
//! pair, and exits with 1 where one differs. What is not installed is said, and not counted. Arguments: how many names a pair; the
//! one resolver and the one client to run.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs)]

use kernel_tests::{Dice, Node, RESOLVER, RESOLVER_TWO, RESOLVER_V6, compile, sh, web_policy};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the zone's own server listens; resolvers ask it.
const ZONE: &str = "10.198.0.1:5300";

/// A resolver under test: its configuration file, and its command.
struct Resolver {
    name: &'static str,
    program: &'static str,
    config: String,
    command: fn(&Path) -> String,
}

fn resolvers(dir: &Path) -> Vec<Resolver> {
    let dir = dir.display();
    vec![
        Resolver {
            name: "unbound",
            program: "unbound",
            config: format!(
                "server:\n interface: {RESOLVER}\n interface: {RESOLVER_V6}\n access-control: 0.0.0.0/0 allow\n access-control: ::/0 allow\n username: \"\"\n chroot: \"\"\n directory: {dir}\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n verbosity: 0\n module-config: iterator\n do-not-query-localhost: no\n cache-min-ttl: 0\n local-zone: \"test.\" nodefault\n do-daemonize: no\nforward-zone:\n name: .\n forward-addr: 10.198.0.1@5300\n"
            ),
            command: |config| format!("unbound -d -c {}", config.display()),
        },
        Resolver {
            name: "dnsmasq",
            program: "dnsmasq",
            config: format!(
                "no-resolv\nno-hosts\nport=53\nlisten-address={RESOLVER},{RESOLVER_V6}\nbind-interfaces\nserver=10.198.0.1#5300\ncache-size=1000\nkeep-in-foreground\nuser=root\n"
            ),
            command: |config| format!("dnsmasq -C {}", config.display()),
        },
        Resolver {
            name: "knot",
            program: "kresd",
            config: format!(
                "net.listen('{RESOLVER}', 53, {{ kind = 'dns' }})\nnet.listen('{RESOLVER_V6}', 53, {{ kind = 'dns' }})\ntrust_anchors.remove('.')\npolicy.add(policy.all(policy.STUB('10.198.0.1@5300')))\ncache.open(20 * MB, 'lmdb://{dir}')\n"
            ),
            command: |config| format!("kresd -n -c {} {}", config.display(), config.parent().unwrap().display()),
        },
        Resolver { name: "the zone itself", program: "true", config: String::new(), command: |_| "true".into() },
    ]
}

/// Clients by name, what they are built by, and the command that runs them.
fn clients(dir: &Path) -> Vec<(&'static str, Option<String>)> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let (s, d) = (sources.display(), dir.display());
    let built = |script: String, command: String| {
        let out = Command::new("sh").args(["-ec", &script]).output().unwrap();
        out.status.success().then_some(command)
    };
    vec![
        ("glibc", built(format!("gcc -O2 -o {d}/glibc {s}/resolve.c"), format!("{d}/glibc"))),
        ("musl", built(format!("musl-gcc -static -O2 -o {d}/musl {s}/resolve.c"), format!("{d}/musl"))),
        ("go", built(format!("CGO_ENABLED=0 GOCACHE={d}/go-cache go build -o {d}/go {s}/client.go"), format!("{d}/go"))),
        ("node, lookup", built("node --version".into(), format!("node {s}/client.js lookup"))),
        ("node, c-ares", built("node --version".into(), format!("node {s}/client.js resolve"))),
        ("java", built(format!("javac -d {d} {s}/Client.java"), format!("java -cp {d} Client"))),
        ("python", built("/usr/bin/python3 --version".into(), format!("/usr/bin/python3 {s}/client.py"))),
    ]
}

/// What names are asked: kinds, numbers of addresses, times, CNAMEs and their order, by dice that fall alike in every run.
fn shapes(count: usize) -> Vec<String> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    (0..count)
        .map(|_| {
            let family = *dice.pick(&["a", "a", "q", "b", "b"]);
            let addresses = *dice.pick(&[1, 1, 1, 2, 3, 8, 20, 40, 200, 512]);
            let ttl = *dice.pick(&[0, 0, 1, 2, 5, 30, 300, 86_400]);
            let (links, order) = (*dice.pick(&[0, 0, 0, 1, 1, 2, 3, 8, 12]), dice.roll(3));
            format!("{family}{addresses}t{ttl}c{links}o{order}")
        })
        .collect()
}

/// The lines that a client says of these names, in a cgroup.
fn says(node: &Node, cgroup: &Path, command: &str, names: &[String]) -> Vec<String> {
    let mut child = node.run_in("c", cgroup, command);
    let mut stdin = child.stdin.take().unwrap();
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    let _ = writer.join();
    let _ = child.wait();
    lines
}

/// nginx in a cgroup, and the status of a request for each name through it.
fn through_nginx(node: &Node, cgroup: &Path, dir: &Path, server: &str, names: &[String]) -> Vec<String> {
    let config = dir.join("nginx.conf");
    let d = dir.display();
    let at = if server.contains(':') { format!("[{server}]") } else { server.to_owned() };
    fs::write(&config, format!(
        "daemon off; master_process off; pid {d}/nginx.pid; error_log /dev/null;\nevents {{}}\nhttp {{ access_log off; resolver {at}; proxy_connect_timeout 2s; proxy_next_upstream off;\n client_body_temp_path {d}/n1; proxy_temp_path {d}/n2; fastcgi_temp_path {d}/n3; uwsgi_temp_path {d}/n4; scgi_temp_path {d}/n5;\n server {{ listen 127.0.0.1:8081; location / {{ proxy_pass http://$arg_n:80/; }} }} }}\n"
    )).unwrap();
    let mut nginx = node.run_in("c", cgroup, &format!("nginx -c {}", config.display()));
    std::thread::sleep(Duration::from_millis(500));
    let urls: String =
        names.iter().map(|name| format!("url = \"http://127.0.0.1:8081/?n={name}\"\noutput = \"{d}/body\"\n")).collect();
    fs::write(dir.join("urls"), urls).unwrap();
    let curl = format!("ip netns exec {} curl -s -w '%{{http_code}}\\n' -K {d}/urls || true", node.netns("c"));
    let said = sh(&curl);
    let _ = nginx.kill();
    let _ = nginx.wait();
    said.lines().map(str::to_owned).collect()
}

fn start(node: &Node, resolver: &Resolver, dir: &Path) -> Option<Child> {
    let config = dir.join("resolver.conf");
    fs::write(&config, &resolver.config).unwrap();
    let command = format!("exec ip netns exec {} {}", node.netns("s"), (resolver.command)(&config));
    let child =
        Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    std::thread::sleep(Duration::from_millis(1500));
    child.ok()
}

fn main() -> std::process::ExitCode {
    let told: Vec<String> = std::env::args().skip(1).collect();
    let count: usize = told.first().map_or(120, |n| n.parse().unwrap());
    let is_told = |at: usize, name: &str| told.get(at).is_none_or(|told| name.starts_with(told.as_str()));
    let dir = std::env::temp_dir().join(format!("fqdn-matrix-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let zone = format!("zone {ZONE} {RESOLVER_TWO}:53");
    let node = Node::new("matrix", &compile(&web_policy(&["**.example.test"]))).with_peer(&zone);
    let (bound, free): (PathBuf, PathBuf) = (node.workload("bound"), node.workload("free"));
    node.bind(&bound, "app=web");
    let etc = PathBuf::from(format!("/etc/netns/{}", node.netns("c")));
    fs::create_dir_all(&etc).unwrap();
    let clients = clients(&dir);
    let (shapes, mut serial, mut pairs, mut differ) = (shapes(count), 0, 0, 0);
    for resolver in resolvers(&dir).into_iter().filter(|resolver| is_told(1, resolver.name)) {
        if Command::new("sh")
            .args(["-c", &format!("command -v {} >/dev/null", resolver.program)])
            .status()
            .is_ok_and(|s| !s.success())
        {
            println!("NOT RUN  {}: {} is not installed", resolver.name, resolver.program);
            continue;
        }
        let mut running = start(&node, &resolver, &dir);
        let direct = resolver.program == "true";
        for server in if direct { vec![RESOLVER_TWO] } else { vec![RESOLVER, RESOLVER_V6] } {
            fs::write(etc.join("resolv.conf"), format!("nameserver {server}\n")).unwrap();
            for (client, command) in
                clients.iter().cloned().chain([("nginx", Some(String::new()))]).filter(|client| is_told(2, client.0))
            {
                let Some(command) = command else {
                    println!("NOT RUN  {client}: it cannot be built or run here");
                    continue;
                };
                let mut said = Vec::new();
                for cgroup in [&free, &bound] {
                    serial += 1;
                    let names: Vec<String> =
                        shapes.iter().enumerate().map(|(i, s)| format!("{s}.n{serial}x{i}.example.test")).collect();
                    said.push(match client {
                        "nginx" => through_nginx(&node, cgroup, &dir, server, &names),
                        _ => says(&node, cgroup, &command, &names),
                    });
                }
                let good = |line: &String| line == "0 0" || line == "200";
                let both = said[0].len().min(said[1].len());
                let worse: Vec<usize> = (0..both).filter(|i| good(&said[0][*i]) && !good(&said[1][*i])).collect();
                let (fine, lost) = (said[0].iter().filter(|line| good(line)).count(), said[0].len() - both);
                println!(
                    "{:16} {server:12} {client:14} {both} pairs, {fine} connect without a policy, {} of them not with it",
                    resolver.name,
                    worse.len() + lost
                );
                for i in worse.iter().take(5) {
                    println!("    {}: {} without, {} with", shapes[*i], said[0][*i], said[1][*i]);
                }
                pairs += both;
                differ += worse.len() + lost;
            }
        }
        if let Some(child) = &mut running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    let _ = fs::remove_dir_all(&etc);
    let _ = fs::remove_dir_all(&dir);
    let counters = fqdn_load::status::counters(&node.pins).unwrap();
    let counted: Vec<String> =
        counters.iter().filter(|(_, n)| n.as_u64() != Some(0)).map(|(name, n)| format!("{name} {n}")).collect();
    println!("{}", counted.join(", "));
    println!("{pairs} pairs, {differ} differences");
    std::process::ExitCode::from(u8::from(differ > 0))
}
