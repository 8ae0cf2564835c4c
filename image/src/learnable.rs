//! Which addresses may be learned at first sight: most answers need no search among the intervals.

use crate::abi::ImageLearnable;

/// ::ffff:0.0.0.0
const MAPPED: u128 = 0xffff_0000_0000;

/// The bits, of intervals that begin with these addresses and reach to the next, and are of `SELECTOR_NEVER` or not.
pub fn learnable(intervals: impl IntoIterator<Item = (u128, bool)>) -> ImageLearnable {
    let mut found = ImageLearnable { v4: [u64::MAX; 4], v6: [u64::MAX; 4] };
    let mut intervals = intervals.into_iter().peekable();
    while let Some((first, never)) = intervals.next() {
        let last = intervals.peek().map_or(u128::MAX, |(next, _)| next.saturating_sub(1));
        if !never {
            continue;
        }
        clear(&mut found.v6, first >> 120, last >> 120);
        let (first, last) = (first.max(MAPPED), last.min(MAPPED + u128::from(u32::MAX)));
        if first <= last {
            clear(&mut found.v4, first >> 24 & 255, last >> 24 & 255);
        }
    }
    found
}

fn clear(bits: &mut [u64; 4], first: u128, last: u128) {
    for octet in first..=last {
        bits[octet as usize / 64] &= !(1 << (octet % 64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(bits: [u64; 4]) -> Vec<usize> {
        (0..256).filter(|i| bits[i / 64] >> (i % 64) & 1 == 0).collect()
    }

    #[test]
    fn an_octet_is_learnable_if_no_address_that_begins_with_it_is_never() {
        let v4 = |a: u128, b: u128| MAPPED + (a << 24) + (b << 16);
        let found = learnable([
            (0, false),
            (v4(127, 0), true),
            (v4(128, 0), false),
            (v4(169, 254), true),
            (v4(169, 255), false),
            (v4(224, 0), true),
            (MAPPED + (1 << 32), false),
            (0xfe80 << 112, true),
            (0xfec0 << 112, false),
            (0xff << 120, true),
        ]);
        let multicast_and_more: Vec<usize> = [127, 169].into_iter().chain(224..256).collect();
        assert_eq!(octets(found.v4), multicast_and_more);
        assert_eq!(octets(found.v6), [0, 0xfe, 0xff]); // 0: where the IPv4 addresses are mapped to
    }

    #[test]
    fn without_intervals_and_with_one_over_everything() {
        assert_eq!(learnable([]).v4, [u64::MAX; 4]);
        assert_eq!(learnable([(0, true)]), ImageLearnable { v4: [0; 4], v6: [0; 4] });
        assert_eq!(octets(learnable([(0, false), (u128::MAX, true)]).v6), [255]);
    }
}
