//! Bytes as states of sums: whatever is taken for a state has a value, its own bytes, and merges in either order.
use logsum::{Accumulator, EffectiveSampleSize, Float, ShardedLogProb, WeightedMean};

fn same<T: PartialOrd>(a: T, b: T) -> bool {
    a == b || a.partial_cmp(&b).is_none()
}

fn check<T: Float>(data: &[u8]) {
    let (first, second) = data.split_at(data.len().min(112));
    let states = [first, &second[..second.len().min(112)]].map(Accumulator::<T>::from_bytes);
    if let Ok(state) = &states[0] {
        assert_eq!(state.to_bytes()[..], *first);
        let _ = (state.value(), state.logmeanexp(), state.max(), state.is_proved_nearest());
    }
    if let [Ok(a), Ok(b)] = states {
        let [mut ab, mut ba] = [a, b];
        ab.merge(&b);
        ba.merge(&a);
        assert_eq!(ab.to_bytes(), ba.to_bytes());
        assert!(same(ab.value(), ba.value()));
        assert!(Accumulator::<T>::from_bytes(&ab.to_bytes()).is_ok_and(|state| state == ab));
    }
    let shards =
        [data.get(..64), data.get(64..128)].map(|bytes| ShardedLogProb::<T>::from_bytes(bytes?).ok());
    if let [Some(a), Some(b)] = shards {
        let [mut ab, mut ba] = [a, b];
        ab.merge(&b);
        ba.merge(&a);
        assert_eq!(ab.to_bytes(), ba.to_bytes());
        let _ = (ab.log_prob(), ab.is_proved_nearest());
    }
    let _ = EffectiveSampleSize::<T>::from_bytes(data).map(|state| state.value());
    let _ = WeightedMean::<T>::from_bytes(data).map(|state| state.value());
}

/// Reads, merges and writes states of both formats.
pub fn states(data: &[u8]) {
    check::<f64>(data);
    check::<f32>(data);
}
