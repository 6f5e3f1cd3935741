//! Logs as JSON lines on standard error, or as text where a person looks on.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The variable that sets the level, e.g. `info` or `elysia_operator=debug,info`.
pub const LEVEL_VARIABLE: &str = "ELYSIA_LOG";

/// Starts logging. `info` unless [`LEVEL_VARIABLE`] says otherwise.
pub fn start() {
    let filter = EnvFilter::try_from_env(LEVEL_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call, as tests make it, is refused and harmless.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_ansi(std::env::var_os("NO_COLOR").is_none()).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
