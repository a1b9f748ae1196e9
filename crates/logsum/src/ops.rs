use crate::{
    Error,
    float::Float,
    lane::{Lane, LaneMut},
};
pub fn logsumexp<T: Float>(z: &[T]) -> T {
    value(&z)
}
pub fn logsumexp_with_gradient<T: Float>(z: &[T], gradient: &mut [T]) -> Result<T, Error> {
    same_length(z, gradient)?;
    Ok(value_and_gradient(&z, gradient))
}
pub fn softmax<T: Float>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    same_length(z, out)?;
    gradient(&z, out);
    Ok(())
}
pub fn log_softmax<T: Float>(z: &[T], out: &mut [T]) -> Result<(), Error> {
    same_length(z, out)?;
    log_gradient(&z, out);
    Ok(())
}
fn same_length<T>(z: &[T], out: &[T]) -> Result<(), Error> {
    if z.len() == out.len() {
        Ok(())
    } else {
        Err(Error::LengthMismatch { expected: z.len(), found: out.len() })
    }
}
fn parts<T: Float>(z: &impl Lane<T>) -> (f64, f64) {
    let mut m = f64::NEG_INFINITY;
    z.blocks(|b| {
        for &x in b {
            m = m.max(x.into())
        }
    });
    let mut s = 0.0;
    z.blocks(|b| {
        for &x in b {
            if x.into() > f64::NEG_INFINITY {
                s += (x.into() - m).exp()
            }
        }
    });
    (m, s)
}
pub(crate) fn value<T: Float>(z: &impl Lane<T>) -> T {
    let (m, s) = parts(z);
    T::from_f64(m + s.ln())
}
pub(crate) fn gradient<T: Float>(z: &impl Lane<T>, mut out: impl LaneMut<T>) {
    let (m, s) = parts(z);
    z.blocks(|b| {
        out.next_block(b.len(), |o| {
            for (o, &x) in o.iter_mut().zip(b) {
                *o = T::from_f64((x.into() - m).exp() / s)
            }
        })
    })
}
pub(crate) fn value_and_gradient<T: Float>(z: &impl Lane<T>, out: impl LaneMut<T>) -> T {
    gradient(z, out);
    value(z)
}
pub(crate) fn log_gradient<T: Float>(z: &impl Lane<T>, mut out: impl LaneMut<T>) {
    let (m, s) = parts(z);
    z.blocks(|b| {
        out.next_block(b.len(), |o| {
            for (o, &x) in o.iter_mut().zip(b) {
                *o = T::from_f64((x.into() - m) - s.ln())
            }
        })
    })
}
