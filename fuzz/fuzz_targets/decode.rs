//! Any bytes as an image, the header's fixed fields and the digest made to fit: refused, or safe to walk.
#![no_main]

use fqdn_image::labels::Labels;
use fqdn_image::{Image, compare, WireName, abi, dump, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Image::decode(data.to_vec());
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().next_multiple_of(abi::BLOCK as usize).max(4 * abi::BLOCK as usize), 0);
    bytes[..8].copy_from_slice(&abi::MAGIC.to_le_bytes());
    bytes[16..24].copy_from_slice(&abi::fingerprint().to_le_bytes());
    bytes[24..28].copy_from_slice(&abi::VERSION.to_le_bytes());
    let blocks = (bytes.len() / abi::BLOCK as usize) as u32;
    bytes[28..32].copy_from_slice(&blocks.to_le_bytes());
    let generation = encode::generation(&encode::digest(&bytes));
    bytes[8..16].copy_from_slice(&generation.to_le_bytes());
    let Ok(image) = Image::decode(bytes) else { return };
    let subjects = image.subjects_of(&Labels::parse("app=web", "shop").expect("labels"));
    for name in ["www.example.com", "a.b", "."] {
        let name = WireName::parse(name).expect("a name");
        let _ = (image.selectors_of(&name), image.may_resolve(&subjects, &name), image.reach_sets(&subjects, &name));
    }
    for address in [0, 1, u128::MAX, 0xffff_c000_0201] {
        let _ = image.address_sets(&subjects, address);
    }
    let _ = (dump::dump(&image), dump::dump_all(&image));
    let twin = Image::decode(image.bytes().to_vec()).expect("decoded once");
    assert!(compare::compare(&image, &twin).is_same());
});
