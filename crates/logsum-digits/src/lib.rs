//! The handwritten digits that the examples learn, and how they report what they learned.

mod comparison;
mod images;

pub use comparison::{Training, compare};
pub use images::{CLASSES, HELD_OUT, IMAGES, Images, PIXELS, SEED};

/// The repository, which has the data and receives what examples write, in `target`.
pub const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What an example does or fails to do.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
