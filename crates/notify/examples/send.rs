//! Sends one webhook to this machine, for `scripts/check-webhooks.sh`: `send URL SECRET BODY`.

#![allow(clippy::print_stdout, reason = "it is a program")]

use notify::{NotifyConfig, Request, Secret, WebhookUrl, Webhooks};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or("usage: send URL SECRET BODY");
    let url: WebhookUrl = argument()?.parse()?;
    let parsed = url::Url::parse(url.reveal())?;
    let port = parsed.port_or_known_default().unwrap_or(443);
    let config = NotifyConfig {
        hosts: vec![format!("{}:{port}", parsed.host_str().unwrap_or_default())],
        secret: Some(Secret::new(argument()?)),
        allow_private: true,
        allow_http: true,
    };
    let body = argument()?.into();
    let request = Request { id: "check", content_type: "application/json", body };
    println!("{:?}", Webhooks::new(&config)?.send(&url, request).await);
    Ok(())
}
