//! Metrics of clients that are held, banned or ahead of others, and of pressure, which no server
//! event covers.

use super::{MetricsObserver, names};
use ::metrics::Label;

/// The number of ranks that have a time series.
const RANKS: usize = 10;

impl MetricsObserver {
    /// Counts a ban, by the offence that led to it. Call it from `Score::on_ban` of the feature
    /// `score`.
    ///
    /// `is_dry` tells whether the ban was only decided on, in a dry run. Each `offence` creates a
    /// time series, so pass only names from code.
    pub fn client_banned(&self, offence: &str, is_dry: bool) {
        let offence = Label::new("offence", offence.to_owned());
        let dry_run = Label::from_static_parts("dry_run", if is_dry { "true" } else { "false" });
        self.source()
            .counter(&names::BANS, vec![dry_run, offence])
            .increment(1);
    }

    /// Sets the metrics of a tarpit: the number of clients that are held now, and the numbers of
    /// those that were closed because it was full and that gave way to others. Call it before each
    /// scrape, with the values of `Tarpit::stats`.
    pub fn set_tarpit(&self, held: usize, overflowed: u64, gave_way: u64) {
        let source = self.source();
        let held_now = source.gauge(&names::TARPIT_HELD, Vec::new());
        held_now.set(held as f64);
        for (metric, count) in [
            (&names::TARPIT_OVERFLOWED, overflowed),
            (&names::TARPIT_GAVE_WAY, gave_way),
        ] {
            source.counter(metric, Vec::new()).absolute(count);
        }
    }

    /// Sets the pressure of each source, by name. Call it before each scrape, with the readings of
    /// `Pressure::stats`. A source without a value is left as it was.
    ///
    /// Each name creates a time series, so pass only names from code.
    pub fn set_pressure(&self, readings: impl IntoIterator<Item = (&'static str, Option<f64>)>) {
        for (source, value) in readings {
            if let Some(value) = value {
                let label = Label::from_static_parts("source", source);
                let gauge = self.source().gauge(&names::PRESSURE, vec![label]);
                gauge.set(value);
            }
        }
    }

    /// Sets the numbers of idle connections that were asked to finish under pressure, of those that
    /// were then aborted, and of clients that were refused. Call it before each scrape, with the
    /// values of `Pressure::stats`.
    pub fn set_pressure_actions(&self, asked: u64, aborted: u64, refused: u64) {
        for (metric, count) in [
            (&names::PRESSURE_CLOSED, asked),
            (&names::PRESSURE_ABORTED, aborted),
            (&names::PRESSURE_REFUSED, refused),
        ] {
            self.source().counter(metric, Vec::new()).absolute(count);
        }
    }

    /// Sets the counts of the first ten clients in a ranking, such as `connections`, in descending
    /// order. Call it before each scrape, with the values of `TopClients` of the feature `top`.
    ///
    /// A series is labelled with a rank and not with an address: clients come and go, and a series
    /// for each that was ever among the first would grow without bound, in this process and in
    /// Prometheus. The series show how far the first are ahead; their addresses are shown by the
    /// page of the feature `admin`.
    ///
    /// # Example
    ///
    /// ```
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    /// use reagent_layers::metrics::MetricsObserver;
    ///
    /// let recorder = PrometheusBuilder::new().build_recorder();
    /// let prometheus = recorder.handle();
    /// let metrics = MetricsObserver::with_recorder(recorder);
    /// // With the feature `top`, these come from `TopClients::by`.
    /// metrics.set_top_clients("connections", [900, 20, 10]);
    /// let page = prometheus.render();
    /// assert!(page.contains(r#"reagent_top_clients{by="connections",rank="1"} 900"#));
    /// assert!(page.contains(r#"reagent_top_clients{by="connections",rank="4"} 0"#));
    /// ```
    pub fn set_top_clients(&self, by: &'static str, counts: impl IntoIterator<Item = u64>) {
        let mut counts = counts.into_iter();
        for rank in 1..=RANKS {
            let labels = vec![
                Label::from_static_parts("by", by),
                Label::new("rank", rank.to_string()),
            ];
            let count = counts.next().unwrap_or(0);
            let gauge = self.source().gauge(&names::TOP_CLIENTS, labels);
            gauge.set(count as f64);
        }
    }
}
