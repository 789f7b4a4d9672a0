//! Acts when resources become short.

mod actions;
mod adaptive;
mod builder;
mod ceiling;
mod idle;
mod layer;
mod level;
#[expect(
    clippy::module_inception,
    reason = "the folder is named after its main type"
)]
mod pressure;
mod sampler;
mod service;
mod source;
mod sources;

pub use actions::Actions;
pub use adaptive::{
    Adaptive, Aimd, Algorithm, Gradient, SampleFuture, SampleLayer, SampleService, UpgradeSamples,
    Window,
};
pub use builder::Builder;
pub use layer::{PRESSURE, PressureLayer};
pub use level::Reading;
pub use pressure::{Pressure, PressureStats};
pub use service::PressureService;
pub use source::{Moment, Source, SourceFn, source_fn};
pub use sources::{
    AcceptQueue, CgroupMemory, Descriptors, ListenOverflows, PermitWait, ResidentMemory,
    SchedulerLag, Stall,
};
