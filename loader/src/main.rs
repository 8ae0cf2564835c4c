//! `fqdn-load`: arguments, printing, exit codes. 0 = done, 1 = refused, 2 = could not be done.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand, ValueEnum};
use fqdn_image::Image;
use fqdn_load::bind::{self, Told};
use fqdn_load::devices;
use fqdn_load::error::{Error, Result};
use fqdn_load::pins::Pins;
use fqdn_load::run::{self, Job};
use fqdn_load::swap::{self, Applied};
use fqdn_load::{cgroup, image_file, programs, resolvers, status};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Loads compiled FQDN egress policies into the kernel.
#[derive(Parser)]
#[command(name = "fqdn-load", version, max_term_width = 100)]
struct Cli {
    /// Folder of the pins, on a bpf file system.
    #[arg(long, global = true, value_name = "DIR", default_value = "/sys/fs/bpf/fqdn")]
    pins: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an image the policy of this node.
    #[command(after_help = "Example: fqdn-load apply policy.img")]
    Apply {
        /// The image.
        image: PathBuf,
        /// Whose answers teach: addresses and prefixes, or auto = the profile's, else /etc/resolv.conf.
        #[arg(long, value_name = "auto|IP,...", default_value = "auto")]
        resolvers: String,
        /// Cgroup to attach to; default is the cgroup2 root.
        #[arg(long, value_name = "CGROUP")]
        attach: Option<PathBuf>,
    },
    /// Says what this node enforces; exit 1 if it does not.
    Status {
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
        /// Exit 1 also where a device of a workload's namespace does not have our program first.
        #[arg(long)]
        strict: bool,
    },
    /// Reads the live map back and hashes it.
    Verify {
        /// An image that it must be.
        image: Option<PathBuf>,
    },
    /// Makes the previous image the active one, at once.
    Rollback,
    /// Makes a cgroup a workload.
    #[command(after_help = "Example: fqdn-load bind --cgroup /sys/fs/cgroup/shop/web --labels app=web --namespace shop")]
    Bind {
        /// Its folder.
        #[arg(long)]
        cgroup: PathBuf,
        /// Its labels.
        #[arg(long, value_name = "K=V,...", default_value = "")]
        labels: String,
        /// Its namespace.
        #[arg(long, default_value = "default")]
        namespace: String,
        /// Its network namespace, where refused queries are answered; default is that of a process in the cgroup.
        #[arg(long, value_name = "PATH")]
        netns: Option<PathBuf>,
        /// audit = count what would be refused, and pass it.
        #[arg(long, value_enum, default_value_t = Mode::Enforce)]
        mode: Mode,
        /// It is a resolver: its answers, from a resolver's address and DNS port, pass.
        #[arg(long)]
        serves_dns: bool,
        /// Bind it although packet sockets are open, which send past the policy.
        #[arg(long)]
        allow_packet_sockets: bool,
    },
    /// Makes a cgroup no workload any more.
    Unbind {
        /// Its folder.
        #[arg(long)]
        cgroup: PathBuf,
    },
    /// Runs a command in a fresh bound cgroup.
    #[command(after_help = "Example: fqdn-load run --labels app=web --namespace shop -- curl https://api.example.com")]
    Run {
        /// Labels of the workload.
        #[arg(long, value_name = "K=V,...", default_value = "")]
        labels: String,
        /// Its namespace.
        #[arg(long, default_value = "default")]
        namespace: String,
        /// Applies this image first.
        #[arg(long)]
        image: Option<PathBuf>,
        /// Whose answers teach, with --image.
        #[arg(long, value_name = "auto|IP,...", default_value = "auto")]
        resolvers: String,
        /// Run it in this network namespace, for example /run/netns/NAME.
        #[arg(long, value_name = "PATH")]
        netns: Option<PathBuf>,
        /// Keep capabilities and sockets that lead round the policy (CAP_NET_ADMIN, nscd...).
        #[arg(long)]
        keep_caps: bool,
        /// The command.
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
    /// Detaches and unpins everything.
    Unload,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Enforce,
    Audit,
}

/// Our own failure in `run`, as env(1) has it.
const RUN_FAILED: u8 = 125;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let pins = Pins::new(&cli.pins);
    let is_run = matches!(cli.command, Command::Run { .. });
    match dispatch(&pins, cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "fqdn-load: {error}");
            ExitCode::from(if is_run { RUN_FAILED } else { error.code() })
        }
    }
}

fn say(text: &str) -> Result<u8> {
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(|e| Error::io("write", "standard output", &e))?;
    Ok(0)
}

fn dispatch(pins: &Pins, command: Command) -> Result<u8> {
    match command {
        Command::Apply { image, resolvers, attach } => apply(pins, &image, &resolvers, attach.as_deref()),
        Command::Status { format, strict } => print_status(pins, format, strict),
        Command::Verify { image } => verify(pins, image.as_deref()),
        Command::Rollback => {
            let text = format!("active  {}\n", swap::rollback(pins)?);
            say(&(text + &cover_all(pins)?))
        }
        Command::Bind { cgroup, labels, namespace, netns, mode, serves_dns, allow_packet_sockets } => {
            let audit = mode == Mode::Audit;
            let told = Told { path: cgroup, namespace, labels, audit, serves_dns, packet_sockets: allow_packet_sockets };
            bind(pins, &told, netns.as_deref())
        }
        Command::Unbind { cgroup } => {
            let text = {
                let _lock = pins.lock()?;
                if bind::unbind(pins, &cgroup)? { "unbound\n" } else { "unchanged: it was not bound\n" }
            };
            say(&(text.to_owned() + &cover_all(pins)?))
        }
        Command::Run { labels, namespace, image, resolvers, netns, keep_caps, command } => {
            if let Some(image) = image {
                apply_quietly(pins, &image, &resolvers, None)?;
            }
            run::run(pins, &Job { labels: &labels, namespace: &namespace, netns: netns.as_deref(), keep_caps, command: &command })
        }
        Command::Unload => {
            if !pins.dir().exists() {
                return say("unchanged: nothing is loaded");
            }
            pins.refuse_others()?;
            let _lock = pins.lock()?;
            programs::unload(pins)?;
            say("unloaded")
        }
    }
}

fn apply_quietly(pins: &Pins, path: &Path, resolvers: &str, attach: Option<&Path>) -> Result<(Image, Applied, PathBuf)> {
    let image = image_file::read(path)?;
    let point = match attach {
        Some(path) => std::fs::canonicalize(path).map_err(|e| Error::io("open cgroup", path.display(), &e))?,
        None if programs::attached(pins) => programs::attach_point(pins)?,
        None => programs::default_attach_point()?,
    };
    cgroup::id(&point)?;
    let applied = swap::apply(pins, &image, resolvers, &point)?;
    Ok((image, applied, point))
}

fn apply(pins: &Pins, path: &Path, option: &str, attach: Option<&Path>) -> Result<u8> {
    let (image, applied, point) = apply_quietly(pins, path, option, attach)?;
    let word = match applied {
        Applied::Unchanged => "unchanged",
        Applied::ResolversChanged => "resolvers changed",
        Applied::Published => "active",
    };
    let servers = resolvers::list(pins, image.head.generation)?;
    let mut text =
        format!("{word}  {}\nattached to {}\nresolvers   {}\n", image.digest_hex(), point.display(), servers.join(", "));
    if servers.is_empty() {
        text.push_str("            none: no answer will teach (give --resolvers or a profile)\n");
    }
    for line in image.profile().lines().filter(|l| l.starts_with("inCluster")) {
        text.push_str(&format!("profile     {line}\n"));
    }
    text.push_str(&cover_all(pins)?);
    say(&text)
}

/// Devices that are new, or at which another program came before ours, get theirs with every verb; what failed, a line each.
fn cover_all(pins: &Pins) -> Result<String> {
    let _lock = pins.lock()?;
    Ok(bind::cover_all(pins)?.iter().map(|line| format!("warning: {line}\n")).collect())
}

fn print_status(pins: &Pins, format: Format, strict: bool) -> Result<u8> {
    let status = status::json(pins)?;
    say(&if format == Format::Json { status.to_string() } else { status::human(&status) })?;
    let covered = status["devices_not_covered"] == serde_json::json!([]) && status["devices_passed_by"] == serde_json::json!([]);
    Ok(u8::from(status["enforcing"] != serde_json::json!(true) || (strict && !covered)))
}

fn verify(pins: &Pins, path: Option<&Path>) -> Result<u8> {
    pins.check_abi()?;
    let Some((pinned, map)) = pins.slot(0)? else { return Err(Error::refused("no image is active")) };
    let live = map.image()?.digest_hex();
    if live != pinned {
        return Err(Error::refused(format!("the live map hashes to {live}, its pin says {pinned}")));
    }
    if let Some(path) = path {
        let want = image_file::read(path)?.digest_hex();
        if want != live {
            return Err(Error::refused(format!("active is {live}, `{}` is {want}", path.display())));
        }
    }
    say(&format!("verified  {live}"))
}

fn bind(pins: &Pins, told: &Told, netns: Option<&Path>) -> Result<u8> {
    let _lock = pins.lock()?;
    bind::bind(pins, told)?;
    let running = cgroup::process_ids(&told.path).len();
    let mut text = format!("bound  {}\n", told.path.display());
    if running > 0 {
        text.push_str(&format!("{running} processes run in it: connections that they accepted before cannot be told apart and are judged like any other\n"));
    }
    let (namespaces, more) = devices::namespaces(netns, &told.path);
    if more > 0 {
        text.push_str(&format!("warning: {more} more network namespaces of its processes are not covered\n"));
    }
    if namespaces.is_empty() {
        text.push_str("refused queries fail without an answer: no process runs in it yet (give --netns, or bind again)\n");
    }
    for namespace in &namespaces {
        match bind::cover(pins, namespace) {
            Ok(covered) if covered.others == 0 => {}
            Ok(covered) => text.push_str(&format!(
                "{} devices are neither Ethernet nor loopback: a query refused there fails without an answer\n",
                covered.others
            )),
            Err(error) if netns.is_some() => return Err(error),
            Err(error) => text.push_str(&format!("refused queries fail without an answer: {error}\n")),
        }
    }
    for line in bind::cover_all(pins)? {
        text.push_str(&format!("warning: {line}\n"));
    }
    say(&text)
}
