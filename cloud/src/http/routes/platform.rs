//! `/prices`, `/models` and `/limits`: what the vendor keeps for everybody.

use super::*;
use axum::extract::{Path, State};
use coterm_shared::licensing::{Limits, ModelName};
use coterm_shared::platform::PlatformCommand;
use coterm_shared::product::ProductType;
use coterm_shared::time::Seconds;
use serde_json::json;

pub(super) fn routes() -> Routes {
    let price = body([("price", from_to(1, 1_000_000_000))]);
    let model = body([("product", to("Product")), ("units", count())]);
    let years = || from_to(0, Seconds::days(36_500).0);
    let limits_body = body([
        ("grace_max_secs?", years()),
        ("stop_after_lock_min_secs?", years()),
        ("clock_reset_secs?", years()),
        ("countdown_max_secs?", years()),
        ("trial_max_secs?", years()),
        ("configured_doors_allowed?", flag()),
        ("hold_share_max_percent?", from_to(0, 100)),
        ("hold_devices_max?", count()),
        ("held_secs?", years()),
        ("lockout_pace_min?", said(count(), "devices a day; 0: organizations may choose no pace")),
    ]);
    Routes::new()
        .get("/prices", prices, Op::list(Who::Token, "listPrices", "The price book", to("Price")).tagged())
        .put(
            "/prices/{product}",
            set_price,
            Op::change(Who::Vendor, "setPrice", "Set the list price of a product type", "Price").body(price),
        )
        .get("/models", models, Op::list(Who::Token, "listModels", "The catalog", to("Model")).tagged())
        .put(
            "/models/{model}",
            put_model,
            Op::change(Who::Vendor, "putModel", "Put a model into the catalog", "Model").body(model),
        )
        .get(
            "/limits",
            limits,
            Op::read(Who::Token, "getLimits", "The vendor's bounds of settings", to("Limits")).tagged(),
        )
        .put(
            "/limits",
            set_limits,
            Op::change(Who::Vendor, "setLimits", "Set the bounds of settings", "Limits").body(limits_body),
        )
}

/// `GET /prices`
pub(super) async fn prices(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ReadPlatform)?;
    let page: Page<ProductNumber> = ask.page()?;
    let platform = api.books().platform();
    let view = |(product, price): (&ProductType, &coterm_shared::platform::Price)| json!({ "product": product, "price": price.price, "version": price.version, "since": price.since });
    let prices = platform.prices_after(page.after.map(|number| number.0));
    let prices = page::of(prices, &page, |(product, _)| ProductNumber(**product), view);
    page::tagged(platform.version(), ask.headers(), &prices)
}

/// Prices come in the order of the products' numbers, so the cursor is the number.
#[derive(Clone, Copy)]
struct ProductNumber(ProductType);

impl std::str::FromStr for ProductNumber {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let number = text.parse().ok().and_then(ProductType::from_number);
        number.map(ProductNumber).ok_or("not the number of a product type")
    }
}

impl std::fmt::Display for ProductNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.number().fmt(f)
    }
}

/// `PUT /prices/{product}` `{"price"}`
pub(super) async fn set_price(
    State(api): State<Api>,
    Path(product): Path<String>,
    ask: Ask,
) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let product: ProductType = ids::of_path(&product, "product type")?;
    let mut body = ask.body()?;
    let price = body.integer("price", 0, u64::MAX);
    let price = body.finish(|| price)?;
    let change = Change::Platform(PlatformCommand::SetPrice { product, price });
    change::make(&api, &ask, change, StatusCode::OK, move |committed| {
        Some(json!({ "product": product, "price": price, "since": committed.at }))
    })
    .await
}

/// `GET /models`
pub(super) async fn models(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ReadPlatform)?;
    let page: Page<ModelCursor> = ask.page()?;
    let platform = api.books().platform();
    let view = |model: &coterm_shared::platform::Model| json!({ "model": model.name, "product": model.product, "units": model.units });
    let models = platform.models_after(page.after.as_ref().map(|cursor| cursor.0.clone()));
    let models = page::of(models, &page, |model| ModelCursor(model.name.clone()), view);
    page::tagged(platform.version(), ask.headers(), &models)
}

struct ModelCursor(ModelName);

impl std::str::FromStr for ModelCursor {
    type Err = coterm_shared::licensing::Refusal;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        ModelName::parse(text).map(ModelCursor)
    }
}

impl std::fmt::Display for ModelCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// `PUT /models/{model}` `{"product", "units"}`
pub(super) async fn put_model(
    State(api): State<Api>,
    Path(model): Path<String>,
    ask: Ask,
) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let mut body = ask.body()?;
    let product = body.parsed::<ProductType>("product");
    let units = body.integer("units", 0, u64::MAX);
    let (product, units) = body.finish(|| product.zip(units))?;
    let shown = json!({ "model": model, "product": product, "units": units });
    let change = Change::Platform(PlatformCommand::PutModel { name: model, product, units });
    change::make(&api, &ask, change, StatusCode::OK, move |_| Some(shown)).await
}

/// `GET /limits`
pub(super) async fn limits(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ReadPlatform)?;
    ask.no_query()?;
    let platform = api.books().platform();
    page::tagged(platform.version(), ask.headers(), platform.limits())
}

/// `PUT /limits` `{"grace_max_secs"?, "stop_after_lock_min_secs"?, "clock_reset_secs"?}`; what is absent stays.
pub(super) async fn set_limits(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let mut body = ask.body()?;
    // A hundred years: what is longer is a mistake, and sums of it must not overflow.
    let max = Seconds::days(36_500).0;
    let grace = body.optional_integer("grace_max_secs", 0, max);
    let stop = body.optional_integer("stop_after_lock_min_secs", 0, max);
    let reset = body.optional_integer("clock_reset_secs", 0, max);
    let countdown = body.optional_integer("countdown_max_secs", 1, max);
    let trial = body.optional_integer("trial_max_secs", 1, max);
    let doors = body.optional_flag("configured_doors_allowed");
    let share = body.optional_integer("hold_share_max_percent", 0, 100);
    let devices = body.optional_integer("hold_devices_max", 0, u64::MAX);
    let held = body.optional_integer("held_secs", 1, max);
    let pace = body.optional_integer("lockout_pace_min", 0, u64::MAX);
    let now = *api.books().platform().limits();
    let limits = body.finish(|| {
        Some(Limits {
            grace_max_secs: grace?.map_or(now.grace_max_secs, Seconds),
            stop_after_lock_min_secs: stop?.map_or(now.stop_after_lock_min_secs, Seconds),
            clock_reset_secs: reset?.map_or(now.clock_reset_secs, Seconds),
            countdown_max_secs: countdown?.map_or(now.countdown_max_secs, Seconds),
            trial_max_secs: trial?.map_or(now.trial_max_secs, Seconds),
            configured_doors_allowed: doors?.unwrap_or(now.configured_doors_allowed),
            hold_share_max_percent: share?.unwrap_or(now.hold_share_max_percent),
            hold_devices_max: devices?.unwrap_or(now.hold_devices_max),
            held_secs: held?.map_or(now.held_secs, Seconds),
            lockout_pace_min: pace?
                .map_or(now.lockout_pace_min, |least| Some(least).filter(|least| *least > 0)),
        })
    })?;
    let change = Change::Platform(PlatformCommand::SetLimits { limits });
    change::make(&api, &ask, change, StatusCode::OK, move |_| Some(json!(limits))).await
}
