//! The limit that several gateways share.

use crate::{options::ClusterOptions, values::Count};
use reagent::BoxError;
use reagent_layers::cluster::{Cluster, ClusterPerClient, Driver, RedisStore};

const REACHABLE: &str = "gateway_cluster_reachable";
const INSTANCES: &str = "gateway_cluster_instances";
const ROUND_TRIPS: &str = "gateway_cluster_round_trips_total";
const WITHOUT_STORE: &str = "gateway_cluster_without_store_total";

/// The handle of this gateway as an instance of a cluster.
#[derive(Clone, Debug)]
pub struct Instance {
    pub cluster: Cluster,
    pub per_client: ClusterPerClient,
}

impl Instance {
    /// Creates the instance and its driver, if the options say so. Connects to nothing.
    pub fn new(options: &ClusterOptions) -> Result<Option<(Self, Driver)>, BoxError> {
        let (Some(url), Some(max)) = (&options.cluster, options.cluster_per_client) else {
            return Ok(None);
        };
        let expected = options.cluster_instances.map_or(0, Count::as_usize);
        let (cluster, driver) = Cluster::builder(&options.cluster_name)
            .lease(options.cluster_lease.0)
            .wait(options.cluster_wait.0)
            .mode(options.mode())
            .lost(options.lost())
            .expected_instances(expected)
            .build(RedisStore::new(&url.0)?);
        let per_client = ClusterPerClient::new(&cluster, "per-client", max_of(max));
        let instance = Instance {
            cluster,
            per_client,
        };
        Ok(Some((instance, driver)))
    }

    /// Does the same, and starts the driver.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tasks of the process, which are not of a connection"
    )]
    pub fn start(options: &ClusterOptions) -> Result<Option<Self>, BoxError> {
        let Some((instance, driver)) = Instance::new(options)? else {
            return Ok(None);
        };
        tokio::spawn(driver);
        tokio::spawn(log(instance.cluster.clone()));
        metrics::describe_gauge!(REACHABLE, "Whether the store of the cluster answers");
        metrics::describe_gauge!(INSTANCES, "Gateways that the store of the cluster knows of");
        metrics::describe_counter!(ROUND_TRIPS, "Round trips to the store of the cluster");
        let without = "Connections that were decided without the store of the cluster";
        metrics::describe_counter!(WITHOUT_STORE, without);
        instance.measure();
        Ok(Some(instance))
    }

    /// Changes the limit to that of `options`.
    pub fn set(&self, options: &ClusterOptions) {
        if let Some(max) = options.cluster_per_client {
            self.per_client.set_max(max_of(max));
        }
    }

    /// Updates the metrics.
    pub fn measure(&self) {
        let stats = self.cluster.stats();
        metrics::gauge!(REACHABLE).set(f64::from(u8::from(stats.is_reachable)));
        metrics::gauge!(INSTANCES).set(stats.instances as f64);
        metrics::counter!(ROUND_TRIPS).absolute(stats.batches);
        let decided = [
            ("admitted", stats.admitted_without_store),
            ("refused", stats.refused_without_store),
        ];
        for (decision, count) in decided {
            metrics::counter!(WITHOUT_STORE, "decision" => decision).absolute(count);
        }
    }
}

fn max_of(count: Count) -> u32 {
    u32::try_from(count.get()).unwrap_or(u32::MAX)
}

/// Logs when the store stops to answer, and when it does again.
async fn log(cluster: Cluster) {
    let mut reachable = cluster.reachable();
    while reachable.changed().await.is_ok() {
        match *reachable.borrow_and_update() {
            true => tracing::info!("the store of the cluster answers again"),
            false => {
                let error = cluster.last_error().unwrap_or_default();
                tracing::warn!(%error, "the store of the cluster cannot be reached");
            }
        }
    }
}
