//! Header layouts and checksum arithmetic.
