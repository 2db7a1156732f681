//! Access points on a simulated network that loses, repeats and delays what they send.

mod convergence;
mod hostile;
mod network;
mod probes;
