//! The edge hash. It only picks the bucket: bytes are compared afterwards. `ebpf/lib/walk.h` does the same
//! steps; the kernel tests compare the two over whole images.

use crate::abi::{self, ImageWalk};

/// A label as an edge stores it: length byte, then the bytes, zero-padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelWords {
    /// Bytes 0 to 7.
    pub word0: u64,
    /// Bytes 8 to 15, or the hash of a long label.
    pub word1: u64,
    /// Bytes 16 to 19; 0 for a long label.
    pub word2: u32,
    /// Over `LABEL_INLINE`: the bytes themselves must be compared too.
    pub long: bool,
}

/// Seed and multipliers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Start of every chain.
    pub seed: u64,
    /// Odd multipliers.
    pub k: [u64; 3],
}

impl Keys {
    /// Keys number `attempt` for an image whose content has this digest.
    pub fn derive(content: u64, attempt: u64) -> Self {
        let seed = mix(content ^ mix(attempt));
        let k = [1u64, 2, 3].map(|i| mix(seed ^ mix(i)) | 1);
        Keys { seed, k }
    }

    /// Those of an image.
    pub fn of(walk: &ImageWalk) -> Self {
        Keys { seed: walk.seed, k: walk.k }
    }

    /// Seed of a state that several paths lead to.
    pub fn reseed(&self, state: u32) -> u64 {
        mix(self.seed ^ u64::from(state).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Hash of an edge; also the seed of the state behind it, unless that is reseeded.
    pub fn edge(&self, seed: u64, label: &LabelWords) -> u64 {
        let sum = label.word0.wrapping_mul(self.k[0])
            ^ label.word1.wrapping_mul(self.k[1]).rotate_left(32)
            ^ u64::from(label.word2).wrapping_mul(self.k[2]);
        mix(seed ^ sum)
    }

    /// Words of a label, `label` beginning with its length byte (or with `GLOB_LABEL`).
    pub fn words(&self, label: &[u8]) -> LabelWords {
        let mut room = [0u8; 64];
        let len = label.len().min(64);
        room[..len].copy_from_slice(&label[..len]);
        let word = |i: usize| {
            let mut bytes = [0u8; 8];
            bytes.copy_from_slice(&room[8 * i..8 * i + 8]);
            u64::from_le_bytes(bytes)
        };
        if len <= 1 + abi::LABEL_INLINE as usize {
            let word2 = u32::try_from(word(2) & 0xffff_ffff).unwrap_or(0);
            return LabelWords { word0: word(0), word1: word(1), word2, long: false };
        }
        let mut hash = self.k[2];
        for i in 1..8 {
            hash = mix(hash ^ word(i));
        }
        LabelWords { word0: word(0), word1: hash, word2: 0, long: true }
    }
}

/// The two buckets of a hash, the same twice when there is but one bucket.
pub fn buckets(hash: u64, count: u32) -> [u32; 2] {
    let scale = |half: u64| u32::try_from((half * u64::from(count)) >> 32).unwrap_or(0);
    [scale(hash & 0xffff_ffff), scale(hash >> 32)]
}

/// A 64-bit finaliser (the constants of Stafford's variant 13).
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
