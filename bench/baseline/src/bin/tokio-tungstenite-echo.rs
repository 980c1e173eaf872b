//! An echo server on tokio-tungstenite, as its documentation shows it.

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use millgate::host::kernel;
use millgate_baseline::{BACKLOG, Listen, announce, is_of_client};
use std::io;
use std::process::ExitCode;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Answers every text and binary message with itself.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    listen: Listen,
    /// Read buffer of each connection in bytes; 131,072 if not given, as in the library
    #[arg(long)]
    read_buffer: Option<usize>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio-tungstenite-echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    kernel::raise_open_files();
    let config = WebSocketConfig::default();
    let config = match arguments.read_buffer {
        Some(bytes) => config.read_buffer_size(bytes),
        None => config,
    };
    let threads = arguments.listen.threads();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_io().build()?;
    runtime.block_on(async {
        let listener = open(arguments.listen)?;
        announce(listener.local_addr()?)?;
        loop {
            match listener.accept().await {
                // A connection that breaks is its client's affair.
                Ok((stream, _)) => {
                    drop(tokio::spawn(async move { echo(stream, config).await.ok() }))
                }
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

async fn echo(stream: TcpStream, config: WebSocketConfig) -> tungstenite::Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
