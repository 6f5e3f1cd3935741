//! `test`: every check and test but soak, on a ground of its own.

use anyhow::{Result, bail};

pub(crate) fn run() -> Result<()> {
    bail!("not built yet")
}
