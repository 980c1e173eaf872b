//! An echo server on fastwebsockets and hyper, as its documentation shows it.

use clap::Parser;
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use millgate::host::kernel;
use millgate_baseline::{BACKLOG, Listen, announce, is_of_client};
use std::io;
use std::process::ExitCode;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::unconstrained;

/// Answers every text and binary message with itself.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    match run(Arguments::parse().listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fastwebsockets-echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(listen: Listen) -> io::Result<()> {
    kernel::raise_open_files();
    let threads = listen.threads();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_io().build()?;
    runtime.block_on(async {
        let listener = open(listen)?;
        announce(listener.local_addr()?)?;
        loop {
            match listener.accept().await {
                // A connection that breaks is its client's affair.
                Ok((stream, _)) => drop(tokio::spawn(async move { serve(stream).await.ok() })),
                Err(error) if is_of_client(&error) => {}
                Err(error) => return Err(error),
            }
        }
    })
}

fn open(listen: Listen) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen.listen)?;
    socket.listen(BACKLOG)
}

async fn serve(stream: TcpStream) -> Result<(), WebSocketError> {
    stream.set_nodelay(true)?;
    let stream = TokioIo::new(stream);
    let connection = http1::Builder::new().serve_connection(stream, service_fn(answer));
    Ok(connection.with_upgrades().await?)
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgrade) = upgrade::upgrade(&mut request)?;
    tokio::spawn(unconstrained(async move { echo(upgrade).await.ok() }));
    Ok(response)
}

async fn echo(upgrade: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgrade.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
