pub trait Float: Copy + PartialOrd + Into<f64> + std::fmt::Debug + Default + 'static {
    fn from_f64(x: f64) -> Self;
}
impl Float for f32 {
    fn from_f64(x: f64) -> Self {
        x as f32
    }
}
impl Float for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }
}
