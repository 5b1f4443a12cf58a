//! Why the API refuses a call: its words and its status.

/// Why a call is refused, in the words of the API (those marked * are ours,
/// the true text is not known).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The resource you requested could not be found.")]
    NotFound,
    #[error("The floating IP already has a pending event.")]
    AddressBusy,
    #[error("Droplet already has a pending event.")]
    DropletBusy,
    /// *
    #[error("Reserved IP is already assigned to this Droplet.")]
    AlreadyHere,
    /// *
    #[error("Droplet is already assigned a reserved IP.")]
    HasAnother,
    #[error("Droplet can't be blank")]
    NoDroplet,
    /// *
    #[error("Droplet and reserved IP must be in the same region.")]
    OtherRegion,
    /// *
    #[error("The reserved IP is not assigned to a Droplet.")]
    NotAssigned,
    #[error("Cannot specify Droplet and region, they are mutually exclusive.")]
    DropletAndRegion,
    /// *
    #[error("Droplet or region must be given.")]
    DropletOrRegion,
    /// *
    #[error("The reserved IP limit of the account is reached.")]
    NoAddressLeft,
    /// *
    #[error("Unknown action type.")]
    UnknownAction,
    /// *
    #[error("tag_name and name are mutually exclusive query parameters.")]
    TagAndName,
    #[error("error parsing request body")]
    BadBody,
}

impl Refusal {
    /// The status and the `id` of the error body.
    pub(crate) fn status(self) -> (u16, &'static str) {
        match self {
            Self::NotFound => (404, "not_found"),
            Self::BadBody => (400, "bad_request"),
            Self::AddressBusy
            | Self::DropletBusy
            | Self::AlreadyHere
            | Self::HasAnother
            | Self::NoDroplet
            | Self::OtherRegion
            | Self::NotAssigned
            | Self::DropletAndRegion
            | Self::DropletOrRegion
            | Self::NoAddressLeft
            | Self::UnknownAction
            | Self::TagAndName => (422, "unprocessable_entity"),
        }
    }
}
