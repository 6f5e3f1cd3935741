//! A live copy of one collection into another, of the same cluster or of another one: the data plane of a switch from an
//! old class to a new one.

pub mod ledger;
