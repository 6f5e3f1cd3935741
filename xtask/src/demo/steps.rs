//! What a person reads while it goes on.

use std::time::Instant;

use elysia_e2e::ground::{elapsed, say};

/// Numbered steps, each with its time.
pub(super) struct Steps {
    count: usize,
    begun: usize,
    started: Instant,
    step_started: Instant,
}

impl Steps {
    pub(super) fn new(count: usize) -> Self {
        Self { count, begun: 0, started: Instant::now(), step_started: Instant::now() }
    }

    pub(super) fn begin(&mut self, title: &str) {
        self.finish();
        self.begun += 1;
        self.step_started = Instant::now();
        say(format!("\n{}/{} {title} …", self.begun, self.count));
    }

    pub(super) fn end(&mut self) {
        self.finish();
        say(format!("\nall of it took {}", elapsed(self.started)));
    }

    fn finish(&self) {
        if self.begun > 0 {
            tell(format!("({})", elapsed(self.step_started)));
        }
    }
}

/// Says one thing that belongs to the present step.
pub(super) fn tell(text: impl AsRef<str>) {
    for line in text.as_ref().lines() {
        say(format!("    {line}").trim_end());
    }
}
