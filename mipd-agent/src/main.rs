//! The agent `mipd`.

fn main() {}
