//! The time that no accepted Identification is past, kept where a killed process cannot take it along.
//!
//! It runs ahead of what is accepted, so that it is written about twice per second and not once per registration. What
//! was written is in the kernel's hands: killing the agent does not lose it. The writer syncs it with its next commit,
//! so that after a loss of power it is at most as old as the store.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::StateError;
use crate::wire::types::Identification;

const SECOND: i64 = 1 << 32;
/// How far it runs ahead of the Identification that moves it.
const LEAD: i64 = SECOND;
/// It is moved when less than this is left, so that there is time to sync it before it is needed.
const RESERVE: i64 = SECOND / 2;
/// Further than this from our clock nothing is accepted for its time (`replay-window` is an hour at most): a nonce.
const PLAUSIBLE: i64 = 3600 * SECOND;

/// The file.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    file: File,
    value: Option<Identification>,
    failed: bool,
}

impl Mark {
    /// Opens or creates it, and says what it was left at.
    pub fn open(path: &Path) -> Result<(Self, Option<Identification>), StateError> {
        let inaccessible = |source| StateError::Inaccessible { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(inaccessible)?;
        let length = file.metadata().map_err(inaccessible)?.len();
        let value = if length == 0 {
            None
        } else {
            let mut bytes = [0; 16];
            let read = if length == 16 { file.read_exact_at(&mut bytes, 0) } else { Ok(()) };
            read.map_err(inaccessible)?;
            let (value, check) = (u128::from_be_bytes(bytes) >> 64, u128::from_be_bytes(bytes) as u64);
            if value as u64 != !check {
                return Err(StateError::Damaged {
                    path: path.to_owned(),
                    reason: "it does not hold a time and its complement".into(),
                });
            }
            Some(Identification(value as u64))
        };
        Ok((Self { path: path.to_owned(), file, value, failed: false }, value))
    }

    /// Another handle, to sync it with.
    pub fn file(&self) -> Result<File, StateError> {
        self.file.try_clone().map_err(|source| StateError::Inaccessible { path: self.path.clone(), source })
    }

    /// Moves it ahead of an Identification, unless it is already, or that is no time.
    pub fn cover(&mut self, wall: Identification, identification: Identification) {
        let is_near =
            |time: Identification, most: i64| identification.since(time).unsigned_abs() <= most.unsigned_abs();
        // When our clock was set back, what was accepted before stands in for it.
        let known = self.value.filter(|value| is_near(*value, PLAUSIBLE + LEAD));
        if known.is_none() && !is_near(wall, PLAUSIBLE)
            || known.is_some_and(|value| value.since(identification) >= RESERVE)
        {
            return;
        }
        let value = Identification(identification.0.wrapping_add_signed(LEAD));
        match write(&self.file, value) {
            Ok(()) => {
                self.value = Some(value);
                if std::mem::take(&mut self.failed) {
                    tracing::info!(path = %self.path.display(), "written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::error!(path = %self.path.display(), %error,
                        "cannot write: should the agent be killed, a registration may be replayed for some seconds");
                }
            }
        }
    }
}

/// Whether by this clock nothing as late can have been accepted.
pub(super) fn is_beyond(mark: Identification, wall: Identification) -> bool {
    mark.since(wall) > PLAUSIBLE + LEAD
}

fn write(file: &File, value: Identification) -> io::Result<()> {
    let bytes = (u128::from(value.0) << 64) | u128::from(!value.0);
    file.write_all_at(&bytes.to_be_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0xed00_0000 << 32;

    fn at(milliseconds: i64) -> Identification {
        Identification(START.wrapping_add_signed((milliseconds << 32) / 1000))
    }

    #[test]
    fn it_is_always_ahead_of_what_was_accepted_and_rarely_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accepted");
        let (mut mark, before) = Mark::open(&path).unwrap();
        assert_eq!(before, None);
        let mut writes = 0;
        for millisecond in 0..10_000i64 {
            let before = mark.value;
            // Clients' clocks differ: these jump back and forth by up to three seconds.
            let accepted = at(millisecond + (millisecond % 3 - 1) * 3000);
            mark.cover(at(millisecond), accepted);
            writes += u32::from(mark.value != before);
            let kept = Mark::open(&path).unwrap().1.unwrap();
            assert!(kept.since(accepted) >= RESERVE, "{millisecond}");
        }
        assert!(writes <= 22, "{writes} writes in ten seconds");
    }

    #[test]
    fn a_nonce_does_not_move_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accepted");
        let (mut mark, _) = Mark::open(&path).unwrap();
        for nonce in [0, 1, u64::MAX, START ^ (1 << 63), START + (3601 << 32)] {
            mark.cover(at(0), Identification(nonce));
        }
        assert_eq!(Mark::open(&path).unwrap().1, None);
    }

    #[test]
    fn it_follows_a_clock_that_was_far_ahead_and_is_put_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accepted");
        let (mut mark, _) = Mark::open(&path).unwrap();
        let wrong = Identification(START + (100_000 << 32));
        mark.cover(wrong, wrong);
        mark.cover(at(0), at(0));
        let kept = Mark::open(&path).unwrap().1.unwrap();
        assert_eq!(kept, at(1000));
    }

    #[test]
    fn it_goes_on_when_the_clock_was_set_back_and_the_nodes_were_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accepted");
        let (mut mark, _) = Mark::open(&path).unwrap();
        mark.cover(at(0), at(0));
        let set_back = Identification(0x83aa_7e80 << 32);
        for second in 1..5000 {
            mark.cover(set_back, at(second * 1000));
            mark.cover(set_back, at(second * 500));
            let kept = Mark::open(&path).unwrap().1.unwrap();
            assert!(kept.since(at(second * 1000)) >= RESERVE);
        }
    }

    #[test]
    fn it_goes_on_across_the_wrap_of_2036() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accepted");
        let (mut mark, _) = Mark::open(&path).unwrap();
        let late = Identification(u64::MAX - 5);
        mark.cover(late, late);
        let kept = Mark::open(&path).unwrap().1.unwrap();
        assert!(kept.since(late) > 0 && kept.0 < START);
    }

    #[test]
    fn damage_is_refused_with_the_file_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accepted");
        let (mut mark, _) = Mark::open(&path).unwrap();
        mark.cover(at(0), at(0));
        let good = std::fs::read(&path).unwrap();
        for position in 0..16 {
            let mut damaged = good.clone();
            damaged[position] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            let error = Mark::open(&path).unwrap_err().to_string();
            assert!(
                error.contains("accepted: the state is damaged") && error.contains("move the file away"),
                "{error}"
            );
        }
        for length in (1..16).chain([17]) {
            std::fs::write(&path, vec![0; length]).unwrap();
            assert!(matches!(Mark::open(&path), Err(StateError::Damaged { .. })));
        }
    }
}
