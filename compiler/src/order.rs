//! Sorting a million texts: most comparisons look at 16 bytes beside the index, not at the text behind a pointer.

/// Fewer than this are not worth a second thread.
const PARALLEL: u32 = 50_000;

/// The indexes 0 to `count` in order of the bytes that `key` gives for each; equal ones in their own order.
pub fn sorted_indexes<'a>(count: u32, key: impl Fn(u32) -> &'a [u8] + Sync) -> Vec<u32> {
    let sort = |range: std::ops::Range<u32>| {
        let mut keyed: Vec<(u128, u32)> = range.map(|index| (prefix(key(index)), index)).collect();
        keyed.sort_unstable_by(|a, b| compare(&key, a, b));
        keyed
    };
    let half = if count < PARALLEL { 0 } else { count / 2 };
    let (first, second) = std::thread::scope(|scope| {
        let first = (half > 0).then(|| scope.spawn(|| sort(0..half)));
        let second = sort(half..count);
        let first = first.map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).unwrap_or_default();
        (first, second)
    });
    let mut merged = Vec::with_capacity(count as usize);
    let (mut a, mut b) = (first.iter().peekable(), second.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        let from = if compare(&key, x, y).is_le() { &mut a } else { &mut b };
        merged.extend(from.next().map(|(_, index)| *index));
    }
    merged.extend(a.chain(b).map(|(_, index)| *index));
    merged
}

fn compare<'a>(key: &impl Fn(u32) -> &'a [u8], a: &(u128, u32), b: &(u128, u32)) -> std::cmp::Ordering {
    a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))).then(a.1.cmp(&b.1))
}

fn prefix(bytes: &[u8]) -> u128 {
    let mut first = [0u8; 16];
    let length = bytes.len().min(16);
    first[..length].copy_from_slice(&bytes[..length]);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    #[test]
    fn like_any_other_sort() {
        let few = ["b", "", "a", "a\0", "abcdefghijklmnopq", "abcdefghijklmnopa", "ab", "a"].map(str::to_owned).to_vec();
        let many: Vec<String> =
            (0..60_000u32).map(|i| format!("{}-abcdefghijklmnop-{i}", i.wrapping_mul(0x9e37_79b9) % 97)).collect();
        for texts in [few, many] {
            let mut want: Vec<u32> = (0..texts.len() as u32).collect();
            want.sort_by_key(|i| (&texts[*i as usize], *i));
            assert!(super::sorted_indexes(texts.len() as u32, |i| texts[i as usize].as_bytes()) == want);
        }
    }
}
