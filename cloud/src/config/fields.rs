//! Every key of the configuration: its name, its default and what it is for.
//!
//! This table is the only place that names a default. The bottom layer, the printed example and the list of known
//! keys are all made from it, so they cannot disagree.

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its dotted path, such as `http.listen`.
    pub path: &'static str,
    /// What a value looks like when none is set.
    pub value: FieldDefault,
    /// What it is for, one sentence a line.
    pub doc: &'static str,
}

/// What holds when a key is not set.
#[derive(Clone, Copy, Debug)]
pub enum FieldDefault {
    /// This TOML literal.
    Literal(&'static str),
    /// Nothing; the TOML literal only shows what a value looks like.
    Unset(&'static str),
}

use FieldDefault::{Literal, Unset};

const fn field(path: &'static str, value: FieldDefault, doc: &'static str) -> Field {
    Field { path, value, doc }
}

/// What the sections are for, in the order of the example.
pub const SECTIONS: &[(&str, &str)] = &[
    ("http", "The API and the console."),
    ("mqtt", "How devices are reached."),
    ("mqtt.embedded", "The MQTT broker inside this daemon (mode = \"embedded\")."),
    ("mqtt.external", "A broker of your own (mode = \"external\"); mutual TLS always."),
    ("enrolment", "Where devices come that have a claim code, or a certificate to be renewed."),
    ("tokens", "What is signed, and for how long it holds."),
    (
        "signer.pkcs11",
        "Signing keys in hardware, through PKCS#11; without a module they are files in data_dir/keys.",
    ),
    ("notify", "How notices are delivered: by mail, and to webhooks."),
    ("smtp", "The mail server that notices go through; without one there is no mail."),
    ("limits", "Bounds that keep one slow device or one loud client from costing the others."),
    ("log", "What is written to standard error."),
];

/// Every key, grouped by section; keys without a section come first.
pub const FIELDS: &[Field] = &[
    field(
        "data_dir",
        Literal("\"coterm-data\""),
        "Where books, keys and certificates are kept. Created at the first start, readable by the daemon alone.\n\
         A relative path counts from the working directory.",
    ),
    field(
        "trust_domain",
        Literal("\"coterm.local\""),
        "The name of this deployment inside every token: 1 to 64 of a-z, 0-9, `.` and `-`.\n\
         Devices refuse tokens of another domain, so choose it once, before the first device is provisioned.",
    ),
    field(
        "http.listen",
        Literal("\"127.0.0.1:8080\""),
        "Address and port. Only loopback addresses are accepted without `allow_plain_http`. Port 0 takes any free port.",
    ),
    field(
        "http.allow_plain_http",
        Literal("false"),
        "Accept unencrypted HTTP on an address other machines can reach, because something in front of it speaks TLS.",
    ),
    field(
        "mqtt.mode",
        Literal("\"embedded\""),
        "`embedded`: the broker in this daemon. `external`: Mosquitto, EMQX, HiveMQ, ...",
    ),
    field(
        "mqtt.embedded.listen",
        Literal("\"127.0.0.1:8883\""),
        "Address and port for devices, mutual TLS only. `0.0.0.0:8883` for devices on the network.",
    ),
    field(
        "mqtt.embedded.server_names",
        Literal("[\"localhost\"]"),
        "Host names and addresses by which devices reach this daemon; they go into its server certificate.",
    ),
    field(
        "mqtt.embedded.max_connections",
        Literal("10000"),
        "Most connections at once, 1 to 100000. Use an external broker for more devices.",
    ),
    field(
        "mqtt.embedded.max_connections_per_address",
        Literal("1000"),
        "Most connections at once from one network address, 1 to 100000.",
    ),
    field(
        "mqtt.embedded.handshake_timeout_secs",
        Literal("10"),
        "How long a client may take for its TLS handshake, 1 to 120 seconds.",
    ),
    field(
        "mqtt.embedded.allow_tls12",
        Literal("false"),
        "Accept TLS 1.2 from devices that cannot do 1.3. It shows the certificate of a device to whoever listens; the log warns.",
    ),
    field(
        "mqtt.external.host",
        Unset("\"mqtt.example.com\""),
        "The broker's host name or address, which its certificate must carry.",
    ),
    field("mqtt.external.port", Literal("8883"), "The broker's TLS port."),
    field(
        "mqtt.external.ca_file",
        Unset("\"/etc/coterm/broker-ca.crt\""),
        "The authority (PEM) that signed the broker's certificate.",
    ),
    field(
        "mqtt.external.certificate_file",
        Unset("\"/etc/coterm/cloud.crt\""),
        "This daemon's client certificate (PEM).",
    ),
    field(
        "mqtt.external.key_file",
        Unset("\"/etc/coterm/cloud.key\""),
        "The key of that certificate (PEM); only the daemon may read it (mode 0600).",
    ),
    field(
        "enrolment.listen",
        Unset("\"0.0.0.0:8884\""),
        "Address and port of the enrolment listener; without it devices are provisioned by hand. TLS must end here: a TCP\n\
         proxy may stand in front, a TLS proxy may not.",
    ),
    field(
        "enrolment.server_names",
        Literal("[\"localhost\"]"),
        "Host names and addresses by which devices reach this listener; they go into its certificate.",
    ),
    field(
        "enrolment.certificate_secs",
        Literal("31536000"),
        "How long a device's certificate is good for (a year), 1 day to 5 years. It is renewed by itself at two thirds.",
    ),
    field(
        "enrolment.renewal_grace_secs",
        Literal("2592000"),
        "How long after its end a certificate may still be renewed (30 days), at most 400 days. It opens nothing else.",
    ),
    field("enrolment.max_connections", Literal("256"), "Most connections at once, 1 to 10000."),
    field(
        "tokens.lease_secs",
        Literal("604800"),
        "How long a token is good for before a device counts as overdue (7 days), 1 hour to 30 days.\n\
         Renewals are sent between half and 0.7 of it.",
    ),
    field(
        "tokens.offline_budget_secs",
        Literal("3456000"),
        "How long a device may go without any newer token before its management locks (40 days), 1 to 400 days;\n\
         more than a lease. A device never stops for being offline.",
    ),
    field(
        "tokens.key_lifetime_secs",
        Literal("3024000"),
        "How long a token key may sign (35 days), at most 35 days and at least four leases.\n\
         The next key is announced two leases before the end.",
    ),
    field(
        "signer.pkcs11.module",
        Unset("\"/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so\""),
        "The vendor's module, a shared library.",
    ),
    field("signer.pkcs11.token_label", Unset("\"coterm\""), "The label of the token in it."),
    field(
        "signer.pkcs11.pin_file",
        Unset("\"/etc/coterm/pkcs11.pin\""),
        "The file with the user PIN (mode 0600). Without it the systemd credential `pkcs11.pin` is read.",
    ),
    field(
        "signer.pkcs11.keys",
        Literal("[\"token\", \"keyring\"]"),
        "Which new keys are made in the hardware. Keys in files go on until they are rotated.",
    ),
    field(
        "notify.retry_first_secs",
        Literal("60"),
        "After how long a failed delivery is tried again, 1 second to 1 hour; twice as long after each further failure, up\n\
         to an hour.",
    ),
    field(
        "notify.give_up_secs",
        Literal("259200"),
        "After how long a delivery is given up (3 days), 1 hour to 30 days. Operators see an alarm then.",
    ),
    field(
        "notify.allow_private_addresses",
        Literal("false"),
        "Let webhooks go to addresses that are not public, such as receivers in your own network, and by plain HTTP to\n\
         this machine. Organizations choose the URLs: allow it only if you trust all of them.",
    ),
    field(
        "notify.ca_file",
        Unset("\"/etc/coterm/webhooks-ca.crt\""),
        "Authorities (PEM) of the receivers' certificates, instead of the public ones.",
    ),
    field(
        "smtp.host",
        Unset("\"mail.example.com\""),
        "The mail server's host name, which its certificate must carry.",
    ),
    field("smtp.port", Literal("587"), "Its port: 587 for STARTTLS, 465 for TLS from the first byte."),
    field(
        "smtp.security",
        Literal("\"starttls\""),
        "`starttls`, `tls`, or `none` for a server on this machine alone.",
    ),
    field("smtp.from", Unset("\"Coterm <licenses@example.com>\""), "The sender of notices."),
    field("smtp.username", Unset("\"coterm\""), "The user name, if the server wants one."),
    field(
        "smtp.password_file",
        Unset("\"/etc/coterm/smtp.password\""),
        "The file with the password (mode 0600); read for each message, so that it can be changed.",
    ),
    field(
        "smtp.ca_file",
        Unset("\"/etc/coterm/mail-ca.crt\""),
        "The authority (PEM) of the server's certificate, instead of the public ones.",
    ),
    field(
        "limits.sweep_secs",
        Literal("300"),
        "How often everything wanted is compared with everything held, 1 second to 1 hour. Repairs what was lost.",
    ),
    field(
        "limits.publishes_in_flight",
        Literal("256"),
        "Most messages waiting for the broker's answer, 1 to 4096.",
    ),
    field(
        "limits.publish_deadline_secs",
        Literal("10"),
        "How long one message may wait for the broker before it is left to the next sweep, 1 to 120 seconds.",
    ),
    field(
        "limits.nonce_interval_secs",
        Literal("60"),
        "The least time between two fresh tokens for one device's own requests, 1 second to 1 hour.",
    ),
    field(
        "log.filter",
        Literal("\"info,mqtt5=error\""),
        "What to log: error, warn, info, debug, trace, or per module, such as `info,coterm_cloud::reconcile=debug`.",
    ),
    field("log.format", Literal("\"text\""), "`text` for people, `json` for collectors."),
];
