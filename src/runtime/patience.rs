//! How long somebody else's answer is waited for.

use std::time::Duration;

use elysia_weaviate::ClientOptions;
use url::Url;

/// What tests wait for an answer. They ask fakes of their own process, and a machine that is busy, or stands still for a
/// while, must not make a lost answer of a late one. A test of what is lost has a fake refuse, or says its own time.
const IN_TESTS: Duration = Duration::from_secs(3600);

/// This long; in tests as good as for ever.
pub const fn patience(time: Duration) -> Duration {
    if cfg!(test) { IN_TESTS } else { time }
}

/// A client's options with the usual patience.
pub fn options(rest: Url) -> ClientOptions {
    let options = ClientOptions::new(rest);
    ClientOptions {
        call_timeout: patience(options.call_timeout),
        connect_timeout: patience(options.connect_timeout),
        ..options
    }
}
