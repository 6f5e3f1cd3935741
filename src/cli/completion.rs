//! `kubectl elysia completion SHELL`.

use std::io;

use clap::Command;
use clap_complete::Shell;

use super::Exit;
use super::printer::Printer;

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionArgs, command: &mut Command, printer: Printer) -> io::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "kubectl-elysia", &mut script);
    printer.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Healthy)
}
