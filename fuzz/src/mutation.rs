//! Random changes to an input, for a little fuzzing on any compiler. libFuzzer does it better.

use rand::{RngExt, rngs::StdRng};

/// Longest input that is made.
const LONGEST: usize = 2048;
/// Bytes that formats care about.
const INTERESTING: [u8; 12] = [0, 1, 2, 3, 4, 7, 15, 32, 34, 127, 128, 255];

/// Changes `input` in one to eight places, now and then with a piece of `other`.
pub fn mutate(input: &[u8], other: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.random_range(1..=8_u32) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..8_u32) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.random()),
            2 => bytes.extend_from_slice(&other[..random.random_range(0..=other.len())]),
            3 => {
                let from = random.random_range(0..=other.len());
                let piece = &other[from..(from + random.random_range(0..32)).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            4 => drop(bytes.drain(at..(at + random.random_range(0..8)).min(bytes.len()))),
            5 if at < bytes.len() => bytes[at] = INTERESTING[random.random_range(0..INTERESTING.len())],
            6 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8_u32),
            _ if at < bytes.len() => bytes[at] = random.random(),
            _ => {}
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
