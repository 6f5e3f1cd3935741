//! Versions of Weaviate, as far as something depends on them.

use std::fmt;

/// A version of a Weaviate server.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ServerVersion {
    /// 1 since 2021.
    pub major: u32,
    /// What features depend on.
    pub minor: u32,
    /// The bug fixes.
    pub patch: u32,
}

impl ServerVersion {
    /// The first version of a minor line.
    pub const fn minor(minor: u32) -> Self {
        Self { major: 1, minor, patch: 0 }
    }

    /// Reads `1.38.2`, also with a `v` before it and with a suffix such as `-rc.0` behind it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.trim().trim_start_matches('v').split(['-', '+']).next()?;
        let mut numbers = core.split('.').map(str::parse::<u32>);
        let (major, minor, patch) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        numbers.next().is_none().then_some(Self { major, minor, patch })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let version = ServerVersion::parse("1.38.2").unwrap();
        assert_eq!(version.to_string(), "1.38.2");
        assert!(ServerVersion::parse("v1.32.0-rc.1").unwrap() < version);
        assert!(version > ServerVersion::minor(38) && version < ServerVersion::minor(39));
        for text in ["", "1.38", "1.x.2", "1.38.2.1", "latest"] {
            assert_eq!(ServerVersion::parse(text), None, "{text}");
        }
    }
}
