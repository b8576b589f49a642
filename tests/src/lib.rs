//! What watches the others: a harness that runs the real programs, and the rules of the repository.

pub mod tidy;
