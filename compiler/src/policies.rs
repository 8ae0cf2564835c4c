//! Commands that read policies: `compile`, `check`, `test`.

use crate::files::{self, Input};
use crate::output::Output;
use crate::ticker::Ticker;
use crate::{Failure, Format, Outcome, PolicyInput, REFUSED};
use fqdn_image::{Image, abi, dump};
use fqdnc::diagnostic::{Findings, Severity};
use fqdnc::policy::Profile;
use fqdnc::source::Source;
use fqdnc::{sarif, verdicts};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the paths and the profile hold.
struct Loaded {
    sources: Vec<Source>,
    profile: Option<Profile>,
    findings: Findings,
}

fn load(input: &PolicyInput) -> Result<Loaded, Failure> {
    let mut findings = Findings::default();
    let Input { sources, .. } = files::policies(&input.paths, &mut findings).map_err(Failure)?;
    let profile = match &input.profile {
        None => fqdnc::load_profile(None, &mut findings),
        Some(path) => match files::text(path, &mut findings).map_err(Failure)? {
            Some(source) => fqdnc::load_profile(Some(&source), &mut findings),
            None => None,
        },
    };
    Ok(Loaded { sources, profile, findings })
}

fn refused(findings: &Findings, input: &PolicyInput) -> bool {
    findings.refused() || (input.deny.is_some() && findings.count(Severity::Warning) > 0)
}

fn tally(findings: &Findings) -> String {
    let part = |severity, word: &str| match findings.count(severity) {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let parts: Vec<String> =
        [part(Severity::Error, "error"), part(Severity::Warning, "warning"), part(Severity::Notice, "notice")]
            .into_iter()
            .flatten()
            .collect();
    if parts.is_empty() { "no findings".into() } else { parts.join(", ") }
}

fn print_findings(to: &mut dyn Write, findings: &Findings, colour: bool) -> io::Result<()> {
    for finding in &findings.0 {
        write!(to, "{}", finding.human(colour))?;
    }
    Ok(())
}

/// Warnings and notices that `compile` prints; errors it prints all.
const MOST: usize = 100;

/// Prints errors and the first of the others; how many were left out.
fn print_most(to: &mut dyn Write, findings: &Findings, colour: bool) -> io::Result<usize> {
    let mut others = 0;
    for finding in &findings.0 {
        others += usize::from(finding.severity() != Severity::Error);
        if finding.severity() == Severity::Error || others <= MOST {
            write!(to, "{}", finding.human(colour))?;
        }
    }
    Ok(others.saturating_sub(MOST))
}

pub(crate) fn compile(input: &PolicyInput, output: &Path, dump_to: Option<&Path>) -> Outcome {
    let named = output.display().to_string().escape_debug().to_string();
    if dump_to == Some(output) {
        return Err(Failure(format!("image and readable form would both be `{named}`; name two files")));
    }
    let ticker = Ticker::start("compiling");
    let Loaded { sources, profile, mut findings } = load(input)?;
    let compiled = profile.as_ref().and_then(|profile| fqdnc::compile(&sources, profile, &input.namespace, &mut findings));
    drop(ticker);
    findings.sort();
    let mut stderr = io::stderr().lock();
    let left_out = print_most(&mut stderr, &findings, io::stderr().is_terminal())?;
    if left_out > 0 {
        writeln!(stderr, "fqdnc: {left_out} more warnings and notices: fqdnc check prints them all")?;
    }
    let Some(compiled) = compiled.filter(|_| !refused(&findings, input)) else {
        writeln!(stderr, "fqdnc: no image written: {}", tally(&findings))?;
        return Ok(ExitCode::from(REFUSED));
    };
    let mut output = Output::open(output).map_err(Failure)?;
    let mut dump_to = dump_to.map(Output::open).transpose().map_err(Failure)?;
    // The bytes go to the disk while they are read back; nothing becomes a file before everything has succeeded.
    let bytes = compiled.bytes;
    let (filled, image) = std::thread::scope(|scope| {
        let filled = scope.spawn(|| output.fill(&bytes));
        let image = Image::decode(bytes.clone()).map_err(|e| Failure(format!("the image made contradicts itself: {e}")));
        (filled.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(Failure), image)
    });
    let image = image?;
    filled?;
    if let Some(dump_to) = &mut dump_to {
        let text = dump::dump(&image).map_err(|e| Failure(format!("the image made contradicts itself: {e}")))?;
        dump_to.fill(text.as_bytes()).map_err(Failure)?;
    }
    let to_stdout = [Some(&output), dump_to.as_ref()].into_iter().flatten().any(Output::is_standard);
    output.keep().map_err(Failure)?;
    if let Some(dump_to) = dump_to {
        dump_to.keep().map_err(Failure)?;
    }
    let mut out: Box<dyn Write> = if to_stdout { Box::new(stderr) } else { Box::new(io::stdout().lock()) };
    writeln!(out, "{}  {named}", image.digest_hex())?;
    let selectors = image.rows.selectors_n - abi::SELECTOR_SERVER;
    writeln!(
        out,
        "{} policies, {} subjects, {selectors} selectors, {} grants, {} bytes",
        compiled.policies,
        image.texts.subjects_n - 1,
        image.rows.grants_n,
        image.bytes().len()
    )?;
    for line in image.profile().lines().filter(|l| l.starts_with("inCluster") || input.profile.is_some()) {
        writeln!(out, "profile: {line}")?;
    }
    writeln!(out, "{}, {} other documents left alone", tally(&findings), compiled.skipped)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(input: &PolicyInput, format: Format) -> Outcome {
    let Loaded { sources, profile, mut findings } = load(input)?;
    if let Some(profile) = &profile {
        fqdnc::compile(&sources, profile, &input.namespace, &mut findings);
    }
    findings.sort();
    let mut out = io::stdout().lock();
    match format {
        Format::Human => {
            print_findings(&mut out, &findings, io::stdout().is_terminal())?;
            let files = if sources.len() == 1 { "file" } else { "files" };
            writeln!(out, "{} in {} {files}", tally(&findings), sources.len())?;
        }
        Format::Json => {
            let list: Vec<serde_json::Value> = findings.0.iter().map(fqdnc::diagnostic::Diagnostic::json).collect();
            writeln!(out, "{}", serde_json::json!({ "findings": list, "files": sources.len() }))?;
        }
        Format::Sarif => writeln!(out, "{}", sarif::log(&findings))?,
        Format::Github => {
            for finding in &findings.0 {
                writeln!(out, "{}", finding.github())?;
            }
        }
    }
    Ok(if refused(&findings, input) { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

pub(crate) fn test(paths: &[PathBuf]) -> Outcome {
    let tables = files::verdict_tables(paths).map_err(Failure)?;
    let mut out = io::stdout().lock();
    if tables.is_empty() {
        writeln!(out, "no verdict table (*.verdicts.yaml) found")?;
        return Ok(ExitCode::from(REFUSED));
    }
    let (mut rows, mut wrong) = (0usize, 0usize);
    for path in &tables {
        let mut findings = Findings::default();
        let mut bad = run_table(path, &mut findings, &mut rows)?;
        print_findings(&mut out, &findings, io::stdout().is_terminal())?;
        if findings.refused() && bad.is_empty() {
            bad.push(format!("{}: not run", path.display()));
        }
        for line in &bad {
            writeln!(out, "{line}")?;
        }
        wrong += bad.len();
    }
    let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    writeln!(out, "{} in {}, {wrong} wrong", plural(rows, "verdict"), plural(tables.len(), "table"))?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

fn run_table(path: &Path, findings: &mut Findings, rows: &mut usize) -> Result<Vec<String>, Failure> {
    let mut quiet = Findings::default();
    let Some(source) = files::text(path, findings).map_err(Failure)? else { return Ok(Vec::new()) };
    let Some(table) = verdicts::read(&source, findings) else { return Ok(Vec::new()) };
    if findings.refused() {
        return Ok(Vec::new());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let profile = match &table.profile {
        None => fqdnc::load_profile(None, findings),
        Some(name) => match files::text(&folder.join(name), findings).map_err(Failure)? {
            Some(source) => fqdnc::load_profile(Some(&source), findings),
            None => None,
        },
    };
    let Some(profile) = profile else { return Ok(Vec::new()) };
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() };
    let input = files::policies(&[folder], &mut quiet).map_err(Failure)?;
    let compiled = fqdnc::compile(&input.sources, &profile, "default", &mut quiet);
    findings.0.extend(quiet.0);
    findings.0.retain(|d| d.severity() == Severity::Error);
    let Some(compiled) = compiled.filter(|_| !findings.refused()) else { return Ok(Vec::new()) };
    let image = Image::decode(compiled.bytes).map_err(|e| Failure(format!("the image made contradicts itself: {e}")))?;
    let mut wrong = Vec::new();
    for row in &table.rows {
        *rows += 1;
        for why in verdicts::check(row, &image, &compiled.rules) {
            wrong.push(format!("{}:{}: {}: {why}", path.display(), row.line, row.text));
        }
    }
    Ok(wrong)
}
