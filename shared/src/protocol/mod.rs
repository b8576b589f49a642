//! What cloud and agent say to each other over MQTT.
