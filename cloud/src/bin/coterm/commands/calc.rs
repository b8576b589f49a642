//! `coterm calc`: the calculator of `coterm_shared::licensing::calc` on a file or on standard input. No server.

use crate::failure::{Exit, Failure};
use crate::output;
use clap::Args;
use coterm_shared::licensing::calc;
use std::io::Read;
use std::path::PathBuf;

/// A million lines fit; what is longer is refused before it is read into memory.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Co-termination of any lines, exactly and offline.
#[derive(Args, Debug)]
#[command(after_long_help = HELP)]
pub(crate) struct CalcArgs {
    /// The file to read; `-` is standard input
    file: PathBuf,
}

const HELP: &str = r#"Input (JSON):
  {"at": "2027-05-01T00:00:00Z",          (optional: count the remaining time from here)
   "lines": [{"product": "camera",        a product type, or product-N
              "quantity": 10,             1 to 1000000000 licensed units
              "price": 199,               the weight: an integer in any one unit, 1 to 1000000000
              "term_days": 365,           1 to 36500
              "created_at": "2027-01-01T00:00:00Z"}]}

Output (JSON on standard output): coterm_at; since, exact_days and days_shown (from the earliest creation);
with `at` also remaining_exact_days, remaining_days_shown, remaining_exact_months, remaining_months_shown;
and of each line ends_at, weight_share and weight_percent. Exact values are reduced fractions in text ("172645/224",
"730"); shown values are rounded half-up.

Mistakes (JSON on standard error, exit status 3): {"errors": [{"code", "field", "message"}...], "omitted": N}.
Codes: MALFORMED_JSON MISSING_FIELD UNKNOWN_FIELD WRONG_TYPE OUT_OF_RANGE UNKNOWN_PRODUCT NOT_AN_INSTANT
END_TOO_LATE NO_LINES TOO_MANY_LINES. A file that cannot be read: exit status 1."#;

/// Runs the command.
pub(crate) fn run(args: &CalcArgs) -> Result<(), Failure> {
    let input = match calc::parse(&read(args)?) {
        Ok(input) => input,
        Err(problems) => {
            let text = serde_json::to_string_pretty(&problems).map_err(Failure::internal)?;
            return Err(Failure::new(Exit::Invalid, text));
        }
    };
    let answer = calc::answer(&input).ok_or_else(|| Failure::internal("the numbers are out of bounds"))?;
    output::print(&serde_json::to_string_pretty(&answer).map_err(Failure::internal)?)
}

fn read(args: &CalcArgs) -> Result<Vec<u8>, Failure> {
    let name = args.file.display();
    let source: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(&args.file)
            .map_err(|error| Failure::new(Exit::Internal, format!("cannot open {name}: {error}")))?;
        Box::new(file)
    };
    let mut bytes = Vec::new();
    source
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::new(Exit::Invalid, format!("{name} is larger than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}
