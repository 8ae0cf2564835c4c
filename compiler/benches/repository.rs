//! A policy repository of any size: what the benches of compiler and kernel measure.

#![allow(dead_code, unreachable_pub, clippy::expect_used, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Whether each bench is only to run for a moment, as CI has it: a hundredth of the size, and no bound for that.
pub fn moment() -> bool {
    std::env::var_os("BENCH_MOMENT").is_some()
}

/// A small generator of numbers (xorshift), the same on every run.
pub struct Dice(pub u64);

impl Dice {
    /// Below `n`.
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// 70 % exact names, 25 % `*.suffix`, 5 % with a wildcard inside a label or a name (at most seven such labels below one
/// suffix); about twenty patterns an organisation.
pub fn patterns(n: usize) -> Vec<String> {
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let tlds = ["com", "net", "org", "io", "dev", "cloud"];
    (0..n as u64)
        .map(|i| {
            let org = dice.roll(n as u64 / 20 + 1);
            let tld = tlds[(org % 6) as usize];
            match i % 40 {
                0..28 => format!("host{i}.org{org}.{tld}"),
                28..38 => format!("*.zone{i}.org{org}.{tld}"),
                38 => format!("api-*.region{i}.org{org}.{tld}"),
                _ => format!("bucket{i}.*.store.org{org}.{tld}"),
            }
        })
        .collect()
}

/// The patterns as policies of `each` names, in files of at most a thousand policies: texts.
pub fn texts(patterns: &[String], each: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    for (i, chunk) in patterns.chunks(each).enumerate() {
        if i > 0 && i % 1000 == 0 {
            texts.push(String::new());
        }
        let text = texts.last_mut().expect("one at least");
        let _ = write!(
            text,
            "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: policy-{i}\n  namespace: team-{}\nspec:\n  endpointSelector:\n    matchLabels:\n      app: app-{i}\n  egress:\n  - toFQDNs:\n",
            i % 50
        );
        for pattern in chunk {
            let _ = writeln!(text, "    - matchPattern: \"{pattern}\"");
        }
        text.push_str("    toPorts:\n    - ports:\n      - port: \"443\"\n        protocol: TCP\n");
    }
    texts
}

/// Writes texts into a folder of their own.
pub fn write(texts: &[String], folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("a folder");
    for (i, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("part-{i:05}.yaml")), text).expect("a file");
    }
}
