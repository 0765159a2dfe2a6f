//! Does on purpose what functions do by mistake; the last segment of the path says what.
//!
//! A denial is answered with its own words, so that tests see what the guest sees.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Deserialize;
use spillway_sdk::{
    Body, DType, Error, IntoResponse, Model, Request, RequestExt, Response, Result, Tensor, function, keyvalue, log,
};

mod answer;
mod fetch;
mod forged;
mod outside;
mod tensors;

#[function]
async fn handle(request: Request) -> Result<Response> {
    let path = request.uri().path().to_owned();
    let last = path.rsplit('/').next().unwrap_or_default();
    Ok(match last {
        "greet" => "Hello from misbehave\n".into_response(),
        "header" => header(&request)?,
        "body" => format!("{}\n", request.into_body().bytes().await?.len()).into_response(),
        "log" => {
            log::info!("a line for the log");
            println!("a line on stdout");
            eprintln!("a line on stderr");
            "logged\n".into_response()
        }
        "count" => format!("{}\n", keyvalue::open("default")?.increment("calls", 1)?).into_response(),

        "loop" => {
            log::info!("loop begins");
            run_for_ever()
        }
        // Not `pending()`: a task that nothing can wake is an error of its own in the component model.
        "wait" => {
            log::info!("wait begins");
            outside::wait(3_600_000).await;
            "an hour later\n".into_response()
        }
        "slow" => slow(&request).await?,
        "work" => work(request).await?,
        "answer" => answer::as_asked(&request)?,
        "allocate" => allocate(),
        "panic" => panic!("on purpose"),
        "trap" => std::process::abort(),
        "exit" => std::process::exit(3),
        "fail" => return Err(std::io::Error::other("a secret of the function").into()),
        "tensor" => Tensor::from_bytes(DType::Uint8, &vec![0; 2 << 20], &[2 << 20])?.len().to_string().into_response(),
        "hold" => hold(&request).await?,
        "handles" => tensors::handles()?,
        "handle" => handle_of(&request)?,
        "own-handle" => forged::own().into_response(),
        "stale-handle" => forged::stale().into_response(),
        "twice-dropped" => forged::twice().into_response(),
        "views" => tensors::views().await?,
        "huge-sum" => said(tensors::huge_sum().await),
        "huge-read" => tensors::huge_read().await?,
        "huge-image" => said(tensors::huge_image().await),
        "deep-shape" => said(tensors::deep_shape().await),
        "products" => products(&request).await?,
        "image" => tensors::image(request.into_body().bytes().await?).await?,

        "endless" => Response::new(Body::stream(async |mut out| {
            loop {
                out.write("more\n").await;
            }
        })),
        "stall" => Response::new(Body::stream(async |mut out| {
            out.write("the beginning\n").await;
            outside::wait(3_600_000).await;
            Ok(())
        })),
        "half" => Response::new(Body::stream(async |mut out| {
            out.write("half of it\n").await;
            // At once it would be a failed call: the head has not left yet.
            outside::wait(50).await;
            panic!("half-way");
        })),
        "broken" => Response::new(Body::stream(async |mut out| {
            out.write("half of it\n").await;
            Err(Error::status(spillway_sdk::StatusCode::BAD_GATEWAY, "half-way"))
        })),

        "other-bucket" => said(keyvalue::open("other").map(|_| ())),
        "other-model" => said(Model::open("other").await.map(|_| ())),
        "file" => said(std::fs::read("/etc/passwd").map(|_| ())),
        "socket" => said(outside::connect(port(&request)?).await),
        "fetch" => fetch::fetch(request).await?.into_response(),
        "relay" => fetch::relay(request).await?,
        "environment" => format!("{}\n", std::env::vars().count()).into_response(),
        other => return Err(Error::not_found(format!("no misdeed is called {other}"))),
    })
}

/// Answers with a header field of the request.
fn header(request: &Request) -> Result<Response> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let Named { name } = request.query()?;
    let value = request.headers().get(&name).and_then(|value| value.to_str().ok()).unwrap_or("absent");
    Ok(value.to_owned().into_response())
}

/// The port that the caller names.
async fn products(request: &Request) -> Result<Response> {
    #[derive(Deserialize)]
    struct Products {
        count: usize,
        times: usize,
    }
    let Products { count, times } = request.query()?;
    Ok(tensors::products(count, times).await?)
}

fn port(request: &Request) -> Result<u16> {
    #[derive(Deserialize)]
    struct At {
        port: u16,
    }
    Ok(request.query::<At>()?.port)
}

/// Uses a handle of a number that the caller says.
fn handle_of(request: &Request) -> Result<Response> {
    #[derive(Deserialize)]
    struct Number {
        number: u32,
    }
    Ok(forged::length(request.query::<Number>()?.number).into_response())
}

/// Keeps a tensor of so many bytes as long as the caller says.
async fn hold(request: &Request) -> Result<Response> {
    #[derive(Deserialize)]
    struct Hold {
        bytes: usize,
        ms: u64,
    }
    let Hold { bytes, ms } = request.query()?;
    let held = tensors::of_bytes(bytes).await;
    if held.is_ok() {
        log::info!("it holds");
        outside::wait(ms).await;
    }
    Ok(said(held.map(drop)))
}

/// Waits as long as the caller says.
async fn slow(request: &Request) -> Result<Response> {
    #[derive(Deserialize)]
    struct For {
        ms: u64,
    }
    let For { ms } = request.query()?;
    // Tells the test that the call is in its sandbox.
    log::info!("slow begins");
    outside::wait(ms).await;
    Ok(format!("waited {ms} ms\n").into_response())
}

/// Writes its body into the log, and keeps a core busy as long as the caller says.
async fn work(request: Request) -> Result<Response> {
    #[derive(Deserialize)]
    struct For {
        ms: u64,
    }
    let For { ms } = request.query()?;
    log::info!("work on {}", request.into_body().text().await?);
    let (begun, mut turns) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_millis(ms) {
        // Between two looks at the clock, which only the host can read.
        for _ in 0..10_000 {
            turns = black_box(turns.wrapping_add(1));
        }
    }
    Ok("done\n".into_response())
}

fn run_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Takes one handle after the other and gives none back.
fn said<E: std::fmt::Display>(result: Result<(), E>) -> Response {
    match result {
        Ok(()) => "granted\n".into_response(),
        Err(error) => format!("{error}\n").into_response(),
    }
}
