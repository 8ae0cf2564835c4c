//! `fqdnc`: arguments, files, printing, exit codes. 0 = done, 1 = refused, 2 = usage or I/O.
#![forbid(unsafe_code)]

mod answers;
mod files;
mod images;
mod output;
mod pages;
mod policies;
mod ticker;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

// A million small allocations: compiling 1M rules took 7.2 s with the C library's allocator, 4.8 s with this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        Command::Compile { input, output, dump } => policies::compile(&input, &output, dump.as_deref()),
        Command::Check { input, format } => policies::check(&input, format),
        Command::Match { pattern, name, stdin } => {
            if stdin {
                answers::match_lines()
            } else {
                answers::match_one(pattern.as_deref().unwrap_or(""), name.as_deref().unwrap_or(""))
            }
        }
        Command::Eval { image, labels, namespace, target, port, exit_code, stdin } => {
            if stdin {
                answers::eval_lines(&image)
            } else {
                answers::eval_one(&image, &labels, &namespace, target.as_deref().unwrap_or(""), port.as_deref(), exit_code)
            }
        }
        Command::Test { paths } => policies::test(&paths),
        Command::Dump { image, all } => images::print_dump(&image, all),
        Command::Inspect { image, format } => images::inspect(&image, format),
        Command::Schema { name } => pages::print_schema(&name),
        Command::Explain { code } => pages::explain(&code),
        Command::Diff { old, new, fail_on_widen, format } => images::diff(&old, &new, fail_on_widen, format),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "fqdnc", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => pages::man(),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure(why)) => {
            let _ = writeln!(io::stderr(), "fqdnc: {why}");
            ExitCode::from(FAILED)
        }
    }
}
