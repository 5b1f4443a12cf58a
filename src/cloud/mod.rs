//! The provider: its API, the metadata service of the droplet, and the way to them.
//!
//! One call is one request. Nothing here retries, and nothing here decides: the
//! claim reconciler does both. Every wait has a timeout, every answer a size limit.
//!
//! * [`digitalocean`]: the API client, its types and errors.
//! * [`metadata`]: what the hypervisor tells this droplet about itself.
//! * [`discover`]: from a droplet, as the API shows it, to a holder.
//! * [`reach`]: whether the API's host can be reached at all.
//! * [`warm`]: connections, for the above.

pub mod digitalocean;
pub mod discover;
pub mod metadata;
pub mod reach;
mod warm;
