//! What scripts may say, and how much they may do: the language and its bounds.
//!
//! What a script makes of an object must be the same wherever and whenever it is run: a copy compares what it makes of the
//! source with what another worker made of it an hour before. So there is nothing in the language that looks outside, and
//! nothing whose last digit depends on the machine, as that of a logarithm does. Maps are sorted by key.

use std::cell::Cell;
use std::sync::LazyLock;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine};

/// Name of the object's properties in a script.
pub(super) const OBJECT: &str = "object";
/// Name of the object's id.
pub(super) const ID: &str = "id";
/// Name of its tenant.
pub(super) const TENANT: &str = "tenant";

/// Steps of a script for one object: a text of a hundred thousand letters can be gone through letter by letter, and a loop
/// without an end ends within a second.
pub(super) const MOST_OPERATIONS: u64 = 1_000_000;
/// Functions that are inside one another: recursion over values that are nested is shallow, and each level takes stack.
pub(super) const MOST_CALLS: usize = 32;
/// Expressions inside one another, and those in functions: what people write stays below, and each level takes stack.
const MOST_EXPRESSIONS: (usize, usize) = (64, 32);
/// Variables at a time: more than a script has that can be read, and few enough that each may hold the longest text.
const MOST_VARIABLES: usize = 64;
/// Functions of a script.
const MOST_FUNCTIONS: usize = 64;
/// Bytes of all texts in one value, so of an object as well: far longer than what is searched for, and a worker has memory
/// for some of them.
pub(super) const LONGEST_TEXT: usize = 16 << 20;
/// Values in all lists, or in all maps, of one value: they may be nested as deep as they are many, and each level takes stack.
pub(super) const MOST_VALUES: usize = 10_000;
/// Stack of a thread that runs scripts: values that are nested in [`MOST_VALUES`] levels are gone through and given back
/// with a kilobyte of stack for each. Only what is used of it takes memory.
const STACK: usize = 64 << 20;

/// What can be called, beside what a script defines. What there is beyond it in the crate is not here because it looks at the
/// machine or the clock, prints, or gives other last digits on other machines.
const FUNCTIONS: &[&str] = &[
    "abs",
    "all",
    "append",
    "bytes",
    "call",
    "ceiling",
    "chars",
    "chop",
    "clear",
    "contains",
    "crop",
    "curry",
    "dedup",
    "drain",
    "end",
    "ends_with",
    "extract",
    "fill_with",
    "filter",
    "find",
    "find_map",
    "floor",
    "for_each",
    "fraction",
    "get",
    "index_of",
    "insert",
    "int",
    "is_empty",
    "is_even",
    "is_exclusive",
    "is_finite",
    "is_inclusive",
    "is_infinite",
    "is_nan",
    "is_odd",
    "is_zero",
    "keys",
    "len",
    "make_lower",
    "make_upper",
    "map",
    "max",
    "min",
    "mixin",
    "order",
    "order_desc",
    "pad",
    "parse_float",
    "parse_int",
    "pop",
    "push",
    "range",
    "reduce",
    "reduce_rev",
    "remove",
    "replace",
    "retain",
    "reverse",
    "round",
    "set",
    "shift",
    "sign",
    "some",
    "sort",
    "sort_desc",
    "splice",
    "split",
    "split_rev",
    "sqrt",
    "start",
    "starts_with",
    "sub_string",
    "to_binary",
    "to_chars",
    "to_float",
    "to_hex",
    "to_int",
    "to_json",
    "to_lower",
    "to_octal",
    "to_string",
    "to_upper",
    "trim",
    "truncate",
    "type_of",
    "values",
    "zip",
];

/// What is no word of the language here: text that is run as a script, functions named by a text, which nobody can look
/// through before, and powers, whose last digit depends on the machine.
const DISABLED: [&str; 4] = ["eval", "Fn", "**", "**="];

/// Seeds of the hashes by which functions are found; any will do, as long as each process has the same.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

thread_local! {
    /// Steps of the script that this thread runs. The crate counts those of a function that is given to another one anew
    /// for each call.
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The one language of all scripts.
pub(super) static LANGUAGE: LazyLock<Engine> = LazyLock::new(language);

fn language() -> Engine {
    // Fails where somebody set them before, and nobody else does.
    rhai::config::hashing::set_hashing_seed(Some(SEEDS)).ok();
    let mut engine = Engine::new_raw();
    // Without the core of the language, which sleeps and exits, and without clock and bytes.
    engine
        .register_global_module(ArithmeticPackage::new().as_shared_module())
        .register_global_module(BasicStringPackage::new().as_shared_module())
        .register_global_module(BasicIteratorPackage::new().as_shared_module())
        .register_global_module(BasicFnPackage::new().as_shared_module())
        .register_global_module(LogicPackage::new().as_shared_module())
        .register_global_module(BasicMathPackage::new().as_shared_module())
        .register_global_module(BasicArrayPackage::new().as_shared_module())
        .register_global_module(BasicMapPackage::new().as_shared_module())
        .register_global_module(MoreStringPackage::new().as_shared_module());
    for word in DISABLED {
        engine.disable_symbol(word);
    }
    engine
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_max_operations(MOST_OPERATIONS)
        .set_max_call_levels(MOST_CALLS)
        .set_max_expr_depths(MOST_EXPRESSIONS.0, MOST_EXPRESSIONS.1)
        .set_max_variables(MOST_VARIABLES)
        .set_max_functions(MOST_FUNCTIONS)
        .set_max_string_size(LONGEST_TEXT)
        .set_max_array_size(MOST_VALUES)
        .set_max_map_size(MOST_VALUES)
        .on_progress(|_| is_over().then_some(Dynamic::UNIT));
    engine
}

/// Counts one step; whether they were too many.
fn is_over() -> bool {
    OPERATIONS.with(|operations| {
        operations.set(operations.get() + 1);
        operations.get() > MOST_OPERATIONS
    })
}

/// A script begins on this thread.
pub(super) fn begin() {
    OPERATIONS.with(|operations| operations.set(0));
}

/// Whether there is a function of this name. Sorting by a function of the script's own is not offered: what is done when that
/// one fails depends on how the program was built.
pub(super) fn is_function(name: &str, arguments: usize) -> bool {
    FUNCTIONS.contains(&name) && (arguments == 0 || !matches!(name, "sort" | "order"))
}

/// Runs what runs scripts on a thread with as much stack as they may take.
pub(in crate::backup::transform) fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        // The runtime gives each of these pages a thread as well, and ends likewise where the machine has none.
        let thread = thread.expect("the machine has a thread more");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
