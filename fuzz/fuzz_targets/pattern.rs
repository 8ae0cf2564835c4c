//! Patterns and names: canonical forms are fixed points, a witness matches, and matching agrees with a matcher that
//! tries everything.
#![no_main]

use fqdn_image::name::is_plain;
use fqdn_image::{Pattern, WireName};
use libfuzzer_sys::fuzz_target;

/// Backtracking over bytes: slow, and with nothing in common with the matcher under test. Steps are counted.
fn glob(glob: &[u8], bytes: &[u8], steps: &mut u32) -> Option<bool> {
    *steps += 1;
    if *steps > 200_000 {
        return None;
    }
    match glob.split_first() {
        None => Some(bytes.is_empty()),
        Some((b'*', rest)) => {
            for skip in 0..=bytes.len() {
                if glob_matches(rest, &bytes[skip..], steps)? {
                    return Some(true);
                }
            }
            Some(false)
        }
        Some((want, rest)) => match bytes.split_first() {
            Some((have, tail)) if have == want => glob_matches(rest, tail, steps),
            _ => Some(false),
        },
    }
}

fn glob_matches(pattern: &[u8], bytes: &[u8], steps: &mut u32) -> Option<bool> {
    glob(pattern, bytes, steps)
}

fn slow(pattern: &str, name: &WireName) -> Option<bool> {
    let labels = name.labels();
    if pattern == "*" {
        return Some(name.is_plain());
    }
    let mut steps = 0;
    let parts: Vec<&str> = pattern.split('.').collect();
    let (deep, parts) = if parts[0] == "**" { (true, &parts[1..]) } else { (false, &parts[..]) };
    let extra = labels.len().checked_sub(parts.len());
    let Some(extra) = extra.filter(|n| (*n > 0) == deep) else { return Some(false) };
    for label in &labels[..extra] {
        if !label[1..].iter().all(|b| is_plain(*b)) {
            return Some(false);
        }
    }
    for (part, label) in parts.iter().zip(&labels[extra..]) {
        let wild = part.contains('*');
        if wild && !label[1..].iter().all(|b| is_plain(*b)) {
            return Some(false);
        }
        if !glob_matches(part.as_bytes(), &label[1..], &mut steps)? {
            return Some(false);
        }
    }
    Some(true)
}

fuzz_target!(|data: (&str, &str, &[u8])| {
    let (pattern, text, wire) = data;
    let names = [WireName::parse(text).ok(), WireName::from_wire(wire).ok()];
    for name in names.iter().flatten() {
        assert_eq!(WireName::from_wire(name.wire()).as_ref(), Ok(name));
        assert_eq!(WireName::parse(&name.to_string()).as_ref(), Ok(name), "{name}");
    }
    let Ok(pattern) = Pattern::parse(pattern) else { return };
    assert_eq!(Pattern::parse(pattern.text()).as_ref(), Ok(&pattern));
    for name in names.iter().flatten() {
        if let Some(want) = slow(pattern.text(), name) {
            assert_eq!(pattern.matches(name), want, "{pattern} {name}");
        }
    }
    if let Some(witness) = pattern.witness() {
        assert!(pattern.matches(&witness), "{pattern} {witness}");
        assert!(pattern.can_match(), "{pattern}");
    }
});
