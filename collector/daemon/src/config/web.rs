//! The `[web]` section: who may come by TCP, and how.

use super::ConfigError;
use aground_helper::units::Span;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Who may come by TCP, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Whether a token is needed on loopback, too. Anywhere else it always is.
    pub tokens: bool,
    /// Whether a proxy that speaks TLS is before the address. What it says of where requests come
    /// from is believed, so nobody else may reach the address.
    pub behind_proxy: bool,
    /// Certificates for TLS, PEM: the service's own first.
    pub tls_cert: Option<PathBuf>,
    /// Their key, PEM.
    pub tls_key: Option<PathBuf>,
    /// After how long without use a browser must sign in again.
    pub session_idle: Span,
    /// After how long in any case.
    pub session_max: Span,
    /// Requests each second that one client may make in the long run; 0 for no limit.
    pub requests_per_second: u32,
    /// Requests that it may make at once.
    pub requests_at_once: u32,
    /// How many may follow events at the same time, open pages included.
    pub event_listeners: u32,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            tokens: false,
            behind_proxy: false,
            tls_cert: None,
            tls_key: None,
            session_idle: Span(Duration::from_hours(8)),
            session_max: Span(Duration::from_hours(7 * 24)),
            requests_per_second: 50,
            requests_at_once: 500,
            event_listeners: 500,
        }
    }
}

impl Web {
    /// Certificates and key, where there are both.
    pub fn tls(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.tls_cert.as_ref().zip(self.tls_key.as_ref())
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(ConfigError::Value {
                name: "tls_cert and tls_key",
                expected: "given both or neither",
            });
        }
        if self.session_idle.0.is_zero() || self.session_max.0.is_zero() {
            return Err(ConfigError::Value {
                name: "session_idle and session_max",
                expected: "more than nothing",
            });
        }
        Ok(())
    }
}
