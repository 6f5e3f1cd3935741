//! Whether there is room for a run, looked at before it begins: half a run helps nobody, and a volume that is full keeps
//! retention and other policies from writing as well. Pure: numbers go in.

/// Of a hundred bytes that the last run took, so many more are asked for: collections grow, and few by a fifth in a night.
const MARGIN_PERCENT: u64 = 20;

/// Of a hundred bytes of float32 that nobody has compressed yet, so many are asked for. Embeddings come down to some
/// 85, and nothing that would have fitted may be refused.
const COUNTED_PERCENT: u64 = 50;

/// What is asked for beside the parts: indexes, manifest, notes and the ends of blocks.
const SPARE: u64 = 16 << 20;

/// What is known of the size of a run that is to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Size {
    /// The last run that held the same took so many bytes.
    Last(u64),
    /// There was none; the vectors of its objects are so many bytes.
    Vectors(u64),
    /// Nothing is known.
    Unknown,
}

/// Whether there is room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Room {
    /// As far as anybody knows.
    Enough,
    /// Nobody can tell, and this says so.
    Unknown(String),
    /// There is not, and this says so with the numbers.
    Short(String),
}

/// Judges by what is free.
pub fn judge(free: u64, size: Size) -> Room {
    let (needed, why) = match size {
        Size::Last(bytes) => (
            percent(bytes, 100 + MARGIN_PERCENT),
            format!("the last one that held the same took {}, and {MARGIN_PERCENT} % more are asked for", told(bytes)),
        ),
        Size::Vectors(bytes) => (
            percent(bytes, COUNTED_PERCENT),
            format!("the vectors that the servers count are {}, and half of that is asked for", told(bytes)),
        ),
        Size::Unknown => {
            let free = told(free);
            return Room::Unknown(format!("nobody knows how large the run will be; the volume has {free} free"));
        }
    };
    let needed = needed.saturating_add(SPARE);
    if free >= needed {
        return Room::Enough;
    }
    Room::Short(format!(
        "no room for a run: the volume has {} free, and it would take {}: {why}. Nothing was written",
        told(free),
        told(needed)
    ))
}

fn percent(bytes: u64, percent: u64) -> u64 {
    let product = u128::from(bytes) * u128::from(percent) / 100;
    u64::try_from(product).unwrap_or(u64::MAX)
}

/// For people: `3 MiB`, `1.5 GiB`.
fn told(bytes: u64) -> String {
    const GIBIBYTE: u64 = 1 << 30;
    if bytes < GIBIBYTE {
        return format!("{} MiB", bytes >> 20);
    }
    format!("{}.{} GiB", bytes / GIBIBYTE, bytes % GIBIBYTE * 10 / GIBIBYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn room_is_what_the_last_run_took_and_a_fifth() {
        for (free, size, is_enough) in [
            (136 * MIB, Size::Last(100 * MIB), true),
            (136 * MIB - 1, Size::Last(100 * MIB), false),
            (16 * MIB, Size::Last(0), true),
            (0, Size::Last(0), false),
            (66 * MIB, Size::Vectors(100 * MIB), true),
            (65 * MIB, Size::Vectors(100 * MIB), false),
            (u64::MAX, Size::Last(u64::MAX), true),
        ] {
            assert_eq!(judge(free, size) == Room::Enough, is_enough, "{free} {size:?}");
        }
        assert!(matches!(judge(0, Size::Unknown), Room::Unknown(_)), "what is not known keeps nobody");
    }

    #[test]
    fn the_numbers_are_told() {
        let Room::Short(said) = judge(3 << 30, Size::Last(5 << 30)) else { panic!("it fits") };
        assert_eq!(
            said,
            "no room for a run: the volume has 3.0 GiB free, and it would take 6.0 GiB: the last one that held the same \
             took 5.0 GiB, and 20 % more are asked for. Nothing was written"
        );
        let Room::Short(said) = judge(MIB, Size::Vectors(100 * MIB)) else { panic!("it fits") };
        assert!(said.contains("has 1 MiB free, and it would take 66 MiB: the vectors"), "{said}");
    }
}
