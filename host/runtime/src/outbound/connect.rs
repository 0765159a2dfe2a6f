//! Names to addresses, addresses to connections.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use super::egress::Egress;
use super::target::Target;

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// All addresses of the target. Nobody looks its name up again.
pub(super) async fn look_up(target: &Target, lookups: Arc<Semaphore>) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(ip) = target.host.parse::<IpAddr>() {
        return Ok(vec![(ip, target.port).into()]);
    }
    let failed = |why: String| Error::DnsError { rcode: Some(why), info_code: None };
    let permit = lookups.acquire_owned().await.map_err(|_| Error::InternalError(None))?;
    let (host, port) = (target.host.clone(), target.port);
    // In a task of its own: nobody can call off what the system's resolver does, and it counts until it is back.
    let found = tokio::spawn(async move {
        let found = lookup_host((host.as_str(), port)).await.map(|found| found.collect::<Vec<_>>());
        drop(permit);
        found
    });
    match found.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) => Err(failed("name not found".to_owned())),
        Err(_) => Err(Error::InternalError(None)),
    }
}

/// Connects to the first of the addresses that answers.
pub(super) async fn open(target: &Target, addresses: &[SocketAddr], egress: &Egress) -> Result<Box<dyn Stream>, Error> {
    let stream = TcpStream::connect(addresses).await.map_err(|error| of_connect(&error))?;
    // A request is written at once; waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let connector = TlsConnector::from(egress.tls().await?);
    let stream = connector.connect(name, stream).await.map_err(|error| of_tls(&error))?;
    Ok(Box::new(stream))
}

fn of_connect(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        ErrorKind::TimedOut => Error::ConnectionTimeout,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Error::ConnectionTerminated,
        _ => Error::DestinationUnavailable,
    }
}

fn of_tls(error: &io::Error) -> Error {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
        Some(rustls::Error::AlertReceived(alert)) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}
