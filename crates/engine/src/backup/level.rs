//! How hard parts are compressed.

use serde::{Deserialize, Serialize};

use super::manifest::DataFormat;

/// What is written unless something else is asked for: higher levels of zstd take several times as long for some percent,
/// and of vectors they save nothing.
pub(super) const ZSTD_USUAL: u8 = 3;

/// The same for gzip: its own middle.
const GZIP_USUAL: u8 = 6;

/// Parts of a stretch that are few enough to be compressed harder when the level follows the size.
const FEW_PARTS: usize = 1;

/// From this part of a stretch on, 2 GiB for a lane, time counts for more than some percent.
const MANY_PARTS: usize = 64;

/// How hard parts are compressed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Level {
    /// As is usual for the format: zstd 3, gzip 6.
    #[default]
    Usual,
    /// By size: what is small harder, what goes on and on faster.
    Auto,
    /// This one: 1 to 19 of zstd, 1 to 9 of gzip. lz4 has none.
    At(u8),
}

/// A level that the format does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("level {asked} is none of this format: it has {}", if *.most == 0 { "no levels".to_owned() } else { format!("1 to {most}") })]
pub struct NoLevel {
    asked: u8,
    most: u8,
}

impl Level {
    /// Whether the format has it.
    pub fn check(self, data: DataFormat) -> Result<(), NoLevel> {
        let most = match data {
            // Beyond 19 a reader needs more memory than ours allows.
            DataFormat::Parquet | DataFormat::JsonlZstd => 19,
            DataFormat::JsonlGzip => 9,
            DataFormat::JsonlLz4 | DataFormat::Native => 0,
        };
        match self {
            Self::At(asked) if !(1..=most).contains(&asked) => Err(NoLevel { asked, most }),
            Self::Usual | Self::Auto | Self::At(_) => Ok(()),
        }
    }

    /// The level of a part, from its number in its stretch.
    pub(super) fn of(self, data: DataFormat, number: usize) -> u8 {
        let (hard, usual, fast) = match data {
            DataFormat::Parquet | DataFormat::JsonlZstd => (9, ZSTD_USUAL, 1),
            DataFormat::JsonlGzip => (9, GZIP_USUAL, 1),
            DataFormat::JsonlLz4 | DataFormat::Native => (0, 0, 0),
        };
        match self {
            Self::At(level) => level,
            Self::Usual => usual,
            Self::Auto if number < FEW_PARTS => hard,
            Self::Auto if number < MANY_PARTS => usual,
            Self::Auto => fast,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_formats() {
        for (data, level, is_one) in [
            (DataFormat::Parquet, Level::At(19), true),
            (DataFormat::Parquet, Level::At(20), false),
            (DataFormat::JsonlGzip, Level::At(9), true),
            (DataFormat::JsonlGzip, Level::At(10), false),
            (DataFormat::JsonlZstd, Level::At(0), false),
            (DataFormat::JsonlLz4, Level::At(1), false),
            (DataFormat::JsonlLz4, Level::Auto, true),
        ] {
            assert_eq!(level.check(data).is_ok(), is_one, "{data:?} {level:?}");
        }
        assert!(Level::At(1).check(DataFormat::JsonlLz4).unwrap_err().to_string().contains("no levels"));
        let auto = |number| Level::Auto.of(DataFormat::Parquet, number);
        assert_eq!((auto(0), auto(1), auto(63), auto(64)), (9, 3, 3, 1));
        assert_eq!((Level::Usual.of(DataFormat::Parquet, 0), Level::At(5).of(DataFormat::JsonlGzip, 99)), (3, 5));
    }
}
