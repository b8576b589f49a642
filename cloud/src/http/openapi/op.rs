//! What is said about one operation of the interface, where its route is made.

use super::schema::to;
use serde_json::{Value, json};

/// Whom an operation serves; each includes those after it, but `Anyone` needs no token at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Who {
    /// Nobody is asked who they are.
    Anyone,
    /// Any API token.
    Token,
    /// Whoever reads the organization.
    Viewer,
    /// Whoever changes the organization.
    Admin,
    /// The vendor's staff.
    Vendor,
    /// A monitoring system.
    Monitor,
}

impl Who {
    /// The roles that may use it.
    pub(super) const fn roles(self) -> &'static [&'static str] {
        match self {
            Who::Anyone => &[],
            Who::Token | Who::Viewer => &["org-viewer", "org-admin", "vendor"],
            Who::Admin => &["org-admin", "vendor"],
            Who::Vendor => &["vendor"],
            Who::Monitor => &["monitor", "vendor"],
        }
    }
}

/// What an operation does, as far as headers and parameters follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It reads.
    Read,
    /// It changes licenses: previewed, conditional, once.
    Change,
    /// It changes what is no license, once.
    Act,
}

/// What an operation answers with when it is done.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// This, with a status.
    Json(u16, Value),
    /// The same, or a text of this media type if it is asked for.
    JsonOr(&'static str, Value),
    /// Text of this media type.
    Text(&'static str),
    /// No content.
    Nothing,
}

/// One operation.
#[derive(Clone, Debug)]
pub(in crate::http) struct Op {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) who: Who,
    pub(super) kind: Kind,
    pub(super) tagged: bool,
    pub(super) guesses: bool,
    pub(super) fresh: bool,
    pub(super) query: Vec<(&'static str, Value, &'static str)>,
    pub(super) body: Option<Value>,
    /// Whether it takes or gives a CSV file.
    pub(super) csv: bool,
    pub(super) answer: Answer,
}

impl Op {
    fn new(kind: Kind, who: Who, id: &'static str, summary: &'static str) -> Op {
        let (query, body, answer) = (Vec::new(), None, Answer::Nothing);
        Op {
            id,
            summary,
            who,
            kind,
            tagged: false,
            guesses: false,
            fresh: false,
            query,
            body,
            csv: false,
            answer,
        }
    }

    /// It reads something.
    pub(in crate::http) fn read(who: Who, id: &'static str, summary: &'static str, answer: Value) -> Op {
        Op { answer: Answer::Json(200, answer), ..Op::new(Kind::Read, who, id, summary) }
    }

    /// It reads a list in pages.
    pub(in crate::http) fn list(who: Who, id: &'static str, summary: &'static str, items: Value) -> Op {
        let page = super::schema::object([
            ("items", super::schema::list(items)),
            ("next_cursor", super::schema::maybe(super::schema::text())),
        ]);
        let mut op = Op::read(who, id, summary, page);
        op.query.push((
            "limit",
            super::schema::from_to(1, 1000),
            "elements of a page at most; 100 if absent",
        ));
        op.query.push(("cursor", super::schema::text(), "the `next_cursor` of the page before"));
        op
    }

    /// It changes licenses, and answers with what was changed as it is afterwards.
    pub(in crate::http) fn change(who: Who, id: &'static str, summary: &'static str, answer: &str) -> Op {
        Op { answer: Answer::Json(200, to(answer)), ..Op::new(Kind::Change, who, id, summary) }
    }

    /// It makes something, and answers with it.
    pub(in crate::http) fn create(who: Who, id: &'static str, summary: &'static str, answer: &str) -> Op {
        Op { answer: Answer::Json(201, to(answer)), ..Op::new(Kind::Change, who, id, summary) }
    }

    /// It removes something.
    pub(in crate::http) fn remove(who: Who, id: &'static str, summary: &'static str) -> Op {
        Op::new(Kind::Change, who, id, summary)
    }

    /// It does something that is no change of licenses; without an answer, 204.
    pub(in crate::http) fn act(
        who: Who,
        id: &'static str,
        summary: &'static str,
        answer: Option<(u16, Value)>,
    ) -> Op {
        let answer = answer.map_or(Answer::Nothing, |(status, schema)| Answer::Json(status, schema));
        Op { answer, ..Op::new(Kind::Act, who, id, summary) }
    }

    /// It takes a CSV file, or answers with one.
    pub(in crate::http) fn csv(self) -> Op {
        Op { csv: true, ..self }
    }

    /// What is sent.
    pub(in crate::http) fn body(self, body: Value) -> Op {
        Op { body: Some(body), ..self }
    }

    /// A parameter of the query.
    pub(in crate::http) fn query(mut self, name: &'static str, schema: Value, what: &'static str) -> Op {
        self.query.push((name, schema, what));
        self
    }

    /// Its answer has a version as `ETag`, and `If-None-Match` is honoured.
    pub(in crate::http) fn tagged(self) -> Op {
        Op { tagged: true, ..self }
    }

    /// Its answer says until when it stays as it is, and may be kept for a moment.
    pub(in crate::http) fn fresh(self) -> Op {
        Op { fresh: true, ..self }
    }

    /// It can be asked as of an instant ahead.
    pub(in crate::http) fn ahead(mut self) -> Op {
        let what = "an instant ahead: the answer is a forecast, of what is if nothing else happens";
        self.query.push(("at", super::schema::instant(), what));
        self.and_fields([("forecast?", to("Forecast"))])
    }

    /// Its page has more fields beside its items.
    pub(in crate::http) fn and_fields<const N: usize>(mut self, fields: [(&str, Value); N]) -> Op {
        if let Answer::Json(_, page) = &mut self.answer {
            *page = json!({ "allOf": [page.take(), super::schema::object(fields)] });
        }
        self
    }

    /// Wrong license keys are counted (domain K1).
    pub(in crate::http) fn guesses(self) -> Op {
        Op { guesses: true, ..self }
    }

    /// It answers with text of this media type instead.
    pub(in crate::http) fn in_text(self, media_type: &'static str) -> Op {
        Op { answer: Answer::Text(media_type), ..self }
    }

    /// It answers in CSV as well.
    pub(in crate::http) fn or_csv(self) -> Op {
        self.or_text("text/csv")
    }

    /// It answers in a text of this media type as well.
    pub(in crate::http) fn or_text(self, media_type: &'static str) -> Op {
        let answer = match self.answer {
            Answer::Json(_, schema) => Answer::JsonOr(media_type, schema),
            other @ (Answer::JsonOr(..) | Answer::Text(_) | Answer::Nothing) => other,
        };
        Op { answer, ..self }
    }

    /// Every status it can answer with when it refuses or fails.
    pub(super) fn faults(&self, in_path: bool) -> Vec<u16> {
        if self.who == Who::Anyone {
            return vec![429, 503];
        }
        let mut faults = vec![400, 401, 403, 413, 415, 422, 429, 500, 503];
        match self.kind {
            Kind::Read => {}
            Kind::Change => faults.extend([409, 412]),
            Kind::Act => faults.push(409),
        }
        if in_path || self.body.is_some() {
            faults.push(404);
        }
        faults.sort_unstable();
        faults
    }

    /// Its parameters besides those of the path.
    pub(super) fn parameters(&self) -> Vec<Value> {
        let mut all: Vec<Value> = self
            .query
            .iter()
            .map(|(name, schema, what)| {
                json!({ "name": name, "in": "query", "description": what, "schema": schema })
            })
            .collect();
        let shared = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
        match self.kind {
            Kind::Read if self.tagged => all.push(shared("IfNoneMatch")),
            Kind::Read => {}
            Kind::Change => {
                all.extend(["DryRun", "IdempotencyKey", "IfMatch", "PreviewDigest"].map(shared));
            }
            Kind::Act if self.answer_changes() => all.push(shared("IdempotencyKey")),
            Kind::Act => {}
        }
        if self.who != Who::Anyone {
            all.push(shared("RequestId"));
        }
        all
    }

    /// Whether a repetition could do harm; what only looks needs no `Idempotency-Key`.
    fn answer_changes(&self) -> bool {
        !self.guesses
    }
}
