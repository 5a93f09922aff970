//! Lanes, and where the messages of each wait for a lease.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A class of jobs. Each lane has queues of its own, so that no job waits behind those of another lane.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Jobs that somebody waits for.
    Urgent,
    #[default]
    Normal,
    /// Jobs that take what the other lanes leave, besides a small share of their own.
    Bulk,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|lane| lane.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a lane: urgent, normal or bulk"))
    }
}

/// Where a message waits for a lease. Consumers take messages from one origin each, with a limit of
/// leases of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// New jobs.
    Jobs(Lane),
    /// Jobs that came back: retries whose delay is over, released jobs, parked leases. They do not
    /// wait behind new jobs.
    Returned(Lane),
    /// Jobs with long recordings. Others do not wait behind them.
    Long(Lane),
    /// Jobs that may have killed a worker. They are run alone.
    Quarantine,
    /// Jobs that the queue itself has given up, because their leases ended unsettled too often. They
    /// are not run, but their failure is recorded.
    Undelivered,
    /// Notifications of uploads, from which jobs are made. They are not jobs.
    Uploads,
    /// Watches of batches, each until somebody was told that its batch is over. They are not jobs. All
    /// their destinations but the dead letters lead back here, and the queue never gives one up.
    Watches,
}

impl Origin {
    /// Returns all origins.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_lane = |lane| [Self::Returned(lane), Self::Jobs(lane), Self::Long(lane)];
        [Self::Quarantine, Self::Undelivered, Self::Uploads, Self::Watches]
            .into_iter()
            .chain(Lane::ALL.into_iter().flat_map(of_lane))
    }

    /// Returns the lane, where each lane has an origin of its own.
    pub fn lane(self) -> Option<Lane> {
        match self {
            Self::Jobs(lane) | Self::Returned(lane) | Self::Long(lane) => Some(lane),
            Self::Quarantine | Self::Undelivered | Self::Uploads | Self::Watches => None,
        }
    }

    /// Returns where a message of a lane that was leased from here comes back to.
    pub(crate) fn back(self, lane: Lane) -> Self {
        match self {
            Self::Watches => Self::Watches,
            _ => Self::Returned(lane),
        }
    }
}
