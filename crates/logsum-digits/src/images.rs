//! The images.

use crate::{Outcome, REPOSITORY};
use ndarray::{Array2, Axis};
use rand::{SeedableRng, seq::SliceRandom};
use std::path::Path;

const DATA: &str = "data/digits.csv";

/// How many images there are.
pub const IMAGES: usize = 1797;
/// Pixels of each image.
pub const PIXELS: usize = 64;
/// The digits.
pub const CLASSES: usize = 10;
/// How many images are held out of training.
pub const HELD_OUT: usize = 450;
/// Which images are held out.
pub const SEED: u64 = 7;

/// Pixels from 0 to 1, one image a row, and the digit that each shows.
pub struct Images {
    /// One image a row.
    pub pixels: Array2<f64>,
    /// The digit of each row.
    pub classes: Vec<usize>,
}

impl Images {
    /// All images of the repository's file.
    ///
    /// # Errors
    /// One line that names the file, if it is not there or not the one that belongs there.
    pub fn read() -> Outcome<Self> {
        let images = Self::read_from(&Path::new(REPOSITORY).join(DATA));
        images.map_err(|error| format!("{DATA}: {error}; `git checkout {DATA}` restores it").into())
    }

    fn read_from(path: &Path) -> Outcome<Self> {
        let (mut pixels, mut classes) = (Vec::new(), Vec::new());
        for (line, row) in (2..).zip(csv::Reader::from_path(path)?.deserialize()) {
            let mut image: Vec<u8> = row?;
            let class = image.pop().map(usize::from).filter(|&class| class < CLASSES);
            let (Some(class), PIXELS, true) = (class, image.len(), image.iter().all(|&pixel| pixel <= 16))
            else {
                return Err(format!("line {line} is not {PIXELS} pixels from 0 to 16 and a digit").into());
            };
            classes.push(class);
            pixels.extend(image.into_iter().map(|pixel| f64::from(pixel) / 16.0));
        }
        if classes.len() != IMAGES {
            return Err(format!("{} images instead of {IMAGES}", classes.len()).into());
        }
        Ok(Self { pixels: Array2::from_shape_vec((IMAGES, PIXELS), pixels)?, classes })
    }

    /// Those to train on, and those held out.
    pub fn split(&self) -> (Self, Self) {
        let mut order: Vec<usize> = (0..IMAGES).collect();
        // ChaCha8's stream is the same in every version and on every machine.
        order.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(SEED));
        let select = |which: &[usize]| Self {
            pixels: self.pixels.select(Axis(0), which),
            classes: which.iter().map(|&index| self.classes[index]).collect(),
        };
        (select(&order[HELD_OUT..]), select(&order[..HELD_OUT]))
    }
}
