//! Makes metrics and remembers what was made, for the documentation to be compared with.

use prometheus::core::Collector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// A metric as the documentation lists it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) labels: String,
    pub(super) help: String,
}

/// Makes metrics and remembers what was made.
#[derive(Default)]
pub(super) struct Families {
    pub(super) registry: Registry,
    pub(super) made: Vec<Family>,
}

pub(super) type Made<T> = Result<T, prometheus::Error>;

impl Families {
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.keep("gauge", IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn float_gauge(&mut self, name: &str, help: &str, labels: &[&str]) -> Made<GaugeVec> {
        self.keep("gauge", GaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.keep("counter", IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Made<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.keep("histogram", HistogramVec::new(options, labels)?)
    }

    fn keep<C: Collector + Clone + 'static>(&mut self, kind: &'static str, collector: C) -> Made<C> {
        for description in collector.desc() {
            self.made.push(Family {
                name: description.fq_name.clone(),
                kind,
                labels: description.variable_labels.join(", "),
                help: description.help.clone(),
            });
        }
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

/// Sets a series; without a value it goes.
pub(super) fn set(gauge: &IntGaugeVec, labels: &[&str], value: Option<i64>) {
    match value {
        Some(value) => gauge.with_label_values(labels).set(value),
        // One that was never set is not there to be removed, which is no error.
        None => drop(gauge.remove_label_values(labels)),
    }
}
