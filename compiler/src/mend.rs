//! A fix is offered only if it mends: the text is read again with it, and nothing may be wrong with the line then.

use crate::diagnostic::{Code, Diagnostic, Findings, Severity};
use crate::policy::Profile;
use crate::read;
use crate::source::Source;

/// Fixes that are tried, and the longest text that is read again for one.
const FIXES: usize = 20;
const LONGEST: usize = 256 << 10;

/// Takes away the fixes that do not mend.
pub fn verify(findings: &mut Findings, namespace: &str, profile: &Profile) {
    let mut tried = 0;
    let mends: Vec<bool> = findings
        .0
        .iter()
        .map(|finding| {
            let (Some(source), Some(fix)) = (&finding.source, &finding.fix) else { return false };
            tried += 1;
            let (Some(before), Some(after)) = (source.text.get(..fix.span.start), source.text.get(fix.span.end..)) else {
                return false;
            };
            if tried > FIXES || source.text.len() > LONGEST {
                return false;
            }
            let mended = Source::new(source.name.clone(), format!("{before}{}{after}", fix.text));
            let mut left = Findings::default();
            read::read(&[mended], namespace, profile, &mut left);
            let line = |at: usize| source.line_column(at.min(source.text.len())).0;
            let worse = |code: Code| {
                left.0.iter().filter(|d| d.code == code).count() > findings.0.iter().filter(|d| d.code == code).count()
            };
            let known = |d: &Diagnostic| findings.0.iter().any(|before| before.code == d.code && before.message == d.message);
            let still = left.0.iter().any(|d| {
                // Another version has other keys: all of them must be right.
                let elsewhere = finding.code == Code::UnknownVersion && !known(d);
                let here = line(d.span.start) == line(fix.span.start);
                d.severity() == Severity::Error
                    && (here || elsewhere)
                    && (elsewhere || d.span.start <= fix.span.start + fix.text.len() || !known(d))
            });
            !still && !worse(finding.code) && !worse(Code::Syntax) && !worse(Code::DuplicateKey)
        })
        .collect();
    for (finding, mends) in findings.0.iter_mut().zip(mends) {
        if !mends {
            finding.fix = None;
        }
    }
}
