//! What must hold for any bytes: a function for each target of cargo-fuzz, which panics where it does not.

mod command;
mod explain;
mod states;
mod values;

pub use command::command;
pub use explain::explain;
pub use states::states;
pub use values::values;
