//! The names that events have in the log, said once: what an event is called and what there is to ask for are one list.

/// Gives an enum of events `name` and `NAMES`, from a list of variants and names. After a semicolon stand variants that
/// hold events with names of their own.
macro_rules! event_names {
    ($($variant:ident => $name:literal),+ $(,)? $(; $($other:ident),+)?) => {
        /// The names of these events in the log, apart from those that have names of their own.
        pub const NAMES: &'static [&'static str] = &[$($name),+];

        /// Its name in the log.
        #[must_use]
        pub const fn name(&self) -> &'static str {
            match self {
                $(Self::$variant { .. } => $name,)+
                $($(Self::$other(event) => event.name(),)+)?
            }
        }
    };
}
