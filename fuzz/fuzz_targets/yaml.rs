//! Any text as policies, and as a profile: findings or an image that reads back, never a panic; and what fills a
//! document's type satisfies its schema.
#![no_main]

use fqdn_image::{Image, dump};
use fqdnc::diagnostic::Findings;
use fqdnc::source::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = Source::new("fuzz", text);
    let mut findings = Findings::default();
    let given = fqdnc::load_profile(Some(&source), &mut Findings::default());
    let profile = given.or_else(|| fqdnc::load_profile(None, &mut findings)).expect("the default profile");
    let compiled = fqdnc::compile(std::slice::from_ref(&source), &profile, "default", &mut findings);
    assert_eq!(compiled.is_none(), findings.refused(), "refused without a finding, or compiled with an error");
    for finding in findings.0.iter().take(20) {
        let _ = (finding.human(false), finding.json());
    }
    if let Some(compiled) = compiled {
        let image = Image::decode(compiled.bytes).expect("our own image");
        dump::dump(&image).expect("every selector is found by its own text");
    }
    fqdnc::schema::agrees(&source).expect("the schema accepts what the type accepts");
});
