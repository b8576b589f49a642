//! `coterm time`: the daemon's clock, and saying that it is right.

use super::prelude::*;
use crate::change::confirm;

#[derive(Subcommand, Debug)]
pub(crate) enum TimeCommand {
    /// Show the daemon's time, and why nothing is signed at present, if so (vendor)
    Show {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say that the clock of the daemon's machine is right, so that signing goes on (vendor)
    #[command(
        after_help = "What that clock says at this moment is adopted, for good: confirmed with a clock that is ahead, \
        terms end that have\nnot ended. Look at `coterm time show` and at another clock first."
    )]
    Confirm {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

const COLUMNS: &[Column] = &[("NOW", "/now"), ("MACHINE SAYS", "/machine"), ("DOUBT", "/doubt")];

pub(crate) fn run(context: &Context, command: TimeCommand) -> Result<(), Failure> {
    match command {
        TimeCommand::Show { output } => {
            output::one(output, COLUMNS, &context.client.get("/api/v1/time")?.body)
        }
        TimeCommand::Confirm { yes } => {
            let time = context.client.get("/api/v1/time")?.body;
            let said = |pointer| time.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
            output::note(format!(
                "The daemon goes by {}; the clock of its machine says {}, and that is adopted for good.",
                said("/now"),
                said("/machine")
            ));
            if !yes {
                confirm("Is the machine's clock right?", "Look at the clock, then pass --yes.")?;
            }
            context.client.send(Method::POST, "/api/v1/time/confirm", None, &[])?;
            output::note("Confirmed: what was held back is signed now.");
            Ok(())
        }
    }
}
