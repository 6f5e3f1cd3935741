//! A part whose objects are compared with the digest that the index has of them, before one of them is handed out.
//!
//! Its bytes have their hash, and that says nothing about who wrote them: whoever exchanges two vectors can make every hash
//! right again, and verification finds it by the digests. So does a restore.

use std::sync::Arc;

use bytes::Bytes;

use crate::backup::columns::Columns;
use crate::backup::manifest::{DataFormat, Part};
use crate::backup::part::{DecodeError, Groups, open};
use crate::backup::tally::Tally;
use crate::backup::verify::Fault;
use crate::object::Object;

/// Objects of a part that are kept for being written, instead of being decoded once more: nearly every part of
/// [`crate::backup::part::PART_BYTES`] has fewer, and a worker has room for them.
const HELD_BYTES: usize = 64 << 20;

/// Why nothing of a part is handed out.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It cannot be decoded.
    Undecodable(DecodeError),
    /// It holds something else than the index says.
    Fault(Fault),
}

/// The objects of a part whose bytes have their hash.
pub(super) fn checked(bytes: Bytes, data: DataFormat, columns: &Arc<Columns>, part: &Part) -> Result<Groups, Unfit> {
    holding(bytes, data, columns, part, HELD_BYTES)
}

fn holding(bytes: Bytes, data: DataFormat, columns: &Arc<Columns>, part: &Part, most: usize) -> Result<Groups, Unfit> {
    let mut tally = Tally::of(part);
    let (mut held, mut size) = (Vec::new(), 0);
    for group in open(bytes.clone(), data, columns).map_err(Unfit::Undecodable)? {
        let group = group.map_err(Unfit::Undecodable)?;
        tally.add(&group, |_, _| {}).map_err(Unfit::Fault)?;
        size += group.iter().map(Object::bytes).sum::<usize>();
        if size <= most {
            held.push(group);
        } else {
            held.clear();
        }
    }
    tally.end().map_err(Unfit::Fault)?;
    if size <= most {
        return Ok(Box::new(held.into_iter().map(Ok)));
    }
    open(bytes, data, columns).map_err(Unfit::Undecodable)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::backup::manifest::FileNote;
    use crate::backup::part::PartWriter;
    use crate::checkpoint::Digest;
    use crate::object::Vector;

    #[test]
    fn what_is_too_much_to_hold_is_decoded_again() {
        let class = json!({
            "class": "A", "properties": [{"name": "text", "dataType": ["text"]}],
            "vectorConfig": {"v": {"vectorizer": {"none": {}}}},
        });
        let columns = Arc::new(Columns::of_class(&class).unwrap());
        let object = |number: u128| Object {
            id: Uuid::from_u128(number),
            properties: json!({"text": format!("number {number}")}).as_object().unwrap().clone(),
            vectors: [("v".to_owned(), Vector::Single(vec![0.5; 8]))].into(),
        };
        let all: Vec<Object> = (1..=3000).map(object).collect();
        for data in [DataFormat::Parquet, DataFormat::JsonlZstd] {
            let mut writer = PartWriter::new(data, &columns).unwrap();
            for object in &all {
                writer.push(object.clone()).unwrap();
            }
            let done = writer.finish().unwrap().unwrap();
            let sha256 = Digest::of(&done.bytes);
            let file = FileNote { key: "p".to_owned(), bytes: done.bytes.len() as u64, sha256 };
            let mut part = Part { tenant: None, file, contents: done.contents, first: done.first, last: done.last };
            let bytes = Bytes::from(done.bytes);
            for most in [HELD_BYTES, 1000, 0] {
                let groups =
                    holding(bytes.clone(), data, &columns, &part, most).unwrap_or_else(|unfit| panic!("{unfit:?}"));
                let found: Vec<Object> = groups.flat_map(Result::unwrap).collect();
                assert!(found == all, "{data:?} {most}");
            }
            part.contents.objects += 1;
            let unfit = checked(bytes, data, &columns, &part).err().unwrap();
            assert!(matches!(unfit, Unfit::Fault(Fault::Count { wanted: 3001, found: 3000, .. })), "{unfit:?}");
        }
    }
}
