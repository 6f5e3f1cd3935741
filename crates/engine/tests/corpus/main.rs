//! What is fuzzed, over the corpus that is kept: what was found once is found again, without a fuzzer.

#[path = "../../../../fuzz/src/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::Path;

/// Bytes of all seeds together: they are in the repository for ever.
const MOST_BYTES: u64 = 1 << 20;

#[test]
fn nothing_is_wrong_with_what_was_kept() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut bytes = 0;
    for (name, _) in targets::TARGETS {
        let check = targets::find(name).expect("a target of this name");
        let mut seeds = 0;
        for entry in fs::read_dir(corpus.join(name)).expect("a folder for each target") {
            let path = entry.expect("an entry").path();
            let seed = fs::read(&path).expect("a seed");
            bytes += seed.len() as u64;
            seeds += 1;
            println!("{}", path.display());
            check(&seed);
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
    assert!(bytes <= MOST_BYTES, "{bytes} bytes: minimise the corpus");
}
