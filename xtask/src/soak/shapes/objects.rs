//! Objects with every type of property, with values at the edges of each, and vectors whose every bit counts. The same
//! number is always the same object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elysia_e2e::servers::object_id;
use serde_json::{Value, json};
use uuid::Uuid;

const TEXTS: [&str; 9] = [
    "plain",
    "",
    " blanks at both ends ",
    "a\nb\tc\r\n",
    "\"quoted\" \\ and 'so'",
    "ünïcödé, e\u{301}, 漢字, עברית, 🦀👩‍👩‍👧",
    "\u{2028}\u{2029}\u{feff}\u{7f}\u{1}",
    "<script>&amp;</script>",
    "null",
];
/// Each at an edge of what a double, or its way through JSON, can be.
const NUMBERS: [f64; 12] = [
    0.0,
    -0.0,
    0.1,
    0.300_000_000_000_000_04,
    1.0 / 3.0,
    -1.5e-300,
    f64::MAX,
    f64::MIN_POSITIVE,
    5e-324,
    123_456_789.123_456_79,
    1e21,
    9_007_199_254_740_993.0,
];
/// Whole numbers that a double holds, as the servers keep every number.
const INTEGERS: [i64; 8] =
    [0, -1, 42, i32::MAX as i64, 9_007_199_254_740_991, -9_007_199_254_740_992, 1 << 62, 1_000_000_000_000_000_000];
const DATES: [&str; 7] = [
    "2024-02-29T12:34:56Z",
    "1969-12-31T23:59:59.999999999Z",
    "2038-01-19T03:14:07.5+05:30",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "2024-06-30T23:59:59.123456-11:00",
    "1883-11-18T12:03:58.000001Z",
];
const PHONES: [(&str, &str); 3] = [("+49 171 1234567", ""), ("020 7946 0958", "gb"), ("555-0100", "us")];
/// Of a vector: signed zero, the least, the least in full, what no integer above it follows, and what decimals cannot say.
const FLOATS: [f32; 8] = [-0.0, 1e-45, f32::MIN_POSITIVE, 16_777_216.0, 0.1, 1.0 / 3.0, -3.402_823e15, 1.000_000_1];

const SMALL: u32 = 24;
const WIDE: u32 = 96;
/// Numbers of each vector of a multi-vector.
const MANY: u32 = 8;

/// Every type; of some objects every property is null, of some none is there, and each vector is missing in some.
pub(super) fn everything(class: &str, number: u32) -> Value {
    let properties = match number % 16 {
        14 => json!({
            "title": null, "tags": null, "count": null, "ratio": null, "flag": null, "at": null, "key": null,
            "place": null, "phone": null, "picture": null, "detail": null, "details": null, "counts": null,
        }),
        15 => json!({}),
        _ => filled(number),
    };
    let mut vectors = json!({});
    if !number.is_multiple_of(7) {
        vectors["small"] = json!(vector(number, 1, SMALL));
    }
    if !number.is_multiple_of(5) {
        vectors["wide"] = json!(edged(number, WIDE));
    }
    if !number.is_multiple_of(3) {
        let lists = (0..=number % 4).map(|at| vector(number, 100 + at, MANY));
        vectors["many"] = json!(lists.collect::<Vec<_>>());
    }
    json!({"id": id(number), "class": class, "properties": properties, "vectors": vectors})
}

/// The vector without a name; a few have none.
pub(super) fn legacy(class: &str, number: u32) -> Value {
    let mut object = json!({"id": id(number), "class": class, "properties": {"title": pick(&TEXTS, number, 1)}});
    if !number.is_multiple_of(9) {
        object["vector"] = json!(edged(number, SMALL));
    }
    object
}

/// Both kinds of vectors, one of them, or none.
pub(super) fn mixed(class: &str, number: u32) -> Value {
    let mut object = json!({"id": id(number), "class": class, "properties": {"title": pick(&TEXTS, number, 1)}});
    if !number.is_multiple_of(3) {
        object["vector"] = json!(vector(number, 1, SMALL));
    }
    if !number.is_multiple_of(4) {
        object["vectors"] = json!({"added": vector(number, 2, MANY)});
    }
    object
}

/// Of a tenant: equal ids in every tenant, and unequal contents.
pub(super) fn tenanted(class: &str, tenant: &str, number: u32) -> Value {
    let salt = u32::from(tenant.bytes().next().unwrap_or_default());
    json!({
        "id": id(number), "class": class, "tenant": tenant,
        "properties": {"title": format!("{tenant} {number}"), "count": pick(&INTEGERS, number, salt)},
        "vectors": {"small": vector(number, salt, SMALL)},
    })
}

/// A text and a vector, for references to lead to.
pub(super) fn plain(class: &str, tenant: Option<&str>, number: u32) -> Value {
    let mut object = json!({
        "id": id(number), "class": class, "properties": {"title": pick(&TEXTS, number, 60)},
        "vectors": {"small": vector(number, 60, MANY)},
    });
    if let Some(tenant) = tenant {
        object["tenant"] = tenant.into();
    }
    object
}

fn filled(number: u32) -> Value {
    let (phone, country) = pick(&PHONES, number, 12);
    let mut properties = json!({
        "title": pick(&TEXTS, number, 1),
        "tags": some(&TEXTS, number, 2),
        "count": pick(&INTEGERS, number, 3),
        "counts": some(&INTEGERS, number, 4),
        "ratio": if number.is_multiple_of(2) { pick(&NUMBERS, number, 5) } else { double(number, 5) },
        "ratios": some(&NUMBERS, number, 6),
        "flag": number.is_multiple_of(2),
        "flags": some(&[true, false], number, 7),
        "at": pick(&DATES, number, 8),
        "dates": some(&DATES, number, 9),
        "key": key(number, 10),
        "keys": [key(number, 11), key(number, 12)],
        "place": {"latitude": vector(number, 13, 1)[0] * 90.0, "longitude": vector(number, 14, 1)[0] * 180.0},
        "picture": STANDARD.encode(bytes(number)),
        "detail": detail(number, 20),
        "details": (0..number % 3).map(|at| detail(number, 30 + at)).collect::<Vec<_>>(),
        "vector_small": "no vector",
    });
    // Without a country it has to begin with its own.
    properties["phone"] =
        if country.is_empty() { json!({"input": phone}) } else { json!({"input": phone, "defaultCountry": country}) };
    properties
}

fn detail(number: u32, salt: u32) -> Value {
    let mut detail = json!({
        "name": pick(&TEXTS, number, salt),
        "size": pick(&INTEGERS, number, salt + 1),
        "when": pick(&DATES, number, salt + 2),
        "ids": [key(number, salt + 3)],
    });
    if number.is_multiple_of(2) {
        detail["inner"] =
            json!({"weight": pick(&NUMBERS, number, salt + 4), "marks": some(&[true, false], number, salt)});
    }
    detail
}

/// Ids that are spread over every shard and stretch.
pub(super) fn id(number: u32) -> Uuid {
    key(number, 0)
}

fn key(number: u32, salt: u32) -> Uuid {
    Uuid::new_v5(&object_id(salt), &number.to_le_bytes())
}

fn bytes(number: u32) -> Vec<u8> {
    // An empty one is refused.
    (0..=number % 200).map(|at| mix(number, at).to_le_bytes()[0]).collect()
}

/// Floats from -1 to 1, of which every bit is used.
fn vector(number: u32, salt: u32, dimensions: u32) -> Vec<f32> {
    (0..dimensions).map(|at| (one_to_two(mix(number, (salt << 16) + at)) - 1.5) * 1.999_999).collect()
}

/// The same with floats among them that are at an edge of what one can be.
fn edged(number: u32, dimensions: u32) -> Vec<f32> {
    let mut vector = vector(number, 50, dimensions);
    if let Some(first) = vector.first_mut().filter(|_| number % 4 == 1) {
        *first = pick(&FLOATS, number, 51);
    }
    vector
}

fn one_to_two(bits: u64) -> f32 {
    // The exponent of 1, and 23 bits behind it.
    f32::from_bits(0x3f80_0000 | u32::try_from(bits >> 41).unwrap_or_default())
}

fn double(number: u32, salt: u32) -> f64 {
    // The exponent of 1, and 52 bits behind it.
    f64::from_bits(0x3ff0_0000_0000_0000 | (mix(number, salt) >> 12)) - 1.5
}

fn pick<T: Copy>(from: &[T], number: u32, salt: u32) -> T {
    from[usize::try_from(mix(number, salt) % from.len() as u64).unwrap_or_default()]
}

/// None to three of them.
fn some<T: Copy>(from: &[T], number: u32, salt: u32) -> Vec<T> {
    (0..mix(number, salt) % 4).zip(1..).map(|(_, at)| pick(from, number, (salt << 8) + at)).collect()
}

/// splitmix64: the same numbers everywhere, and no dependency.
fn mix(number: u32, salt: u32) -> u64 {
    let mut bits = (u64::from(salt) << 32 | u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
