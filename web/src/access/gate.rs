//! Finds out who asks.

use super::Access;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

/// Marks a request with who asks.
pub async fn enter(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Access::everything());
    next.run(request).await
}
