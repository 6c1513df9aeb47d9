//! Signs webhooks in the manner of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The bytes of a secret: base64 after `whsec_`, else the text itself.
pub(super) fn key(secret: &str) -> Result<Vec<u8>, &'static str> {
    let secret = secret.trim();
    let key = match secret.strip_prefix("whsec_") {
        Some(coded) => STANDARD
            .decode(coded)
            .map_err(|_| "what follows whsec_ in the secret is not base64")?,
        None => secret.as_bytes().to_vec(),
    };
    if key.len() < 16 {
        return Err("the secret is shorter than 16 bytes");
    }
    Ok(key)
}

/// The value of `webhook-signature`.
pub(super) fn sign(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap_or_default();
        let signature = sign(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            b"{\"test\": 2432232314}",
        );
        assert_eq!(
            signature.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn bad_secrets_are_told() {
        assert!(key("whsec_!!!").is_err());
        assert!(key("short").is_err());
        assert_eq!(key(" sixteen bytes ok\n").map(|key| key.len()), Ok(16));
    }
}
