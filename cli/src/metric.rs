//! The metrics of the engine, by name and label.

use catena_host::Metric;

/// The metrics with this name.
pub fn named<'m>(metrics: &'m [Metric], name: &str) -> impl Iterator<Item = &'m Metric> {
    metrics.iter().filter(move |metric| metric.name == name)
}

/// The values of its labels, joined: `aws-record` of `input` with `cloud="aws"` and `form="record"`.
pub fn kind(metric: &Metric) -> String {
    metric.labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("-")
}

/// Adds a metric of another correlator of the same stream.
pub fn add(sum: &mut Vec<Metric>, metric: Metric) {
    match sum.iter_mut().find(|known| known.name == metric.name && known.labels == metric.labels) {
        // The state is complete up to the earliest known watermark; 0 is unknown.
        Some(known) if metric.name == "watermark" => {
            let known_times = [known.value, metric.value].into_iter().filter(|time| *time > 0);
            known.value = known_times.min().unwrap_or_default();
        }
        Some(known) => known.value += metric.value,
        None => sum.push(metric),
    }
}

/// Whether it counts the findings that tell what limits have cost, which are of no configured rule.
pub fn is_of_limits(metric: &Metric) -> bool {
    metric.labels.iter().any(|(_, value)| value == "state-pressure")
}

/// As text for the log: `findings aws-instance-created 3`.
pub fn describe(metric: &Metric) -> String {
    let of = if metric.labels.is_empty() { String::new() } else { format!(" {}", kind(metric)) };
    format!("{}{of} {}", metric.name, metric.value)
}
