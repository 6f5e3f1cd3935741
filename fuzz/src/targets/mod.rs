//! What is fuzzed. A target takes any bytes and panics when something is wrong.

mod archive;
mod dice;
mod line;
mod lines;
mod resume;
mod tree;

/// Panics when something is wrong with these bytes.
pub(crate) type Target = fn(&[u8]);

/// All targets by their names, which are those of their folders in `fuzz/corpus`.
pub(crate) const TARGETS: [(&str, Target); 4] =
    [("archive", archive::check), ("line", line::check), ("lines", lines::check), ("resume", resume::check)];

/// The target of this name.
pub(crate) fn find(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|(known, _)| *known == name).map(|(_, target)| target)
}

/// Runs what waits for nobody else.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers").block_on(future)
}
