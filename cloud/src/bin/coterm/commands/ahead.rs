//! `--at`: what the books will say at an instant ahead, if nothing else happens.

use super::prelude::*;
use crate::client::encode;
use coterm_shared::time::{Seconds, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

/// Looking ahead
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct AtArgs {
    /// As of an instant ahead, if nothing else happens: 2027-05-01T00:00:00Z, 2027-05-01 (UTC), or +30d, +12h, +30m from now by this machine's clock
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    at: Option<Timestamp>,
}

impl AtArgs {
    /// The path of a read, as of the instant that was given.
    pub(crate) fn of(self, path: &str) -> String {
        match self.at {
            Some(at) => format!("{path}?at={}", encode(&at.to_string())),
            None => path.to_owned(),
        }
    }

    /// One thing, with what has to be said of a forecast said beside it.
    pub(crate) fn get(self, context: &Context, path: &str) -> Result<Value, Failure> {
        let body = context.client.get(&self.of(path))?.body;
        if let Some(sentence) = body.pointer("/forecast/sentence").and_then(Value::as_str) {
            output::note(format!("Forecast. {sentence}"));
        }
        Ok(body)
    }

    /// The same of a list.
    pub(crate) fn list(self, context: &Context, path: &str) -> Result<Vec<Value>, Failure> {
        if let Some(at) = self.at {
            output::note(format!("Forecast. As of {at}, if nothing else happens."));
        }
        context.client.list(&self.of(path))
    }
}

/// An instant, the start of a day, or so long from now.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    const WRITE: &str = "write an instant such as 2027-05-01T00:00:00Z, a day such as 2027-05-01, or +30d, +12h, +30m from now";
    if let Some(ahead) = text.strip_prefix('+') {
        let (number, unit) = ahead.split_at_checked(ahead.len().saturating_sub(1)).ok_or(WRITE)?;
        let secs = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            _ => return Err(WRITE.to_owned()),
        };
        let count = Some(number).filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let count: u64 = count.and_then(|number| number.parse().ok()).ok_or(WRITE)?;
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "this machine's clock is wrong")?;
        let ahead = count.checked_mul(secs).map(Seconds).ok_or("that is too far ahead")?;
        let now = Timestamp::from_secs_clamped(now.as_secs());
        return now.checked_add(ahead).ok_or_else(|| String::from("that is after the year 9999"));
    }
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().map_err(|_| WRITE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_ahead_is_written_whole_as_a_day_or_as_how_far() {
        let day: Timestamp = "2027-05-01T00:00:00Z".parse().unwrap();
        assert_eq!(instant("2027-05-01"), Ok(day));
        assert_eq!(instant("2027-05-01T02:00:00+02:00"), Ok(day));
        let month = instant("+30d").unwrap();
        assert!(instant("+29d").unwrap() < month && month <= instant("+721h").unwrap());
        for bad in ["", "+", "+d", "30d", "+3y", "+-1d", "+\u{e9}", "10000-01-01", "+9999999d", "tomorrow"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }
}
