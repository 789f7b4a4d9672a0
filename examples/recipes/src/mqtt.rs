//! MQTT 5: rmqtt-codec.

use futures_util::{SinkExt, StreamExt};
use reagent::{BoxError, Connection, Rejected, Server, ServerHandle, handle};
use reagent_layers::timeout::TimeoutsLayer;
use rmqtt_codec::{
    types::{Publish, QoS},
    v5::{
        Codec, ConnectAck, Disconnect, DisconnectReasonCode, Packet, SubscribeAck,
        SubscribeAckReason::GrantedQos0,
    },
};
use std::{collections::HashSet, time::Duration};
use tokio::sync::broadcast::Sender;
use tokio_util::codec::Framed;

const MAX_PACKET: u32 = 64 * 1024;

/// Starts a broker: what a client publishes goes to all that subscribed to its topic, with the
/// publisher's address in front. There are no wildcards, and every quality of service is 0.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    let topics = Sender::new(100);
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new().read(Duration::from_secs(90)))
        .start(handle(move |conn| broker(conn, topics.clone())))
        .await
}

async fn broker(conn: Connection, topics: Sender<Publish>) -> Result<(), BoxError> {
    let (peer, mut draining) = (conn.peer_addr().clone(), conn.draining());
    let mut mqtt = Framed::new(conn, Codec::new(MAX_PACKET, 0));
    let first = tokio::select! {
        packet = mqtt.next() => packet.transpose()?,
        () = &mut draining => return Ok(()),
    };
    let Some((Packet::Connect(_), _)) = first else {
        return Err(Rejected::new("no CONNECT").into());
    };
    let ack = ConnectAck {
        max_qos: QoS::AtMostOnce,
        ..ConnectAck::default()
    };
    mqtt.send(Packet::ConnectAck(Box::new(ack))).await?;
    let mut messages = topics.subscribe();
    let mut subscribed = HashSet::new();
    loop {
        let packet = tokio::select! {
            packet = mqtt.next() => packet.transpose()?,
            message = messages.recv() => {
                let message = message?;
                if subscribed.contains(&message.topic) {
                    mqtt.send(Packet::Publish(Box::new(message))).await?;
                }
                continue;
            }
            () = &mut draining => {
                let reason_code = DisconnectReasonCode::ServerShuttingDown;
                let bye = Disconnect { reason_code, ..Disconnect::default() };
                return Ok(mqtt.send(Packet::Disconnect(bye)).await?);
            }
        };
        match packet.map(|(packet, _)| packet) {
            Some(Packet::Publish(mut publish)) => {
                publish.payload = [format!("{peer}: ").as_bytes(), &publish.payload]
                    .concat()
                    .into();
                let _ = topics.send(*publish);
            }
            Some(Packet::Subscribe(subscribe)) => {
                let topics = subscribe.topic_filters.into_iter().map(|(topic, _)| topic);
                let topics: Vec<_> = topics.collect();
                let ack = SubscribeAck {
                    packet_id: subscribe.packet_id,
                    properties: Vec::new(),
                    reason_string: None,
                    status: vec![GrantedQos0; topics.len()],
                };
                subscribed.extend(topics);
                mqtt.send(Packet::SubscribeAck(ack)).await?;
            }
            Some(Packet::PingRequest) => mqtt.send(Packet::PingResponse).await?,
            Some(Packet::Disconnect(_)) | None => return Ok(()),
            Some(_) => return Err(Rejected::new("unexpected packet").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support;
    use rumqttc::v5::{
        AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, StateError,
        mqttbytes::{QoS, v5::DisconnectReasonCode::ServerShuttingDown},
    };

    async fn next(events: &mut EventLoop) -> Result<Incoming, ConnectionError> {
        loop {
            if let Event::Incoming(packet) = events.poll().await? {
                return Ok(packet);
            }
        }
    }

    #[tokio::test]
    async fn a_drain_disconnects_an_idle_client() {
        let server = serve().await.unwrap();
        let (relay, addr) = support::relay(&server).await;
        let options = MqttOptions::new("ada", relay.ip().to_string(), relay.port());
        let (client, mut events) = AsyncClient::new(options, 10);
        client.subscribe("t", QoS::AtMostOnce).await.unwrap();
        assert!(matches!(next(&mut events).await, Ok(Incoming::ConnAck(_))));
        assert!(matches!(next(&mut events).await, Ok(Incoming::SubAck(_))));

        client
            .publish("t", QoS::AtMostOnce, false, "hello")
            .await
            .unwrap();
        match next(&mut events).await {
            Ok(Incoming::Publish(publish)) => {
                assert_eq!(publish.payload, format!("{addr}: hello"));
            }
            other => panic!("expected the message, got {other:?}"),
        }

        let ((), end) = tokio::join!(support::drain(&server), next(&mut events));
        match end {
            Err(ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code, ..
            })) => {
                assert_eq!(reason_code, ServerShuttingDown);
            }
            other => panic!("expected a DISCONNECT, got {other:?}"),
        }
    }
}
