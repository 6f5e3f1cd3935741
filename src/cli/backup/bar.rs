//! How far it is: a bar on a terminal, a line now and then in a log.

use std::convert::Infallible;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::cli::printer::Printer;

/// Between two looks at the numbers.
const LOOK: Duration = Duration::from_millis(200);
/// Between two lines where nothing can be drawn over.
const TOLD_EACH: Duration = Duration::from_secs(10);

/// Numbers that grow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Of these the bar is drawn.
    pub(super) units: u64,
    /// Bytes, where they are counted.
    pub(super) bytes: Option<u64>,
}

/// Shows them until it is dropped. `all`: as many units as there will be, where that is known.
pub(super) async fn show(unit: &str, all: Option<u64>, look: impl Fn() -> Done, printer: Printer) -> Infallible {
    let begun = Timestamp::now();
    let bar = bar(all);
    let mut told = Instant::now();
    loop {
        let Done { units, bytes } = look();
        let seconds = Timestamp::now().duration_since(begun).as_secs_f64().max(0.001);
        let rate = f64::from(u32::try_from(units).unwrap_or(u32::MAX)) / seconds;
        let bytes = bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
        bar.set_position(units);
        let text = format!("{units} {unit}{bytes}, {rate:.0} {unit}/s");
        if bar.is_hidden() && told.elapsed() >= TOLD_EACH {
            printer.note(&format!("{text}\n"));
            told = Instant::now();
        }
        bar.set_message(text);
        tokio::time::sleep(LOOK).await;
    }
}

pub(in crate::cli) fn bar(all: Option<u64>) -> ProgressBar {
    let (bar, template) = match all.filter(|all| *all > 0) {
        Some(all) => (ProgressBar::new(all), "{bar:30} {msg}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    // A template that does not parse would only look plainer.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    const STEP: u64 = 1024;
    let mut unit = 1_u64;
    for name in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if bytes < unit.saturating_mul(STEP) || name == "TiB" {
            if unit == 1 {
                return format!("{bytes} {name}");
            }
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        unit = unit.saturating_mul(STEP);
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, wanted) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (u64::MAX, "16777215.9 TiB")]
        {
            assert_eq!(size(bytes), wanted);
        }
    }
}
