//! Single values, as collectors tell them.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Tells one value after the other.
pub(super) struct Tell<'a>(pub(super) DescriptorEncoder<'a>);

impl Tell<'_> {
    /// Something that only grows; the format adds `_total` to its name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        let encoder = self.0.encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(encoder)
    }

    /// The same, in seconds with their fraction.
    pub(super) fn seconds_counter(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        let encoder = self.0.encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(encoder)
    }

    /// Something that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let encoder = self.0.encode_descriptor(name, help, None, gauge.metric_type())?;
        gauge.encode(encoder)
    }

    /// The same, for each value of one label.
    pub(super) fn gauges<L: AsRef<str>>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            let labels = [(label, of.as_ref())];
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
