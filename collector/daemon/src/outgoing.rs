//! Connects to HTTP servers that the configuration names, in the clear or by TLS.
//!
//! Certificates are checked against the machine's own authorities. Nothing follows redirects: an
//! address that was configured is the only one that is talked to.

use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long a server may take to accept, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// `http://host:port/path?query` or the same with `https`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    /// Whether by TLS.
    pub tls: bool,
    /// Name or IP address, an IPv6 address in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, from the first slash.
    pub path: String,
}

/// The text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no address: use http://host:port/path or https://host/path, without a password"
)]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.chars().take(200).collect());
        let uri: hyper::Uri = text.parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid()),
        };
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            path: path.to_owned(),
        })
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

/// Without its path, which is the password of many webhooks.
impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scheme = if self.tls { "https" } else { "http" };
        let rest = if self.path.len() > 1 { "/…" } else { "" };
        serializer.collect_str(&format_args!("{scheme}://{}{rest}", self.authority()))
    }
}

impl Address {
    /// For the `Host` header: the port only where it is not the usual one.
    pub(crate) fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// Without path and query, which often are secrets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// A connection of either kind.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Connects, in bounded time.
pub(crate) async fn connect(address: &Address) -> io::Result<TokioIo<Box<dyn Wire>>> {
    let connected = timeout(CONNECT, async {
        let stream = TcpStream::connect(format!("{}:{}", address.host, address.port)).await?;
        if !address.tls {
            return Ok::<Box<dyn Wire>, io::Error>(Box::new(stream));
        }
        let bare = address.host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(authorities()?)
            .connect(name, stream)
            .await?;
        Ok(Box::new(stream))
    });
    let wire = connected
        .await
        .map_err(|_| io::Error::other("it does not accept connections"))??;
    Ok(TokioIo::new(wire))
}

/// Trusts the authorities of a PEM file and no others.
pub fn trusting(file: &Path) -> io::Result<Arc<ClientConfig>> {
    let unreadable =
        |error: &dyn fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"it holds no certificate"));
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The machine's certificate authorities, read once.
pub fn authorities() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let message = "this machine has no certificate authorities (package ca-certificates)";
        return Err(io::Error::other(message));
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Address;

    #[test]
    fn addresses_are_http_or_https_and_do_not_show_their_paths() {
        for (text, host, port, path, shown) in [
            (
                "http://localhost:8002",
                "localhost",
                8002,
                "/",
                "http://localhost:8002",
            ),
            (
                "https://hooks.example/T0/secret?x=1",
                "hooks.example",
                443,
                "/T0/secret?x=1",
                "https://hooks.example",
            ),
            ("http://[::1]/", "[::1]", 80, "/", "http://[::1]"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.host.as_str(), address.port, address.path.as_str()),
                (host, port, path)
            );
            assert_eq!(address.to_string(), shown);
        }
        for text in [
            "",
            "localhost:80",
            "ftp://host/",
            "http://user@host/",
            "http://",
            "http://a b/",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("is no address"), "{error}");
        }
    }
}
