//! What still has to reach the broker: one report and one request, the newest of each.
//!
//! Latest-wins slots instead of a queue: an outdated report is not worth sending. One message is under way at a time,
//! so a PUBACK needs no bookkeeping of packet numbers. A message lost with its session is sent again in the next.

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// To the report topic.
    Report,
    /// To the request topic.
    Request,
}

/// The two slots.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    report: Option<Vec<u8>>,
    request: Option<Vec<u8>>,
    /// Handed to the session and not yet acknowledged.
    under_way: Option<(Slot, Vec<u8>)>,
}

impl Outbox {
    /// Replaces what waits in the slot.
    pub fn put(&mut self, slot: Slot, payload: Vec<u8>) {
        *self.waiting(slot) = Some(payload);
    }

    /// The next message to hand to the session, if none is under way.
    pub fn take(&mut self) -> Option<(Slot, Vec<u8>)> {
        if self.under_way.is_some() {
            return None;
        }
        // The request first: time waits for its answer.
        let slot = if self.request.is_some() { Slot::Request } else { Slot::Report };
        let payload = self.waiting(slot).take()?;
        self.under_way = Some((slot, payload.clone()));
        Some((slot, payload))
    }

    /// The broker has what was under way.
    pub fn acknowledged(&mut self) -> Option<Slot> {
        self.under_way.take().map(|(slot, _)| slot)
    }

    /// The session ended: what was under way waits again, unless something newer does already.
    pub fn lost(&mut self) {
        if let Some((slot, payload)) = self.under_way.take() {
            self.waiting(slot).get_or_insert(payload);
        }
    }

    /// Forgets a request nobody waits for any more.
    pub fn forget_request(&mut self) {
        self.request = None;
    }

    fn waiting(&mut self, slot: Slot) -> &mut Option<Vec<u8>> {
        match slot {
            Slot::Report => &mut self.report,
            Slot::Request => &mut self.request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> (Slot, Vec<u8>) {
        (Slot::Report, text.as_bytes().to_vec())
    }

    #[test]
    fn the_newest_report_wins_and_none_is_lost() {
        let mut outbox = Outbox::default();
        let put = |outbox: &mut Outbox, text: &str| outbox.put(Slot::Report, text.as_bytes().to_vec());
        assert_eq!(outbox.take(), None);
        put(&mut outbox, "1");
        put(&mut outbox, "2");
        assert_eq!(outbox.take(), Some(report("2")));
        put(&mut outbox, "3");
        assert_eq!(outbox.take(), None, "one at a time");
        // The connection breaks with 2 under way: 3 is newer.
        outbox.lost();
        assert_eq!(outbox.take(), Some(report("3")));
        outbox.lost();
        assert_eq!(outbox.take(), Some(report("3")), "sent again until acknowledged");
        assert_eq!(outbox.acknowledged(), Some(Slot::Report));
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn a_request_goes_first() {
        let mut outbox = Outbox::default();
        outbox.put(Slot::Report, b"report".to_vec());
        outbox.put(Slot::Request, b"nonce".to_vec());
        assert_eq!(outbox.take().map(|(slot, _)| slot), Some(Slot::Request));
        outbox.acknowledged();
        assert_eq!(outbox.take().map(|(slot, _)| slot), Some(Slot::Report));
    }
}
