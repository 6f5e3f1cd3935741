//! Commands for working on this repository: `cargo xtask COMMAND`.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a command tells what it does and why it failed")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod alerts;
mod bench;
mod codegen;
mod demo;
mod dependencies;
mod deploy;
mod e2e;
mod ground;
mod judge;
mod lab;
mod soak;
mod test;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Commands for working on this repository", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings up a real Kubernetes node on this machine, or says that it is up already
    Up(ground::UpArguments),
    /// Takes it down again and proves that nothing is left
    Down,
    /// Builds the operator's image from the working tree and installs it
    Deploy(deploy::DeployArguments),
    /// Brings everything up, installs the operator and the examples, and shows what to try
    Demo(demo::DemoArguments),
    /// Runs every check and test but soak
    Test,
    /// Evaluates the chart's alerts by Prometheus' own engine, and has it read the dashboards' expressions
    Alerts,
    /// Shows every set of conditions that the unit tests made to kstatus and to Argo CD's health check
    Judge,
    /// Runs journeys against the running ground
    E2e(e2e::E2eArguments),
    /// Real Weaviate servers without Kubernetes: a lab that stays until it is taken down
    Lab(lab::LabArguments),
    /// Writes what is generated from the kinds
    Codegen(codegen::CodegenArguments),
    /// Measures, side by side
    Bench(bench::BenchArguments),
    /// Runs one of the long tests
    Soak(soak::SoakArguments),
}

/// A failure is told as its chain of causes: nobody who waits for a cluster wants the backtrace of a command.
fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Up(arguments) => ground::up(arguments),
        Command::Down => ground::down(),
        Command::Deploy(arguments) => deploy::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Test => test::run(),
        Command::Alerts => alerts::run(&elysia_e2e::ground::Paths::from_environment()),
        Command::Judge => judge::run(&elysia_e2e::ground::Paths::from_environment()),
        Command::E2e(arguments) => e2e::run(arguments),
        Command::Lab(arguments) => lab::run(arguments),
        Command::Codegen(arguments) => codegen::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Soak(arguments) => soak::run(arguments),
    }
}
