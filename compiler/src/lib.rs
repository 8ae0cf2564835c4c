//! Policies to images. The whole way on one screen:
//!
//! ```text
//! texts --read--> Policy --lower--> Rules --plan--> Tables --encode--> bytes
//!   yaml: text -> tree with spans        eval: the reference, on Rules
//!   shape: tree -> document              automaton: patterns -> states
//!   check: document -> policy
//! ```
//!
//! The core is pure: no clock, no environment, no order of the run. Files and printing are `main`'s.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod addresses;
pub mod alone;
pub mod asks;
pub mod automaton;
pub mod check;
pub mod diagnostic;
pub mod dialect;
pub mod dns_ports;
pub mod document;
pub mod entity;
pub mod eval;
mod kind;
pub mod lint;
pub mod lower;
pub mod mend;
mod misplaced;
pub mod order;
pub mod overlap;
pub mod plan;
pub mod policy;
pub mod profile;
pub mod read;
pub mod sarif;
pub mod schema;
pub mod sets;
pub mod shape;
pub mod source;
pub mod typed;
pub mod verdicts;
pub mod yaml;

use diagnostic::{Code, Findings};
use document::ProfileDocument;
use lower::Rules;
use plan::PlanError;
use policy::Profile;
use source::Source;

/// What a compilation gives.
#[derive(Debug)]
pub struct Compiled {
    /// The image's bytes.
    pub bytes: Vec<u8>,
    /// The rules they were made from.
    pub rules: Rules,
    /// Policies in it.
    pub policies: usize,
    /// Documents left alone.
    pub skipped: usize,
}

/// The profile of a text, or the defaults. INVARIANT: with an error among the findings it serves to find more of them only.
pub fn load_profile(source: Option<&Source>, findings: &mut Findings) -> Option<Profile> {
    let Some(source) = source else { return Some(profile::default()) };
    let documents = yaml::parse(source, findings);
    let Some(document) = documents.first() else {
        if !findings.refused() {
            findings.at(Code::BadProfile, source, source::Span::default(), "the profile is empty", "", "");
        }
        return None;
    };
    let filled = shape::read::<ProfileDocument>(source, document, findings)?;
    let before = findings.0.len();
    let profile = profile::check(source, &filled.root, &filled.value, findings);
    filled.keep_certain(findings, before);
    Some(profile)
}

/// Everything up to the rules; `None` if a finding stops it.
pub fn check(sources: &[Source], profile: &Profile, namespace: &str, findings: &mut Findings) -> Option<(Rules, usize, usize)> {
    let read = read::read(sources, namespace, profile, findings);
    mend::verify(findings, namespace, profile);
    if findings.refused() {
        return None;
    }
    let (policies, skipped) = (read.policies.len(), read.skipped);
    Some((lower::lower(read.policies, profile), policies, skipped))
}

/// The whole way.
pub fn compile(sources: &[Source], profile: &Profile, namespace: &str, findings: &mut Findings) -> Option<Compiled> {
    let (rules, policies, skipped) = check(sources, profile, namespace, findings)?;
    let tables = match plan::plan(&rules, profile) {
        Ok(tables) => tables,
        Err(PlanError::Budget(over)) => {
            let help = format!("narrow one of: {}", over.patterns.join(", "));
            findings.general(Code::Budget, format!("too many {}", over.what), help);
            return None;
        }
        Err(PlanError::TooMany(what, most)) => {
            findings.general(Code::TooMany, format!("more than {most} {what}"), "");
            return None;
        }
    };
    match fqdn_image::encode::encode(&tables) {
        Ok(bytes) => Some(Compiled { bytes, rules, policies, skipped }),
        Err(error) => {
            findings.general(Code::TooMany, error.to_string(), "");
            None
        }
    }
}
