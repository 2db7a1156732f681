//! Visitors next to each other: what is for one never reaches another.
//!
//! * `neighbours`: visitors who talk with each other, and with hosts of the visited network.

mod neighbours;
