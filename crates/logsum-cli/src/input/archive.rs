//! The choice of an array from a file of several with names.

use super::quoting::listed;
use anyhow::{Result, bail};

/// The place of the array with this name, or of the only one; `option` is the command's option that chooses a name.
pub(super) fn place(names: &[String], name: Option<&str>, option: &str) -> Result<usize> {
    let listed = || listed(names.iter().map(String::as_str));
    match (name, names) {
        (None, [_]) => Ok(0),
        (None, _) => bail!("holds {} arrays: {}; choose one with {option} NAME", names.len(), listed()),
        (Some(name), _) => match names.iter().position(|array| array == name) {
            Some(place) => Ok(place),
            None => bail!("has no array {name:?}; {option} can be {}", listed()),
        },
    }
}
