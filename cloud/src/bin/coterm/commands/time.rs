//! `coterm time`: the daemon's clock, and saying that it is right.

use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum TimeCommand {
    /// Show the daemon's time, and why nothing is signed at present, if so (vendor)
    Show {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say that the clock of the daemon's machine is right, so that signing goes on (vendor)
    Confirm,
}

const COLUMNS: &[Column] = &[("NOW", "/now"), ("DOUBT", "/doubt")];

pub(crate) fn run(context: &Context, command: TimeCommand) -> Result<(), Failure> {
    match command {
        TimeCommand::Show { output } => {
            output::one(output, COLUMNS, &context.client.get("/api/v1/time")?.body)
        }
        TimeCommand::Confirm => {
            context.client.send(Method::POST, "/api/v1/time/confirm", None, &[])?;
            output::note("Confirmed: what was held back is signed now.");
            Ok(())
        }
    }
}
