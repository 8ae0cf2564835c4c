//! Workloads under load: fresh names one after the other, floods, and a watch over what must always or never work.

use crate::{client, connect, resolve, stream};
use kernel_tests::packet::query;
use kernel_tests::{RESOLVER, RESOLVER_TWO, wire};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Arguments: how many, threads, number of the first, `tcp` or nothing. Fresh names with fresh addresses, each resolved
/// and connected to at once.
pub fn cycle(arguments: &[String]) {
    let number = |i: usize| arguments.get(i).map_or(0, |a| a.parse::<u64>().unwrap());
    let (total, threads, first) = (number(0), number(1), number(2));
    let over_tcp = arguments.get(3).is_some_and(|a| a == "tcp");
    let failures = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut dns = None;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= total || failures.load(Ordering::Relaxed) > 20 {
                        return;
                    }
                    let n = n + first;
                    let (a, b) = (n >> 8 & 255, n & 255);
                    let name = format!("ip-10-200-{a}-{b}.n{n}.example.test");
                    let mut answer = String::new();
                    let known = if over_tcp {
                        if dns.is_none() {
                            stream::open(RESOLVER, 53, &mut dns);
                        }
                        let message = query(n as u16, &wire(&name), 1);
                        let hex: String =
                            (message.len() as u16).to_be_bytes().iter().chain(&message).map(|b| format!("{b:02x}")).collect();
                        let connection = dns.as_mut().unwrap();
                        let sent = stream::send(connection, &[&hex]);
                        sent == "sent" && stream::read(connection, 1) == format!("{}:0:1", n as u8)
                    } else {
                        answer = patiently(&name, n as u16);
                        answer.contains("records 1")
                    };
                    let to = format!("10.200.{a}.{b}");
                    let said = if known { connect(&to, 80) } else { format!("not resolved: {answer}") };
                    if said != "connected" {
                        eprintln!("{name}: {said}");
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    println!("cycles {total} failures {}", failures.into_inner());
}

/// Again, where a datagram was lost, longer than any flood lasts: what is looked for is an answer that taught nothing.
fn patiently(name: &str, id: u16) -> String {
    (0..20).map(|_| resolve(&client(), name, RESOLVER, id, 1)).find(|said| said != "timeout").unwrap_or_default()
}

/// Asks so many fresh names and waits for no single answer; reads what comes.
pub fn flood(arguments: &[String]) {
    let total: u64 = arguments[0].parse().unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut room = [0; 2048];
    let (mut sent, mut answers) = (0u64, 0u64);
    while sent < total {
        let (a, b) = (sent >> 8 & 255, sent & 255);
        let name = format!("ip-10-201-{a}-{b}.f{sent}.example.test");
        if socket.send_to(&query(sent as u16, &wire(&name), 1), (RESOLVER, 53)).is_ok() {
            sent += 1;
        }
        while socket.recv_from(&mut room).is_ok() {
            answers += 1;
        }
    }
    println!("sent {sent} answers {answers}");
}

/// Floods a name server for so many seconds. Arguments: `names`, `addresses`, `tcp` or `peers`; seconds; a number that no other flood
/// had. `peers` only listens: who sends is `strangers`.
pub fn pour(arguments: &[String]) {
    let (seconds, turn) = (arguments[1].parse::<f64>().unwrap(), &arguments[2]);
    let end = std::time::Instant::now() + Duration::from_secs_f64(seconds);
    let on = || std::time::Instant::now() < end;
    let shape = match arguments[0].as_str() {
        "names" => "a1t60c0o0",
        "addresses" => "a28t60c0o0",
        "tcp" => "a512t60c2o0",
        _ => "",
    };
    let asked = |n: u64| query(n as u16, &wire(&format!("{shape}.p{turn}x{n}.example.test")), 1);
    let mut room = vec![0; 70_000];
    let mut n = 0u64;
    match arguments[0].as_str() {
        "tcp" => {
            let mut dns = None;
            while on() {
                if dns.is_none() && stream::open(RESOLVER, 53, &mut dns) != "open" {
                    continue;
                }
                let messages: Vec<u8> = (n..n + 8).flat_map(|n| crate::server::frame(&asked(n))).collect();
                let hex: String = messages.iter().map(|b| format!("{b:02x}")).collect();
                n += 8;
                if stream::send(dns.as_mut().unwrap(), &[&hex]) != "sent"
                    || stream::read(dns.as_mut().unwrap(), 8).contains("timeout")
                {
                    dns = None;
                }
            }
        }
        "peers" => {
            let socket = UdpSocket::bind("0.0.0.0:5555").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            while on() {
                n += u64::from(socket.recv(&mut room).is_ok());
            }
        }
        _ => {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            while on() {
                n += u64::from(socket.send_to(&asked(n), (RESOLVER, 53)).is_ok());
                while socket.recv(&mut room).is_ok() {}
            }
        }
    }
    println!("{n}");
}

/// Datagrams for so many seconds to port 5555 of an address, each from another port and, in turn, another address of 10.200/16.
pub fn strangers(arguments: &[String]) {
    let end = std::time::Instant::now() + Duration::from_secs_f64(arguments[0].parse().unwrap());
    let mut n = 0u32;
    while std::time::Instant::now() < end {
        let socket = UdpSocket::bind(format!("10.200.{}.{}:0", n >> 8 & 255, n & 255));
        n += u32::from(socket.is_ok_and(|socket| socket.send_to(b"hello", (arguments[1].as_str(), 5555)).is_ok()));
    }
}

/// A workload that uses more than 4,096 addresses within five seconds is refused the next one, whoever is beside it.
const IN_TURN: u64 = 2048;

/// For so many seconds a name is resolved at the second resolver and connected to, with a moment's rest between, IN_TURN names in
/// turn, of which no other turn has any: how often, how often in vain, microseconds at the median and at 99 of 100.
pub fn steady(arguments: &[String]) {
    let (seconds, turn) = (arguments[0].parse::<f64>().unwrap(), arguments[1].parse::<u64>().unwrap());
    let end = std::time::Instant::now() + Duration::from_secs_f64(seconds);
    let (mut times, mut failures) = (Vec::new(), 0);
    while std::time::Instant::now() < end {
        let n = turn * 100_000 + times.len() as u64 % IN_TURN;
        let address = format!("10.200.{}.{}", n >> 8 & 255, n & 255);
        let start = std::time::Instant::now();
        let said = resolve(&client(), &format!("ip-{}.n{n}.example.test", address.replace('.', "-")), RESOLVER_TWO, n as u16, 1);
        let said = if said.contains("records 1") { connect(&address, 80) } else { said };
        times.push(start.elapsed().as_micros());
        if said != "connected" {
            eprintln!("{address}: {said}");
            failures += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    times.sort_unstable();
    println!("{} {failures} {} {}", times.len(), times[times.len() / 2], times[times.len() * 99 / 100]);
}

/// Until told to stop: what must always work, and what must never. Arguments: common, then forbidden addresses.
pub fn watch(addresses: &[String]) {
    let stop = AtomicBool::new(false);
    let (tries, outages, passed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let socket = client();
    for (i, address) in addresses.iter().enumerate() {
        let name = format!("ip-{}.{}.example.test", address.replace('.', "-"), if i == 0 { "common" } else { "secret" });
        let said = resolve(&socket, &name, RESOLVER, 5, 1);
        assert!(said.contains("records 1"), "{said}");
    }
    println!("watching");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0u16;
            while !stop.load(Ordering::Relaxed) {
                tries.fetch_add(1, Ordering::Relaxed);
                turn = turn.wrapping_add(1);
                // The server must keep up: when its queue is full it drops SYNs, which would look like an outage.
                std::thread::sleep(Duration::from_micros(300));
                let said = connect(&addresses[0], 80);
                if said != "connected" {
                    eprintln!("outage: {said}");
                    outages.fetch_add(1, Ordering::Relaxed);
                }
                let name = format!("ip-{}.common.example.test", addresses[0].replace('.', "-"));
                let said = resolve(&socket, &name, RESOLVER, turn, 1);
                if !said.contains("records 1") {
                    eprintln!("outage: {said}");
                    outages.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        scope.spawn(|| {
            let quick = UdpSocket::bind("0.0.0.0:0").unwrap();
            while !stop.load(Ordering::Relaxed) {
                for address in &addresses[1..] {
                    tries.fetch_add(1, Ordering::Relaxed);
                    if quick.send_to(b"x", (address.as_str(), 7777)).is_ok() || connect(address, 80) == "connected" {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    println!("tries {} outages {} passed {}", tries.into_inner(), outages.into_inner(), passed.into_inner());
}

/// For each line `COUNT FIRST SUFFIX` of standard input: so many fresh names one after the other, on a connected socket as
/// glibc, Go, c-ares and dnsperf ask; nanoseconds at the median and at 99 of 100.
pub fn latency() {
    println!("ready");
    let socket = client();
    socket.connect((RESOLVER, 53)).unwrap();
    let mut room = [0; 2048];
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let (count, first): (u64, u64) = (words[0].parse().unwrap(), words[1].parse().unwrap());
        let queries: Vec<Vec<u8>> = (first..first + count)
            .map(|n| query(n as u16, &wire(&format!("ip-10-200-{}-{}.n{n}.{}", n >> 8 & 255, n & 255, words[2])), 1))
            .collect();
        let mut times: Vec<u64> = Vec::with_capacity(queries.len());
        for query in &queries {
            let start = std::time::Instant::now();
            socket.send(query).unwrap();
            socket.recv(&mut room).unwrap();
            times.push(start.elapsed().as_nanos() as u64);
        }
        times.sort_unstable();
        println!("{} {}", times[times.len() / 2], times[times.len() * 99 / 100]);
    }
}

/// Arguments: seconds, first number, names until they begin again. Always 64 questions on their way; answers a second.
pub fn saturate(arguments: &[String]) {
    let seconds: f64 = arguments[0].parse().unwrap();
    let (first, names): (u64, u64) = (arguments[1].parse().unwrap(), arguments[2].parse().unwrap());
    let mut asked = 0u64;
    let socket = client();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    socket.connect((RESOLVER, 53)).unwrap();
    let mut room = [0; 2048];
    let mut ask = || {
        let n = first + asked % names;
        let name = format!("ip-10-200-{}-{}.n{n}.example.test", n >> 8 & 255, n & 255);
        let _ = socket.send(&query(asked as u16, &wire(&name), 1));
        asked += 1;
    };
    let start = std::time::Instant::now();
    let mut answers = 0u64;
    (0..64).for_each(|_| ask());
    while start.elapsed().as_secs_f64() < seconds {
        match socket.recv(&mut room) {
            Ok(_) => {
                answers += 1;
                ask();
            }
            Err(_) => (0..64).for_each(|_| ask()),
        }
    }
    println!("{answers} {:.0}", answers as f64 / start.elapsed().as_secs_f64());
}
