//! Commands that print what is written down: `schema`, `explain`, `man`.

use crate::{Cli, Failure, Outcome};
use clap::CommandFactory;
use fqdnc::diagnostic::{Code, Severity};
use fqdnc::schema;
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn man() -> Outcome {
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut io::stdout())?;
    for part in command.get_subcommands().filter(|part| part.get_name() != "help") {
        clap_mangen::Man::new(part.clone()).title(format!("fqdnc-{}", part.get_name())).render(&mut io::stdout())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn print_schema(name: &str) -> Outcome {
    match schema::all().into_iter().find(|(known, _)| *known == name) {
        Some((_, schema)) => {
            let text = serde_json::to_string_pretty(&schema).map_err(|e| Failure(e.to_string()))?;
            writeln!(io::stdout(), "{text}")?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let known: Vec<&str> = schema::all().into_iter().map(|(known, _)| known).collect();
            Err(Failure(format!("no schema `{}`; there are: {}", name.escape_default(), known.join(", "))))
        }
    }
}

pub(crate) fn explain(code: &str) -> Outcome {
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
