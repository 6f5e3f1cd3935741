//! `lab`: real Weaviate servers without Kubernetes, for people. Tests start their own, which end with them.

use anyhow::Result;
use clap::{Args, Subcommand};
use elysia_e2e::ground::DEFAULT_WEAVIATE;
use elysia_e2e::servers::{LabRecord, ServersOptions, down, labs, up};

#[derive(Args)]
pub(crate) struct LabArguments {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Subcommand)]
enum LabCommand {
    /// Starts a lab and returns when its servers are ready
    Up {
        /// How `down` finds it; as many labs as there are names
        #[arg(long, default_value = "lab")]
        name: String,
        /// Version of Weaviate; any from 1.31 on
        #[arg(long, default_value = DEFAULT_WEAVIATE)]
        weaviate: String,
        /// Servers
        #[arg(long, default_value_t = 3)]
        nodes: usize,
    },
    /// Ends a lab and removes its data
    Down {
        /// Name that it was given
        #[arg(long, default_value = "lab")]
        name: String,
    },
    /// Shows the labs of this checkout
    List,
}

pub(crate) fn run(arguments: &LabArguments) -> Result<()> {
    match &arguments.command {
        LabCommand::Up { name, weaviate, nodes } => {
            let options = ServersOptions { version: weaviate.clone(), nodes: *nodes, ..ServersOptions::default() };
            show(&up(name, options)?);
        }
        LabCommand::Down { name } => down(name)?,
        LabCommand::List => {
            let labs = labs()?;
            labs.iter().for_each(show);
            if labs.is_empty() {
                println!("no lab is up: `cargo xtask lab up` starts one");
            }
        }
    }
    Ok(())
}

fn show(lab: &LabRecord) {
    println!("{}: Weaviate {}", lab.name, lab.version);
    for node in &lab.nodes {
        let state = if node.is_alive() { format!("process {}", node.pid()) } else { "ended".to_owned() };
        println!("  {}  {}  gRPC {}  between nodes {}  {state}", node.name, node.rest, node.grpc, node.data);
    }
    println!("  settings while running {}, logs {}", lab.overrides.display(), lab.logs.display());
}
