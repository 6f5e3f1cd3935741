//! Programs as child processes that do not outlive the process that wanted them.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};
use std::thread;

use anyhow::{Context, Result};

use crate::ground::program;

/// A command that becomes this program, which the kernel ends when we end, however that happens. To be started by
/// [`spawn`] and no other way.
pub(crate) fn tied(binary: &Path) -> Command {
    let mut command = Command::new(program("setpriv"));
    command.args(["--pdeathsig", "KILL"]).arg(binary);
    command
}

/// A command that becomes this program, in a session of its own: it outlives us.
pub(crate) fn free(binary: &Path) -> Command {
    let mut command = Command::new(program("setsid"));
    command.arg(binary);
    command
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts a command from one thread that lives as long as this process. `setpriv --pdeathsig` has the kernel end a
/// child with the *thread* that started it, and a test's thread, or an idle one of a runtime, ends long before.
pub(crate) fn spawn(command: Command) -> Result<Child> {
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let shown = command.get_program().display().to_string();
    let starter = STARTER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in taken {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = mpsc::channel();
    starter.send((command, answer)).ok().context("the thread that starts servers has ended")?;
    child
        .recv()
        .context("the thread that starts servers has ended")?
        .with_context(|| format!("failed to start {shown}"))
}
