//! The servers under measurement. Each prints its address, and ends when its standard input does.

#[path = "../bench_echo.rs"]
#[expect(dead_code, reason = "it is a program too")]
mod bench_echo;

use reagent::BoxError;
use std::{env, io, thread};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The first is what the others are compared with.
pub const NAMES: [&str; 3] = ["bare Tokio", "reagent", "reagent, four layers"];

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "what the pool is compared with")]
async fn bare() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    // On a worker, and not on the thread that started the runtime.
    let accepting = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(echo(stream));
        }
    });
    accepting.await?
}

/// Runs the server of this name.
pub fn serve(name: &str) -> Result<(), BoxError> {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let is_layered = env::var("LAYERS").is_ok();
    match name {
        "bare Tokio" => runtime.block_on(bare()),
        _ if is_layered == name.ends_with("layers") => {
            runtime.block_on(bench_echo::serve("127.0.0.1:0".to_owned(), 1))
        }
        _ => Err("LAYERS does not fit the server's name".into()),
    }
}
