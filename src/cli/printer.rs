//! The only place that prints: data on stdout, everything else on stderr, colours where they are wanted.

use std::io::{self, IsTerminal as _, Write};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};

use super::Color;

/// Good.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Known to be bad.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Not known, or worth knowing.
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
/// What to do next.
pub(super) const ADVICE: Style = AnsiColor::Cyan.on_default().bold();
/// Headings.
pub(super) const HEADING: Style = Style::new().bold();

/// The text in a style. The printer takes the style away again where it is not wanted.
pub(super) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// What others wrote, safe for a terminal: without line breaks and without escape sequences.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Writes to stdout and stderr.
///
/// A reader that went away is no error: the exit code stays what the command found, so that `health | head` cannot
/// turn a fault into a success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    color: ColorChoice,
}

impl Printer {
    /// `--color` outranks `NO_COLOR`, which outranks the terminal.
    pub(super) fn new(color: Color) -> Self {
        let color = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self { color }
    }

    /// Prints what was asked for.
    pub(super) fn data(self, text: &str) -> io::Result<()> {
        unless_gone(self.write_data(text)).map(drop)
    }

    /// Prints one of many; false when nobody reads any more.
    pub(super) fn block(self, text: &str) -> io::Result<bool> {
        unless_gone(self.write_data(text))
    }

    /// Prints over what stands on the terminal; false when nobody reads any more.
    pub(super) fn redraw(self, text: &str) -> io::Result<bool> {
        unless_gone(self.write_over(text))
    }

    /// Prints what is not data.
    pub(super) fn note(self, text: &str) {
        let mut stream = AutoStream::new(io::stderr().lock(), self.color);
        // Nowhere is left to complain about a closed stderr.
        stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).ok();
    }

    /// Prints why something could not be done.
    pub(super) fn complain(self, message: &str) {
        self.note(&format!("{}: {}\n", paint(BAD, "error"), plain(message)));
    }

    fn write_data(self, text: &str) -> io::Result<()> {
        let mut stream = AutoStream::new(io::stdout().lock(), self.color);
        stream.write_all(text.as_bytes())?;
        stream.flush()
    }

    fn write_over(self, text: &str) -> io::Result<()> {
        const HOME: &[u8] = b"\x1b[H";
        const CLEAR_REST_OF_SCREEN: &[u8] = b"\x1b[J";
        const CLEAR_REST_OF_LINE: &str = "\x1b[K\n";
        let choice = match self.color {
            ColorChoice::Auto => AutoStream::choice(&io::stdout()),
            chosen => chosen,
        };
        let mut inked = AutoStream::new(Vec::new(), choice);
        inked.write_all(text.as_bytes())?;
        let inked = String::from_utf8_lossy(&inked.into_inner()).replace('\n', CLEAR_REST_OF_LINE);
        let mut stream = io::stdout().lock();
        stream.write_all(HOME)?;
        stream.write_all(inked.as_bytes())?;
        stream.write_all(CLEAR_REST_OF_SCREEN)?;
        stream.flush()
    }
}

/// Whether a person watches on something that can be drawn over.
pub(super) fn can_redraw() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

fn unless_gone(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
