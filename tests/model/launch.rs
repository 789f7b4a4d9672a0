//! Starts the servers of a run.

use crate::{
    config::{Config, LimitBy, Stack, StartBy},
    listening::Settings,
    net::Place,
    record::{Gauge, Nervous, Record},
    trouble::{Spot, Trouble},
    unruly::{Alive, PENDS, Unruly},
};
use reagent::{Acceptor, Bind, BoxError, ConnectionService, Error, Limit, Server, ServerHandle};
use tower::{
    Layer,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    load_shed::LoadShedLayer,
};

/// A server, its events, and its live connections.
pub struct Side {
    pub handle: ServerHandle,
    pub record: Record,
    pub alive: Alive,
}

/// The servers of a run before their start, and the places to connect to.
pub struct Launch {
    config: Config,
    in_memory: bool,
    limit: Limit,
    gauge: Gauge,
    pub places: Vec<Place>,
}

impl Launch {
    pub fn new(config: Config, in_memory: bool, limit: &Limit, gauge: &Gauge) -> Self {
        Launch {
            config,
            in_memory,
            limit: limit.clone(),
            gauge: gauge.clone(),
            places: Vec::new(),
        }
    }

    /// Starts the server under test.
    pub async fn main(&mut self, trouble: &Trouble) -> Result<Side, String> {
        let (config, alive) = (self.config, Alive::default());
        let record = Record::new(&self.gauge);
        let mut server = Server::bind(Vec::<Bind>::new())
            .acceptors(config.acceptors)
            .observe(Nervous(trouble.clone()))
            .observe(record.clone());
        for _ in 0..config.addresses {
            server = self.listen(server, config.is_like_socket)?;
        }
        server = match config.limit {
            LimitBy::Nothing => server,
            LimitBy::MaxConnections(max) => server.max_connections(max),
            LimitBy::Shared(_) => server.limit(self.limit.clone()),
        };
        let make = Make(config, trouble.clone(), alive.clone());
        let handle = match config.stack {
            Stack::Plain => make.start(server).await,
            Stack::Concurrency(max) => {
                let layer = ConcurrencyLimitLayer::new(max);
                make.start(server.layer(layer)).await
            }
            Stack::GlobalConcurrency(max) => {
                let layer = GlobalConcurrencyLimitLayer::new(max);
                make.start(server.layer(layer)).await
            }
            Stack::LoadShed(max) => {
                let layer = ConcurrencyLimitLayer::new(max);
                let server = server.layer(LoadShedLayer::new()).layer(layer);
                make.start(server).await
            }
        };
        Side::new(handle, record, alive)
    }

    /// Starts a server that shares the limit and is not manipulated.
    pub async fn second(&mut self) -> Result<Side, String> {
        let (record, alive) = (Record::new(&self.gauge), Alive::default());
        let server = Server::bind(Vec::<Bind>::new())
            .limit(self.limit.clone())
            .observe(record.clone());
        let server = self.listen(server, true)?;
        let config = Config {
            start: StartBy::Clone,
            limit: LimitBy::Nothing,
            stack: Stack::Plain,
            addresses: 1,
            acceptors: 1,
            is_like_socket: true,
        };
        let make = Make(config, Trouble::default(), alive.clone());
        Side::new(make.start(server).await, record, alive)
    }

    fn listen<L>(&mut self, server: Server<L>, is_like_socket: bool) -> Result<Server<L>, String> {
        let (bind, place) = Place::open(self.in_memory, is_like_socket, Settings::NONE)
            .map_err(|error| error.to_string())?;
        self.places.push(place);
        Ok(server.listen(bind))
    }
}

impl Side {
    fn new(
        handle: Result<ServerHandle, Error>,
        record: Record,
        alive: Alive,
    ) -> Result<Self, String> {
        Ok(Side {
            handle: handle.map_err(|error| format!("start failed: {error}"))?,
            record,
            alive,
        })
    }
}

/// Makes the services of a server, by either kind of start.
struct Make(Config, Trouble, Alive);

impl Make {
    async fn start<L>(self, server: Server<L>) -> Result<ServerHandle, Error>
    where
        L: Layer<Unruly> + Clone + Send + 'static,
        L::Service: ConnectionService + Clone,
    {
        let Make(config, trouble, alive) = self;
        let service = Unruly::new(&trouble, &alive, &config);
        if config.start == StartBy::Clone {
            return server.start(service).await;
        }
        let make = tower::service_fn(move |_: Acceptor| {
            let (trouble, service) = (trouble.clone(), service.clone());
            async move {
                trouble.maybe_panic(Spot::MakePanics);
                if trouble.strikes(Spot::MakeFails) {
                    return Err(BoxError::from("make failure requested"));
                }
                if trouble.strikes(Spot::MakePends) {
                    tokio::time::sleep(PENDS).await;
                }
                Ok(service)
            }
        });
        server.start_make(make).await
    }
}
