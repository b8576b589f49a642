//! Attacks on the embedded broker that stand while others work: each is held up, bounded and noticed, and nobody else is.
//!
//! **Method.** The attack is begun and left standing; then another device connects, reports, is heard, and receives a token. That it
//! gets through is the proof, whatever the attack does meanwhile; nothing is asserted about how long it takes. What an
//! attack may cost is asserted by the broker's own counters and by the bounds of its configuration.

use super::embedded::{closed, config, launch, raw};
use super::{Bench, id, report, within};
use coterm_cloud::broker::embedded::EmbeddedConfig;
use coterm_cloud::ports::Incoming;
use coterm_shared::protocol::Topic;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, SubscribeReasonCode};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// CONNECT of MQTT 5 with this client id, clean start, keep alive 60 s.
fn connect_packet(device: &str) -> Vec<u8> {
    let id = device.as_bytes();
    let mut packet = vec![0x10, u8::try_from(13 + id.len()).unwrap()];
    packet.extend(b"\x00\x04MQTT\x05\x02\x00\x3c\x00\x00");
    packet.push(u8::try_from(id.len()).unwrap());
    packet.extend(id);
    packet
}

/// Somebody else does everything a device does, while whatever stands stands.
async fn others_work(bench: &Bench, name: &str, uptime: u64) {
    let mut device = bench.connect(name).await;
    device.subscribe(&format!("coterm/v1/d/{name}/token")).await.unwrap();
    let said = report(uptime);
    let answer = device.publish(&format!("coterm/v1/d/{name}/report"), &said.to_payload().unwrap()).await;
    assert_eq!(answer, Ok(PubAckReason::Success));
    bench.hears(name, &Incoming::Report(said)).await;
    bench.publish(Topic::Token(id(name)), b"a token").await;
    assert_eq!(device.message().await.unwrap().1.payload.as_ref(), b"a token");
    device.leave().await;
}

/// Waits until this is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    within(what, async {
        while !so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_silent_socket_at_any_stage_holds_up_nobody() {
    let (bench, _broker) = launch(config()).await;
    // Before TLS, in the middle of its first record, and after the handshake without a CONNECT.
    let silent = TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.unwrap();
    let mut begun = TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.unwrap();
    begun.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    let handshaken = raw(&bench, &bench.certificate("cam-9")).await;
    others_work(&bench, "cam-1", 1).await;
    drop((silent, begun, handshaken));
}

#[tokio::test]
async fn a_flood_of_handshakes_takes_half_of_the_places_and_no_more() {
    let (bench, broker) = launch(EmbeddedConfig { max_pending: 64, ..config() }).await;
    let mut flood = Vec::new();
    for _ in 0..300 {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, bench.port)).await.unwrap();
        // A record that will never be complete. Who is turned away already may not be able to.
        let _ = socket.write_all(&[0x16, 0x03, 0x01]).await;
        flood.push(socket);
    }
    until("300 sockets", || broker.counters().accepted >= 300).await;
    let counters = broker.counters();
    assert_eq!(counters.turned_away, 300 - 32, "one address has half of 64 places: {counters:?}");
    assert_eq!(counters.devices, 0);
    // From another address of the same machine there is room, with the flood still standing.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
    let other = socket.connect((Ipv4Addr::LOCALHOST, bench.port).into()).await.unwrap();
    let mut other = super::embedded::handshake(&bench, &bench.certificate("cam-1"), other).await;
    other.write_all(&connect_packet("cam-1")).await.unwrap();
    bench.hears("cam-1", &Incoming::Connected).await;
    drop(flood);
    // Its places come back.
    within("a place", async { while bench.login("cam-2").connect().await.is_err() {} }).await;
}

#[tokio::test]
async fn bytes_one_at_a_time_are_read_and_hold_up_nobody() {
    let (bench, _broker) = launch(config()).await;
    let mut slow = raw(&bench, &bench.certificate("slow")).await;
    let packet = connect_packet("slow");
    let (last, most) = packet.split_last().unwrap();
    for byte in most {
        slow.write_all(&[*byte]).await.unwrap();
        slow.flush().await.unwrap();
    }
    // It stands in the middle of its CONNECT.
    others_work(&bench, "cam-1", 1).await;
    assert_eq!(bench.heard("slow", &Incoming::Connected), 0);
    slow.write_all(&[*last]).await.unwrap();
    bench.hears("slow", &Incoming::Connected).await;
    // And then in the middle of a message as long as it may be.
    slow.write_all(&[0x32, 0x80, 0x40, 0x00, 0x18]).await.unwrap();
    others_work(&bench, "cam-2", 2).await;
}

#[tokio::test]
async fn a_giant_connect_is_refused_by_its_length_alone() {
    let (bench, _broker) = launch(config()).await;
    // 256 MiB are announced; refused before they are sent, so nothing of the size was ever asked for.
    for announced in [[0x10, 0xff, 0xff, 0xff, 0x7f], [0x10, 0x80, 0x80, 0x04, 0x00]] {
        let mut giant = raw(&bench, &bench.certificate("giant")).await;
        giant.write_all(&announced).await.unwrap();
        closed(giant).await;
        others_work(&bench, "cam-1", 1).await;
    }
    // A length that never ends is no length.
    let mut endless = raw(&bench, &bench.certificate("giant")).await;
    endless.write_all(&[0x10, 0xff, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
    closed(endless).await;
    assert_eq!(bench.heard("giant", &Incoming::Connected), 0);
}

#[tokio::test]
async fn thousands_of_subscriptions_stay_a_handful() {
    let (bench, broker) = launch(config()).await;
    let mut greedy = bench.connect("greedy").await;
    let mut granted = 0;
    for version in 2..2_002 {
        let answer = greedy.subscribe(&format!("coterm/v1/root/{version}")).await.unwrap();
        granted += usize::from(matches!(answer, SubscribeReasonCode::Success(_)));
    }
    assert_eq!(granted, 4, "token, keyring and two roots are all a device ever needs");
    // In one packet, too.
    let mut stream = raw(&bench, &bench.certificate("packed")).await;
    stream.write_all(&connect_packet("packed")).await.unwrap();
    bench.hears("packed", &Incoming::Connected).await;
    let mut body = vec![0x00, 0x01, 0x00];
    for version in 100..400 {
        let filter = format!("coterm/v1/root/{version}");
        body.extend(u16::try_from(filter.len()).unwrap().to_be_bytes());
        body.extend(filter.as_bytes());
        body.push(1);
    }
    let length = body.len();
    let mut packet =
        vec![0x82, u8::try_from(length % 128 + 128).unwrap(), u8::try_from(length / 128).unwrap()];
    packet.extend(body);
    stream.write_all(&packet).await.unwrap();
    let codes = suback_codes(&mut stream).await;
    assert_eq!((codes.len(), codes.iter().filter(|code| **code < 0x80).count()), (300, 4));
    others_work(&bench, "cam-1", 1).await;
    until("two devices", || broker.counters().devices == 2).await;
}

/// The reason codes of the SUBACK that comes, after the CONNACK.
async fn suback_codes(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    within("SUBACK", async {
        loop {
            let kind = stream.read_u8().await.unwrap();
            let mut length = 0;
            for shift in [0, 7, 14, 21] {
                let byte = usize::from(stream.read_u8().await.unwrap());
                length |= (byte & 127) << shift;
                if byte < 128 {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            if kind == 0x90 {
                // Packet id, then properties, of which there may be some.
                return body[3 + usize::from(body[2])..].to_vec();
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_flood_of_publishes_is_bounded_and_holds_up_nobody() {
    let (bench, broker) = launch(EmbeddedConfig { max_messages_per_second: 20, ..config() }).await;
    let mut flood = raw(&bench, &bench.certificate("flood")).await;
    flood.write_all(&connect_packet("flood")).await.unwrap();
    bench.hears("flood", &Incoming::Connected).await;
    // Writes as fast as it can until it is ended, and reads nothing.
    let payload = report(1).to_payload().unwrap();
    let topic = b"coterm/v1/d/flood/report";
    let length = 2 + topic.len() + 1 + payload.len();
    let mut publish =
        vec![0x30, u8::try_from(length % 128 + 128).unwrap(), u8::try_from(length / 128).unwrap()];
    publish.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    publish.extend(topic);
    publish.push(0);
    publish.extend(&payload);
    let batch = publish.repeat(100);
    let flooding = tokio::spawn(async move { while flood.write_all(&batch).await.is_ok() {} });
    until("the flood", || broker.counters().delivered > 0).await;
    for uptime in 2..6 {
        others_work(&bench, "cam-1", uptime).await;
    }
    // What got through is a rate, not a flood; a second or two may have passed.
    let through = bench.heard("flood", &Incoming::Report(report(1)));
    assert!(through < 2_000, "{through} reports of one device");
    flooding.abort();
}

#[tokio::test]
async fn what_waits_for_devices_that_do_not_read_is_bounded() {
    let (bench, broker) =
        launch(EmbeddedConfig { handshake_timeout: Duration::from_secs(30), ..config() }).await;
    // They subscribe, and never read again; each is sent more than all that may wait for it.
    let mut stuck = Vec::new();
    for number in 0..8 {
        let name = format!("stuck-{number}");
        let mut device = bench.connect(&name).await;
        device.subscribe(&format!("coterm/v1/d/{name}/token")).await.unwrap();
        stuck.push((name, device));
    }
    for _ in 0..400 {
        for (name, _) in &stuck {
            bench.publish(Topic::Token(id(name)), &[0; 4_096]).await;
        }
        tokio::task::yield_now().await;
    }
    others_work(&bench, "cam-1", 1).await;
    // A device that reads again gets the end of the line, not four hundred messages: sixteen and what was on the way.
    let (_, first) = &mut stuck[0];
    let mut got = 0;
    bench.publish(Topic::Token(id("stuck-0")), b"last").await;
    while first.message().await.unwrap().1.payload.as_ref() != b"last" {
        got += 1;
    }
    assert!(got < 400, "{got}");
    until("eight devices", || broker.counters().devices == 8).await;
}
