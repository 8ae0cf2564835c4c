//! `fqdnc`: arguments, files, printing, exit codes. 0 = done, 1 = refused, 2 = usage or I/O.
#![forbid(unsafe_code)]

mod files;
mod ticker;

// A million small allocations: compiling 1M rules took 7.2 s with the C library's allocator, 4.8 s with this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use files::Input;
use fqdn_image::compare::{self, Access, Change};
use fqdn_image::judge::{Subjects, Verdict};
use fqdn_image::labels::Labels;
use fqdn_image::{Image, Pattern, WireName, abi, dump};
use fqdnc::diagnostic::{Code, Findings, Severity};
use fqdnc::policy::Profile;
use fqdnc::source::Source;
use fqdnc::{sarif, schema, verdicts};
use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use ticker::Ticker;

/// Compiles FQDN egress policies into images for the kernel.
#[derive(Parser)]
#[command(name = "fqdnc", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compiles policies into an image.
    #[command(after_help = "Example: fqdnc compile policies/quickstart -o policy.img --dump policy.txt")]
    Compile {
        #[command(flatten)]
        input: PolicyInput,
        /// The image.
        #[arg(short, long, value_name = "IMAGE")]
        output: PathBuf,
        /// Writes the readable form beside it.
        #[arg(long, value_name = "FILE")]
        dump: Option<PathBuf>,
    },
    /// Says everything that is wrong with policies.
    #[command(after_help = "Example: fqdnc check policies/ --deny warnings")]
    Check {
        #[command(flatten)]
        input: PolicyInput,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Says whether a pattern matches a name: 1, 0 or ERR.
    #[command(after_help = "Example: fqdnc match '*.s3.*.amazonaws.com' bucket.s3.eu-west-1.amazonaws.com")]
    Match {
        /// A matchPattern.
        #[arg(required_unless_present = "stdin")]
        pattern: Option<String>,
        /// A name.
        #[arg(required_unless_present = "stdin")]
        name: Option<String>,
        /// Reads lines `pattern<TAB>name`.
        #[arg(long, conflicts_with_all = ["pattern", "name"])]
        stdin: bool,
    },
    /// Asks an image what a workload may do.
    #[command(after_help = "Example: fqdnc eval policy.img --labels app=web --namespace shop api.example.com --port 443/tcp")]
    Eval {
        /// The image.
        image: PathBuf,
        /// Labels of the workload.
        #[arg(long, value_name = "K=V,...", default_value = "")]
        labels: String,
        /// Its namespace.
        #[arg(long, default_value = "default")]
        namespace: String,
        /// A name or an address.
        #[arg(required_unless_present = "stdin")]
        target: Option<String>,
        /// Port and protocol.
        #[arg(long, value_name = "443/tcp")]
        port: Option<String>,
        /// Exit 1 on deny.
        #[arg(long)]
        exit_code: bool,
        /// Reads lines `labels<TAB>namespace<TAB>name<TAB>port`.
        #[arg(long, conflicts_with = "target")]
        stdin: bool,
    },
    /// Runs the verdict tables (`*.verdicts.yaml`) under these paths.
    #[command(after_help = "Example: fqdnc test policies/")]
    Test {
        /// Files and folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Prints the readable form of an image.
    Dump {
        /// The image.
        image: PathBuf,
        /// Adds the tree, depth and identity sections.
        #[arg(long)]
        all: bool,
    },
    /// Says what one image allows that another does not, by meaning. 0 = the same, 1 = they differ, 2 = error.
    #[command(after_help = "Example: fqdnc diff old.img new.img --fail-on-widen")]
    Diff {
        /// The image that was.
        old: PathBuf,
        /// The image that is to be.
        new: PathBuf,
        /// Exit 1 only if the new image allows more.
        #[arg(long)]
        fail_on_widen: bool,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Plain::Human)]
        format: Plain,
    },
    /// Prints header, digest, sections and counts of an image.
    Inspect {
        /// The image.
        image: PathBuf,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Plain::Human)]
        format: Plain,
    },
    /// Prints a JSON Schema: policy, profile, verdicts, or that of another kind of policy.
    Schema {
        /// Which.
        #[arg(default_value = "policy")]
        name: String,
    },
    /// Explains a diagnostic code.
    Explain {
        /// The code.
        code: String,
    },
    /// Prints the completions of a shell.
    #[command(after_help = "Example: fqdnc completions bash > /etc/bash_completion.d/fqdnc")]
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    #[command(after_help = "Example: fqdnc man | man -l -")]
    Man,
}

#[derive(clap::Args)]
struct PolicyInput {
    /// Files and folders, `-` = standard input.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Facts about the cluster.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Namespace of policies that name none.
    #[arg(long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// Refuses warnings too.
    #[arg(long, value_parser = ["warnings"])]
    deny: Option<String>,
}

/// How findings are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
    /// SARIF 2.1.0, for code hosts.
    Sarif,
    /// Workflow commands of GitHub Actions.
    Github,
}

/// How other results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Plain {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// What cannot be done at all: exit 2.
struct Failure(String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure(format!("failed to write the result: {error}"))
    }
}

type Outcome = Result<ExitCode, Failure>;

const REFUSED: u8 = 1;
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Compile { input, output, dump } => compile(&input, &output, dump.as_deref()),
        Command::Check { input, format } => check(&input, format),
        Command::Match { pattern, name, stdin } => {
            if stdin {
                match_lines()
            } else {
                match_one(pattern.as_deref().unwrap_or(""), name.as_deref().unwrap_or(""))
            }
        }
        Command::Eval { image, labels, namespace, target, port, exit_code, stdin } => {
            if stdin {
                eval_lines(&image)
            } else {
                eval_one(&image, &labels, &namespace, target.as_deref().unwrap_or(""), port.as_deref(), exit_code)
            }
        }
        Command::Test { paths } => test(&paths),
        Command::Dump { image, all } => print_dump(&image, all),
        Command::Inspect { image, format } => inspect(&image, format),
        Command::Schema { name } => print_schema(&name),
        Command::Explain { code } => explain(&code),
        Command::Diff { old, new, fail_on_widen, format } => diff(&old, &new, fail_on_widen, format),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "fqdnc", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => man(),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure(why)) => {
            let _ = writeln!(io::stderr(), "fqdnc: {why}");
            ExitCode::from(FAILED)
        }
    }
}

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

fn compile(input: &PolicyInput, output: &Path, dump_to: Option<&Path>) -> Outcome {
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
    // The bytes go to the disk while they are read back; they become the file when both have succeeded.
    let bytes = compiled.bytes;
    let (draft, image) = std::thread::scope(|scope| {
        let draft = scope.spawn(|| files::Draft::write(output, &bytes));
        let image = Image::decode(bytes.clone()).map_err(|e| Failure(format!("the image made contradicts itself: {e}")));
        (draft.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(Failure), image)
    });
    let image = image?;
    draft?.keep().map_err(Failure)?;
    if let Some(path) = dump_to {
        let text = dump::dump(&image).map_err(|e| Failure(format!("the image made contradicts itself: {e}")))?;
        files::replace(path, text.as_bytes()).map_err(Failure)?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}  {}", image.digest_hex(), output.display())?;
    let selectors = image.rows.selectors_n - abi::SELECTOR_NEVER;
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

fn check(input: &PolicyInput, format: Format) -> Outcome {
    let Loaded { sources, profile, mut findings } = load(input)?;
    if let Some(profile) = &profile {
        fqdnc::compile(&sources, profile, &input.namespace, &mut findings);
    }
    findings.sort();
    let mut out = io::stdout().lock();
    match format {
        Format::Human => {
            print_findings(&mut out, &findings, io::stdout().is_terminal())?;
            writeln!(out, "{} in {} files", tally(&findings), sources.len())?;
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

/// `1`, `0` or `ERR`. A name that cannot be one in DNS matches nothing.
fn match_word(pattern: &str, name: &str) -> &'static str {
    match (Pattern::parse(pattern), WireName::parse(name)) {
        (Err(_), _) => "ERR",
        (Ok(pattern), Ok(name)) if pattern.matches(&name) => "1",
        _ => "0",
    }
}

fn match_one(pattern: &str, name: &str) -> Outcome {
    let word = match_word(pattern, name);
    writeln!(io::stdout(), "{word}")?;
    Ok(ExitCode::from(match word {
        "1" => 0,
        "0" => 1,
        _ => FAILED,
    }))
}

fn lines(mut each: impl FnMut(&str, &mut dyn Write) -> io::Result<()>) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line).map_err(|e| Failure(format!("failed to read standard input: {e}")))?;
        if read == 0 {
            break;
        }
        while line.last().is_some_and(|b| *b == b'\n' || *b == b'\r') {
            line.pop();
        }
        each(&String::from_utf8_lossy(&line), &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn match_lines() -> Outcome {
    lines(|line, out| writeln!(out, "{}", line.split_once('\t').map_or("ERR", |(pattern, name)| match_word(pattern, name))))
}

fn open(path: &Path) -> Result<Result<Image, fqdn_image::DecodeError>, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure(format!("failed to read image `{}`: {e}", path.display())))?;
    Ok(Image::decode(bytes))
}

/// An image, or exit 1 with what is wrong with it.
fn image_or_refuse(path: &Path) -> Result<Result<Image, ExitCode>, Failure> {
    match open(path)? {
        Ok(image) => Ok(Ok(image)),
        Err(error) => {
            writeln!(io::stderr(), "fqdnc: image `{}`: {error}", path.display())?;
            Ok(Err(ExitCode::from(REFUSED)))
        }
    }
}

/// One answer as columns, and whether it allows.
fn answer(image: &Image, labels: &Labels, target: &str, port: Option<&str>) -> Result<(String, bool), String> {
    let subjects = image.subjects_of(labels);
    let address = verdicts::parse_address(target);
    let name = match address {
        Some(_) => None,
        None => Some(
            WireName::parse(target).map_err(|why| format!("`{}` is neither name nor address: {why}", target.escape_default()))?,
        ),
    };
    let may_be_denied = subjects.denies && address.is_some();
    if !subjects.enforced && !may_be_denied {
        return Ok(("allow\tnot-selected\t-".into(), true));
    }
    let Some(port) = port else {
        return Ok(summary(image, &subjects, name.as_ref(), address));
    };
    let port = verdicts::parse_port(port).ok_or_else(|| format!("`{}` is no port: write 443/tcp", port.escape_default()))?;
    let (verdict, why) = match (&name, address) {
        (Some(name), _) => (image.may_reach(&subjects, name, port), "name-rule"),
        (None, Some(address)) => (image.may_reach_address(&subjects, address, port), "address-rule"),
        (None, None) => (Verdict::Deny("no-target"), ""),
    };
    Ok(match verdict {
        Verdict::Allow(policy) => (format!("allow\t{why}\t{policy}"), true),
        Verdict::NotSelected => ("allow\tnot-selected\t-".into(), true),
        Verdict::Deny(why) => (format!("deny\t{why}\t-"), false),
    })
}

/// `resolve=... reach=...`
fn summary(image: &Image, subjects: &Subjects, name: Option<&WireName>, address: Option<u128>) -> (String, bool) {
    let resolve = name.is_some_and(|name| matches!(image.may_resolve(subjects, name), Verdict::Allow(_)));
    let sets = match (name, address) {
        (Some(name), _) => image.reach_sets(subjects, name),
        (None, Some(address)) => image.address_sets(subjects, address),
        (None, None) => Vec::new(),
    };
    let reach = if sets.contains(&abi::PORTS_ANY) {
        "any".to_owned()
    } else if sets.is_empty() {
        "none".to_owned()
    } else {
        let mut ranges: Vec<abi::PortRange> = sets.iter().flat_map(|set| image.ports(*set)).collect();
        ranges.sort_unstable_by_key(|r| (r.proto, r.low, r.high));
        ranges.dedup();
        dump::ports_text(&ranges)
    };
    let reach = if subjects.enforced { reach } else { "any".into() };
    let mut denied: Vec<String> = Vec::new();
    for set in address.map(|address| image.denied_sets(subjects, address)).unwrap_or_default() {
        denied.push(dump::ports_text(&image.ports(set)));
    }
    if denied.is_empty() {
        let allowed = resolve || reach != "none";
        return (format!("resolve={} reach={reach}", if resolve { "allow" } else { "deny" }), allowed);
    }
    (format!("resolve=deny reach={reach} denied={}", denied.join(",")), reach != "none" && !denied.contains(&"any".into()))
}

fn eval_one(path: &Path, labels: &str, namespace: &str, target: &str, port: Option<&str>, exit_code: bool) -> Outcome {
    let image = match image_or_refuse(path)? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    let labels = Labels::parse(labels, namespace).map_err(Failure)?;
    let (text, allowed) = answer(&image, &labels, target, port).map_err(Failure)?;
    writeln!(io::stdout(), "{text}")?;
    Ok(if exit_code && !allowed { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

fn eval_lines(path: &Path) -> Outcome {
    let image = match image_or_refuse(path)? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    let mut known: BTreeMap<(String, String), Labels> = BTreeMap::new();
    lines(|line, out| {
        let columns: Vec<&str> = line.split('\t').collect();
        let result = match columns.as_slice() {
            [labels, namespace, target, port] => {
                let key = ((*labels).to_owned(), (*namespace).to_owned());
                let parsed = match known.get(&key) {
                    Some(labels) => Ok(labels.clone()),
                    None => Labels::parse(labels, namespace).inspect(|l| {
                        known.insert(key, l.clone());
                    }),
                };
                parsed.and_then(|labels| answer(&image, &labels, target, (!port.is_empty()).then_some(*port)))
            }
            _ => Err("want labels, namespace, name and port, tabs between them".into()),
        };
        match result {
            Ok((text, _)) => writeln!(out, "{text}"),
            Err(why) => writeln!(out, "ERR\t{why}"),
        }
    })
}

fn test(paths: &[PathBuf]) -> Outcome {
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
    writeln!(out, "{rows} verdicts in {} tables, {wrong} wrong", tables.len())?;
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
    findings.0.extend(quiet.0.into_iter().filter(|d| d.severity() == Severity::Error));
    let Some(compiled) = compiled else { return Ok(Vec::new()) };
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

fn print_dump(path: &Path, all: bool) -> Outcome {
    let image = match image_or_refuse(path)? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    let text = if all { dump::dump_all(&image) } else { dump::dump(&image) };
    match text {
        Ok(text) => {
            io::stdout().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(io::stderr(), "fqdnc: image `{}`: {error}", path.display())?;
            Ok(ExitCode::from(REFUSED))
        }
    }
}

fn diff(old: &Path, new: &Path, fail_on_widen: bool, format: Plain) -> Outcome {
    let read = |path: &Path| open(path)?.map_err(|error| Failure(format!("image `{}`: {error}", path.display())));
    let (old, new) = (read(old)?, read(new)?);
    let comparison = compare::compare(&old, &new);
    let mut out = io::stdout().lock();
    if format == Plain::Json {
        let list = |changes: &[Change]| changes.iter().map(change_json).collect::<Vec<_>>();
        let value = serde_json::json!({"widened": list(&comparison.widened), "narrowed": list(&comparison.narrowed)});
        writeln!(out, "{value}")?;
    } else {
        for (title, changes) in [("widened", &comparison.widened), ("narrowed", &comparison.narrowed)] {
            let mut subject = "";
            for (i, change) in changes.iter().enumerate() {
                if i == 0 {
                    writeln!(out, "{title}")?;
                }
                if change.subject != subject {
                    subject = &change.subject;
                    writeln!(out, "  {subject}")?;
                }
                writeln!(out, "    {}", change_text(&change.access, title == "widened"))?;
            }
        }
        if comparison.is_same() {
            writeln!(out, "no difference in what is allowed")?;
        }
    }
    let bad = if fail_on_widen { !comparison.widened.is_empty() } else { !comparison.is_same() };
    Ok(if bad { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

fn change_text(access: &Access, widened: bool) -> String {
    let shown =
        |example: &Option<String>| example.as_ref().map_or("(too hard to find an example)".into(), |e| format!("e.g. {e}"));
    match access {
        Access::Everything if widened => "no longer denies by default: everything may be reached".into(),
        Access::Everything => "denies by default now".into(),
        Access::Reach { what, ports, example } => format!("reach    {what:<40} {ports:<20} {}", shown(example)),
        Access::Resolve { what, servers, ports, example } => {
            format!("resolve  {what:<40} {:<20} {}", format!("{servers} {ports}"), shown(example))
        }
        Access::NoLongerDenied { what, ports } if widened => format!("no longer denied  {what} {ports}"),
        Access::NoLongerDenied { what, ports } => format!("denied now  {what} {ports}"),
        Access::Profile(line) => line.clone(),
    }
}

fn change_json(change: &Change) -> serde_json::Value {
    let (kind, what, servers, ports, example) = match &change.access {
        Access::Everything => ("default-deny", None, None, None, None),
        Access::Reach { what, ports, example } => ("reach", Some(what), None, Some(ports), example.as_ref()),
        Access::Resolve { what, servers, ports, example } => {
            ("resolve", Some(what), Some(servers), Some(ports), example.as_ref())
        }
        Access::NoLongerDenied { what, ports } => ("deny", Some(what), None, Some(ports), None),
        Access::Profile(line) => ("profile", Some(line), None, None, None),
    };
    serde_json::json!({
        "subject": change.subject, "kind": kind, "what": what, "servers": servers, "ports": ports, "example": example,
    })
}

fn man() -> Outcome {
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut io::stdout())?;
    for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
        clap_mangen::Man::new(part.clone()).title(format!("fqdnc-{}", part.get_name())).render(&mut io::stdout())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(path: &Path, format: Plain) -> Outcome {
    let image = match image_or_refuse(path)? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    let automaton: u64 = image.sections().iter().take(4).map(|(_, _, n, size)| u64::from(*n) * *size as u64).sum();
    let patterns = image.texts.patterns;
    let per_pattern = automaton as f64 / f64::from(patterns.max(1));
    let mut out = io::stdout().lock();
    if format == Plain::Json {
        let sections: BTreeMap<&str, u64> =
            image.sections().iter().map(|(name, _, n, size)| (*name, u64::from(*n) * *size as u64)).collect();
        let value = serde_json::json!({
            "digest": image.digest_hex(), "generation": format!("{:016x}", image.head.generation), "version": image.head.version,
            "abi": format!("{:016x}", image.head.abi), "bytes": image.bytes().len(), "patterns": patterns,
            "automaton_bytes_per_pattern": per_pattern, "sections": sections,
        });
        writeln!(out, "{value}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "digest      {}", image.digest_hex())?;
    writeln!(out, "generation  {:016x}", image.head.generation)?;
    writeln!(out, "format      version {}, abi {:016x}", image.head.version, image.head.abi)?;
    writeln!(out, "bytes       {}", image.bytes().len())?;
    writeln!(out, "patterns    {patterns}, {per_pattern:.1} bytes of automaton each")?;
    for (name, first, records, size) in image.sections() {
        writeln!(out, "  {name:<20} block {first:>9}  {records:>9} x {size}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_schema(name: &str) -> Outcome {
    match schema::all().into_iter().find(|(known, _)| *known == name) {
        Some((_, schema)) => {
            let text = serde_json::to_string_pretty(&schema).map_err(|e| Failure(e.to_string()))?;
            writeln!(io::stdout(), "{text}")?;
            Ok(ExitCode::SUCCESS)
        }
        None => Err(Failure(format!("no schema `{}`: policy, profile or verdicts", name.escape_default()))),
    }
}

fn explain(code: &str) -> Outcome {
    let Some(known) = Code::ALL.iter().find(|known| known.text() == code) else {
        let all: Vec<&str> = Code::ALL.iter().map(|code| code.text()).collect();
        return Err(Failure(format!("no code `{}`; there are: {}", code.escape_default(), all.join(", "))));
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{} ({})\n\n{}", known.text(), known.severity().word(), known.explanation())?;
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    if let Some((wrong, right)) = known.example() {
        write!(out, "\nInstead of\n\n{}\nwrite\n\n{}", indented(wrong), indented(right))?;
    }
    if known.severity() != Severity::Error {
        writeln!(out, "\nAn image is made all the same; `--deny warnings` refuses warnings.")?;
    }
    Ok(ExitCode::SUCCESS)
}
