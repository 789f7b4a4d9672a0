//! Limits that adapt to how long things take.

#[expect(
    clippy::module_inception,
    reason = "the folder is named after its main type"
)]
mod adaptive;
mod aimd;
mod algorithm;
mod gradient;
mod layer;
mod upgrades;
mod window;

pub use adaptive::Adaptive;
pub use aimd::Aimd;
pub use algorithm::{Algorithm, Window};
pub use gradient::Gradient;
pub use layer::{SampleFuture, SampleLayer, SampleService};
pub use upgrades::UpgradeSamples;
