//! What may be an endpoint: a mail address, or the URL of a webhook, checked when it is set.

use super::guard::may_connect;
use lettre::Address;
use std::net::IpAddr;
use ureq::http::Uri;

/// Most characters of a mail address (RFC 5321) and of a URL.
const MAX_ADDRESS: usize = 254;
const MAX_URL: usize = 2048;

/// A mail address as it is kept.
///
/// # Errors
/// Why it is none, in a clause.
pub fn email(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() > MAX_ADDRESS || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("a mail address has at most {MAX_ADDRESS} ASCII characters without spaces"));
    }
    let address: Address = text.parse().map_err(|_| String::from("not a mail address"))?;
    if !address.domain().contains('.') && address.domain() != "localhost" {
        return Err(String::from("not a mail address: its domain has no dot"));
    }
    Ok(address.to_string())
}

/// The URL of a webhook as it is kept.
///
/// # Errors
/// Why it is none, in a clause.
pub fn url(text: &str, allow_private: bool) -> Result<String, String> {
    let text = text.trim();
    if text.len() > MAX_URL || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("a URL has at most {MAX_URL} ASCII characters without spaces"));
    }
    let uri: Uri = text.parse().map_err(|_| String::from("not a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(String::from("not a whole URL, such as https://example.com/hook"));
    };
    if authority.as_str().contains('@') {
        return Err(String::from(
            "a URL with a user name: put a secret into its path, or check the signature",
        ));
    }
    if text.contains('#') {
        return Err(String::from("a URL with a fragment, which is never sent"));
    }
    let host = authority.host();
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let local = literal.is_some_and(|ip| ip.to_canonical().is_loopback()) || host == "localhost";
    match scheme {
        "https" => {}
        "http" if allow_private && local => {}
        _ => return Err(String::from("not an https URL")),
    }
    if literal.is_some_and(|ip| !may_connect(ip, scheme == "http", allow_private))
        || (local && !allow_private)
    {
        return Err(String::from("not a public address"));
    }
    Ok(text.to_owned())
}

/// An address as those see it who read an organization but do not change it: a URL may hold a secret.
#[must_use]
pub fn shown(address: &str) -> String {
    match address
        .parse::<Uri>()
        .ok()
        .and_then(|uri| Some((uri.scheme_str()?.to_owned(), uri.authority()?.to_string())))
    {
        Some((scheme, authority)) => format!("{scheme}://{authority}/…"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n1_addresses_are_checked_when_they_are_set() {
        assert_eq!(email(" ada@example.com ").as_deref(), Ok("ada@example.com"));
        for bad in [
            "",
            "ada",
            "ada@",
            "ada@host",
            "a b@example.com",
            "ada@example.com\r\nBcc: eve@example.com",
            "Ada <ada@example.com>",
        ] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
        assert_eq!(url("https://example.com/hook?x=1", false).as_deref(), Ok("https://example.com/hook?x=1"));
        for bad in [
            "",
            "example.com",
            "/hook",
            "http://example.com/",
            "ftp://example.com/",
            "https://ada:pw@example.com/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://10.0.0.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://localhost/",
            "https://169.254.169.254/latest",
            "https://example.com/#x",
            "https://example.com/ x",
        ] {
            assert!(url(bad, false).is_err(), "{bad:?}");
        }
        assert!(url("http://127.0.0.1:9/", true).is_ok() && url("https://10.0.0.1/", true).is_ok());
        assert!(url("http://10.0.0.1/", true).is_err() && url("http://example.com/", true).is_err());
        assert_eq!(shown("https://hooks.example.com/T0/secret?k=v"), "https://hooks.example.com/…");
        assert_eq!(shown("ada@example.com"), "ada@example.com");
    }
}
