//! A recording subscriber.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, OnceLock},
};
use tracing::{
    Dispatch, Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// The target of the spans and events of the layers.
pub const TARGET: &str = "reagent_layers::trace";

pub type Fields = BTreeMap<String, String>;

/// Returns the value of an optional field.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(name).map(String::as_str)
}

/// Everything that a thread emitted while this was its subscriber.
#[derive(Clone, Default)]
pub struct Capture(Arc<Mutex<Captured>>);

#[derive(Default)]
struct Captured {
    events: Vec<Seen>,
    closed: Vec<Fields>,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub level: Level,
    pub target: String,
    pub fields: Fields,
    /// The fields of the enclosing spans at that time, the innermost first.
    pub spans: Vec<Fields>,
}

impl Seen {
    pub fn message(&self) -> &str {
        &self.fields["message"]
    }
}

impl Capture {
    /// Records what is emitted on this thread up to `level`.
    pub fn up_to(level: impl Into<LevelFilter>) -> (Capture, DefaultGuard) {
        // `tracing` caches the interest in each callsite for all threads. With a single dispatcher
        // in the process, the thread that reaches the callsite first decides. With one dispatcher
        // that wants everything and one that wants nothing, each event is checked, whichever other
        // tests are running.
        static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
        OTHERS.get_or_init(|| {
            let nothing = NoSubscriber::default();
            [Dispatch::new(Registry::default()), Dispatch::new(nothing)]
        });
        let capture = Capture::default();
        // The filter is around everything. A filter on the recording layer alone would leave the
        // registry enabled for events that others want.
        let level: LevelFilter = level.into();
        let subscriber = Registry::default().with(level).with(capture.clone());
        (capture, set_default(subscriber))
    }

    /// Returns all events so far.
    pub fn events(&self) -> Vec<Seen> {
        self.0.lock().unwrap().events.clone()
    }

    /// Returns the events with this message.
    pub fn named(&self, message: &str) -> Vec<Seen> {
        let mut events = self.events();
        events.retain(|event| event.message() == message);
        events
    }

    /// Returns the final fields of closed spans.
    pub fn closed(&self) -> Vec<Fields> {
        self.0.lock().unwrap().closed.clone()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Reader(Fields::new());
        attributes.record(&mut fields);
        let span = ctx.span(id).unwrap();
        fields.0.insert("name".into(), span.name().into());
        span.extensions_mut().insert(fields.0);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, ctx: Context<'_, S>) {
        let mut fields = Reader(Fields::new());
        record.record(&mut fields);
        let span = ctx.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        let known = extensions.get_mut::<Fields>().unwrap();
        for (field, value) in fields.0 {
            let old = known.insert(field, value);
            assert_eq!(old, None, "recorded twice");
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Reader(Fields::new());
        event.record(&mut fields);
        let spans = ctx.event_scope(event).into_iter().flatten();
        let spans = spans.map(|span| span.extensions().get::<Fields>().unwrap().clone());
        let seen = Seen {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            fields: fields.0,
            spans: spans.collect(),
        };
        self.0.lock().unwrap().events.push(seen);
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let span = ctx.span(&id).unwrap();
        let fields = span.extensions().get::<Fields>().unwrap().clone();
        self.0.lock().unwrap().closed.push(fields);
    }
}

struct Reader(Fields);

impl Visit for Reader {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
