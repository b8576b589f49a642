//! `coterm price` and `coterm model`: the price book and the catalog.

use super::key::Pair;
use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum PriceCommand {
    /// Set list prices (vendor); dates of keys already issued do not move
    Set {
        /// One-year list price of a product, in one integer unit for all, such as camera=199
        #[arg(value_name = "PRODUCT=PRICE", required = true)]
        prices: Vec<Pair>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the price book
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ModelCommand {
    /// Put a model into the catalog (vendor)
    Put {
        model: String,
        /// The product type its devices use licenses of
        #[arg(long)]
        product: String,
        /// Licensed units one device uses; a four-door controller uses 4
        #[arg(long, default_value_t = 1)]
        units: u64,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the catalog
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
}

const PRICES: &[Column] = &[("PRODUCT", "/product"), ("PRICE", "/price")];
const MODELS: &[Column] = &[("MODEL", "/model"), ("PRODUCT", "/product"), ("UNITS", "/units")];
const NOW: ChangeArgs = ChangeArgs { yes: true, dry_run: false };

pub(crate) fn price(context: &Context, command: PriceCommand) -> Result<(), Failure> {
    match command {
        PriceCommand::Set { prices, output } => {
            for Pair { name, number } in prices {
                let path = format!("/api/v1/prices/{}", part(&name));
                let body = Some(json!({ "price": number }));
                let request = Change { method: Method::PUT, path: &path, body, ask: Ask::No };
                show(context.client.change(&request, NOW, output)?, output, PRICES)?;
            }
            Ok(())
        }
        PriceCommand::List { output } => output::list(output, PRICES, context.client.list("/api/v1/prices")?),
    }
}

pub(crate) fn model(context: &Context, command: ModelCommand) -> Result<(), Failure> {
    match command {
        ModelCommand::Put { model, product, units, output } => {
            let path = format!("/api/v1/models/{}", part(&model));
            let body = Some(json!({ "product": product, "units": units }));
            let request = Change { method: Method::PUT, path: &path, body, ask: Ask::No };
            show(context.client.change(&request, NOW, output)?, output, MODELS)
        }
        ModelCommand::List { output } => output::list(output, MODELS, context.client.list("/api/v1/models")?),
    }
}
