//! Runs the service: the daemon, and the router on TCP and on a unix socket.
//!
//! One process per state directory (the store's lock) and per socket. Whatever cannot work is
//! refused before anything starts. Sockets may also be passed by systemd ([`Passed`]).

use crate::access::Gate;
use crate::access::limits::Limits;
use crate::access::sessions::Sessions;
use crate::passed::Passed;
use crate::peer::Peer;
use crate::tls::{BadIdentity, Identity, TlsListener};
use crate::{App, guard, profile, router};
use aground_daemon::{Config, Daemon, DaemonError};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The socket's file name, below the runtime directory.
pub const SOCKET: &str = "api.sock";

/// Owner and group may talk to the service.
const SOCKET_MODE: u32 = 0o660;

/// How long open answers (downloads) may hold up the end of the service.
const GRACE: Duration = Duration::from_secs(5);

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Everyone who reaches the port would read memory of crashed processes.
    #[error(
        "refusing to listen on {0} in the clear: set tls_cert and tls_key of [web], or \
         behind_proxy = true where a proxy that speaks TLS is in front and nobody else gets there"
    )]
    InTheClear(SocketAddr),
    /// Certificates or key cannot be used.
    #[error(transparent)]
    Identity(#[from] BadIdentity),
    /// Another service answers on the socket.
    #[error("another aground daemon answers on {0}")]
    Running(PathBuf),
    /// Something else than a socket is where ours must be.
    #[error("{0} is in the way: it is no socket")]
    InTheWay(PathBuf),
    /// The port cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// TCP address or socket path.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The runtime directory cannot be made.
    #[error("cannot make {path}")]
    RuntimeDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon could not start.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Signals cannot be received, or accepting failed.
    #[error("cannot serve")]
    Io(#[from] io::Error),
}

/// Certificates and key where TLS is spoken, and a refusal where it has to be.
pub fn identity(config: &Config) -> Result<Option<Identity>, ServeError> {
    match config.web.tls() {
        Some((certificates, key)) => Ok(Some(Identity::read(certificates, key)?)),
        None if config.listen.ip().is_loopback() || config.web.behind_proxy => Ok(None),
        None => Err(ServeError::InTheClear(config.listen)),
    }
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(mut config: Config, passed: Passed) -> Result<(), ServeError> {
    if let Some(tcp) = &passed.tcp {
        config.listen = tcp.local_addr()?;
    }
    let identity = identity(&config)?;
    let gate = gate(&config);
    let (mut terminate, mut interrupt, mut hang_up) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    );
    let socket = config.runtime_dir.join(SOCKET);
    let ours = passed.unix.is_none();
    if ours {
        make_room(&socket)?;
    }
    let tcp = match passed.tcp {
        Some(tcp) => TcpListener::from_std(tcp)?,
        None => listen_tcp(config.listen).await?,
    };
    let address = tcp.local_addr()?;
    let debug = match config.debug_listen {
        Some(address) => Some(listen_tcp(address).await?),
        None => None,
    };

    let daemon = Daemon::start(config).await?;
    let unix = match passed.unix.map(UnixListener::from_std) {
        Some(passed) => passed.map_err(ServeError::Io),
        None => listen_unix(&socket),
    };
    let unix = match unix {
        Ok(listener) => listener,
        Err(error) => {
            daemon.shutdown().await;
            return Err(error);
        }
    };
    let scheme = if identity.is_some() { "https" } else { "http" };
    let tokens = gate.tokens_needed;
    let app = App::behind(daemon.clone(), gate);
    let stopping = app.stopping.clone();
    tracing::info!(url = %format_args!("{scheme}://{address}/"), tokens, socket = %socket.display(), "listening");
    let servers = tokio::spawn(run_servers(
        address,
        (tcp, identity.clone()),
        unix,
        (router(app), tokens),
        stopping.clone(),
    ));

    let debug = tokio::spawn(serve_profiles(debug));

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => renew(identity.as_ref()),
        }
    }
    tracing::info!("stopping");
    stopping.cancel();
    debug.abort();
    if tokio::time::timeout(GRACE, servers).await.is_err() {
        tracing::warn!("open connections were cut");
    }
    daemon.shutdown().await;
    if ours {
        remove_socket(&socket);
    }
    tracing::info!("stopped");
    Ok(())
}

/// What is asked of who comes by TCP: nothing on loopback, unless the configuration says so or a
/// proxy lets others in.
fn gate(config: &Config) -> Gate {
    let web = &config.web;
    let tokens = web.tokens || web.behind_proxy || !config.listen.ip().is_loopback();
    let secure = web.behind_proxy || web.tls().is_some();
    Gate::new(
        tokens,
        web.behind_proxy,
        Sessions::new(web.session_idle.0, web.session_max.0, secure),
        Limits::new(f64::from(web.requests_per_second), web.requests_at_once),
    )
    .with_listeners(web.event_listeners)
}

/// Reads certificates and key again.
fn renew(identity: Option<&Identity>) {
    match identity.map(Identity::renew) {
        Some(Err(error)) => tracing::error!(%error, "going on with the certificates from before"),
        Some(Ok(())) => tracing::info!("read certificates and key again"),
        None => {}
    }
}

async fn run_servers(
    listen: SocketAddr,
    (tcp, identity): (TcpListener, Option<Identity>),
    unix: UnixListener,
    (router, tokens): (Router, bool),
    stopping: CancellationToken,
) {
    // Where a token is needed, a name that somebody points at us gets nobody in.
    let guarded = if tokens {
        router.clone()
    } else {
        // Refusals of the outer guard are answers too.
        router
            .clone()
            .layer(from_fn_with_state(listen, guard::refuse_foreign_hosts))
            .layer(from_fn(guard::harden_responses))
    };
    let guarded = guarded.into_make_service_with_connect_info::<Peer>();
    let router = router.into_make_service_with_connect_info::<Peer>();
    let stopped = stopping.clone().cancelled_owned();
    let tcp = async {
        match identity {
            None => {
                axum::serve(tcp, guarded)
                    .with_graceful_shutdown(stopped)
                    .await
            }
            Some(identity) => {
                let tls = TlsListener::new(tcp, identity)?;
                axum::serve(tls, guarded)
                    .with_graceful_shutdown(stopped)
                    .await
            }
        }
    };
    let unix = axum::serve(unix, router)
        .with_graceful_shutdown(stopping.cancelled_owned())
        .into_future();
    let (tcp, unix) = tokio::join!(tcp, unix);
    for error in [tcp.err(), unix.err()].into_iter().flatten() {
        tracing::error!(%error, "serving ended");
    }
}

/// Serves what `debug_listen` is for, where it is set.
async fn serve_profiles(listener: Option<TcpListener>) {
    let Some(listener) = listener else { return };
    let served = async {
        let address = listener.local_addr()?;
        tracing::info!(url = %format_args!("http://{address}/debug/profile"), "profiles can be taken");
        axum::serve(listener, profile::router(address)).await
    };
    if let Err(error) = served.await {
        tracing::error!(%error, "profiles can no longer be taken");
    }
}

async fn listen_tcp(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let error = |source| ServeError::Listen {
        address: address.to_string(),
        source,
    };
    TcpListener::bind(address).await.map_err(error)
}

/// Makes the runtime directory and sees to it that nothing lives where the socket goes.
fn make_room(socket: &Path) -> Result<(), ServeError> {
    if let Some(directory) = socket.parent() {
        std::fs::create_dir_all(directory).map_err(|source| ServeError::RuntimeDirectory {
            path: directory.to_owned(),
            source,
        })?;
    }
    match std::fs::symlink_metadata(socket) {
        Ok(found) if !found.file_type().is_socket() => Err(ServeError::InTheWay(socket.to_owned())),
        Ok(_) if is_alive(socket) => Err(ServeError::Running(socket.to_owned())),
        _ => Ok(()),
    }
}

/// Only a refused connection says that nobody listens: a full backlog or a missing permission
/// does not.
fn is_alive(socket: &Path) -> bool {
    let connected = StdUnixStream::connect(socket);
    !connected.is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        )
    })
}

/// Binds the socket, over a dead one when there is one.
///
/// Between bind and chmod the umask rules, and that lets nobody but the owner write (connect).
fn listen_unix(socket: &Path) -> Result<UnixListener, ServeError> {
    make_room(socket)?;
    remove_socket(socket);
    let listener = UnixListener::bind(socket).and_then(|listener| {
        std::fs::set_permissions(socket, Permissions::from_mode(SOCKET_MODE))?;
        Ok(listener)
    });
    listener.map_err(|source| ServeError::Listen {
        address: socket.display().to_string(),
        source,
    })
}

fn remove_socket(socket: &Path) {
    if let Err(error) = std::fs::remove_file(socket)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, socket = %socket.display(), "cannot remove the socket");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("run/api.sock");
        drop(listen_unix(&socket).unwrap());
        assert!(
            socket.exists(),
            "dropping a listener leaves its socket behind"
        );
        let live = listen_unix(&socket).unwrap();
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        assert!(matches!(listen_unix(&socket), Err(ServeError::Running(_))));
        drop(live);
        std::fs::remove_file(&socket).unwrap();
        std::fs::write(&socket, "precious").unwrap();
        assert!(matches!(listen_unix(&socket), Err(ServeError::InTheWay(_))));
        assert_eq!(std::fs::read(&socket).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn wider_than_loopback_is_refused_in_the_clear() {
        let config = Config {
            listen: ([0, 0, 0, 0], 0).into(),
            ..Config::default()
        };
        let error = serve(config, Passed::default()).await.unwrap_err();
        assert!(matches!(error, ServeError::InTheClear(_)), "{error}");
    }

    #[test]
    fn tokens_are_needed_wherever_others_may_come_from() {
        let needed = |listen: &str, change: &dyn Fn(&mut Config)| {
            let mut config = Config {
                listen: listen.parse().unwrap(),
                ..Config::default()
            };
            change(&mut config);
            gate(&config).tokens_needed
        };
        assert!(!needed("127.0.0.1:7400", &|_| {}));
        assert!(!needed("[::1]:7400", &|_| {}));
        assert!(needed("127.0.0.1:7400", &|config| config.web.tokens = true));
        assert!(needed("127.0.0.1:7400", &|config| config
            .web
            .behind_proxy = true));
        assert!(needed("10.1.2.3:7400", &|_| {}));
    }
}
