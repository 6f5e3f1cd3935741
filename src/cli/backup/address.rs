//! How a person writes down where runs lie.

use std::path::PathBuf;

use crate::cli::session::Stop;

/// What an address of Azure begins with.
pub(super) const AZURE: &str = "az://";

/// A place, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `s3://BUCKET/PREFIX`
    S3 { bucket: String, prefix: String },
    /// `gs://BUCKET/PREFIX`
    Gcs { bucket: String, prefix: String },
    /// `az://CONTAINER/PREFIX`
    Azure { container: String, prefix: String },
    /// Anything else.
    Directory(PathBuf),
}

impl Address {
    /// Reads one; the error says what there is.
    pub(super) fn parse(place: &str) -> Result<Self, Stop> {
        let Some((scheme, below)) = place.split_once("://") else { return Ok(Self::Directory(PathBuf::from(place))) };
        let (first, prefix) = below.split_once('/').unwrap_or((below, ""));
        let [first, prefix] = [first, prefix.trim_matches('/')].map(str::to_owned);
        let (address, what, whole) = match scheme {
            "s3" => (Self::S3 { bucket: first.clone(), prefix }, "bucket", "s3://BUCKET/PREFIX"),
            "gs" => (Self::Gcs { bucket: first.clone(), prefix }, "bucket", "gs://BUCKET/PREFIX"),
            "az" => (Self::Azure { container: first.clone(), prefix }, "container", "az://CONTAINER/PREFIX"),
            _ => {
                return Err(Stop::usage(format!(
                    "{scheme}:// is not known: write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, or a directory"
                )));
            }
        };
        if first.is_empty() {
            return Err(Stop::usage(format!("{place} names no {what}: write {whole}")));
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_elsewhere() {
        let text = |text: &str| text.to_owned();
        for (place, wanted) in [
            ("s3://b", Address::S3 { bucket: text("b"), prefix: text("") }),
            ("gs://b/p/q/", Address::Gcs { bucket: text("b"), prefix: text("p/q") }),
            ("az://c//p", Address::Azure { container: text("c"), prefix: text("p") }),
            ("backups/gs", Address::Directory(PathBuf::from("backups/gs"))),
        ] {
            assert_eq!(Address::parse(place).ok(), Some(wanted), "{place}");
        }
        for place in ["gs:///p", "az://", "azure://c/p", "file:///backups"] {
            assert!(Address::parse(place).is_err(), "{place}");
        }
    }
}
