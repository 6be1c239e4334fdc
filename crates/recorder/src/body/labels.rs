//! Fields whose values have names, in the order in which they are numbered; names are only ever
//! added at the end.

use std::borrow::Cow;

use super::{Kind, Part};

/// Names for the values of a field, in the order in which they are numbered.
macro_rules! labels {
    ($($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $item_doc:literal])+ $item:ident = $text:literal,)+
    })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $item_doc])+ $item,)+
            /// A label of a later version.
            #[default]
            Unknown,
        }

        impl $name {
            const ALL: &[Self] = &[$(Self::$item,)+];

            /// Its name, as JSON and tables have it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$item => $text,)+
                    Self::Unknown => "unknown",
                }
            }
        }

        impl Part for $name {
            const KIND: Kind = Kind::Label(Cow::Borrowed(&[$(Cow::Borrowed($text)),+]));

            fn put(&self, to: &mut Vec<u8>) {
                let place = Self::ALL.iter().position(|item| item == self);
                place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX).put(to);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let place = usize::from(u8::take(from)?);
                Some(Self::ALL.get(place).copied().unwrap_or_default())
            }
        }
    )+};
}

labels! {
    /// What a position was last anchored by.
    SourceLabel {
        /// Matched against satellite images.
        SatelliteAnchored = "satellite_anchored",
        /// Carried on by visual odometry.
        VisualPropagated = "visual_propagated",
        /// Carried on by inertia alone.
        DeadReckoned = "dead_reckoned",
    }
    /// Which way a frame went.
    Direction {
        /// It was received.
        Received = "received",
        /// It was sent.
        Sent = "sent",
    }
    /// What became of a frame.
    FrameVerdict {
        /// It was whole.
        Ok = "ok",
        /// Its check did not fit.
        BadChecksum = "bad_checksum",
        /// Its signature did not fit.
        BadSignature = "bad_signature",
        /// Its message is not known.
        UnknownMessage = "unknown_message",
    }
    /// Whether something began or ended.
    Edge {
        /// It began.
        Entry = "entry",
        /// It ended.
        Exit = "exit",
    }
    /// What became of a doubtful position of the satellites.
    Promotion {
        /// It was taken for spoofed.
        Promoted = "promoted",
        /// It was taken for real.
        Rejected = "rejected",
    }
    /// How much something matters.
    Severity {
        /// Nobody needs to look.
        Info = "info",
        /// Odd, recovered, all losses accounted for.
        Warning = "warning",
        /// Something was lost, or a person is needed.
        Error = "error",
        /// It cannot go on.
        Critical = "critical",
    }
    /// How a metric behaves.
    MetricKind {
        /// It only grows.
        Counter = "counter",
        /// It goes up and down.
        Gauge = "gauge",
        /// It counts values by size.
        Histogram = "histogram",
    }
    /// Which lines of a log are kept.
    LogLevel {
        /// Odd, recovered.
        Warn = "warn",
        /// Lost, or a person is needed.
        Error = "error",
    }
    /// How a source ended.
    Ending {
        /// It said so.
        Detached = "detached",
        /// Its process was gone.
        Died = "died",
    }
}
