"""Groq's error texts."""

from starlette.responses import JSONResponse

Body = dict[str, dict[str, str]]

_FAULTS = {
    401: ("Invalid API Key", "invalid_request_error", "invalid_api_key"),
    413: ("Request too large for this model on tokens per minute (TPM).", "tokens", "rate_limit_exceeded"),
    429: ("Rate limit reached for this model. Please try again later.", "tokens", "rate_limit_exceeded"),
}


class RequestRefused(Exception):
    """A request that Groq answers with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        kind: str = "invalid_request_error",
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        named = {"code": code, "param": param}
        self.body: Body = {"error": {"message": message, "type": kind} | {k: v for k, v in named.items() if v}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, status_code=self.status)


def invalid_key() -> RequestRefused:
    message, _, code = _FAULTS[401]
    return RequestRefused(401, message, code)


def no_model(name: str) -> RequestRefused:
    return RequestRefused(404, f"The model `{name}` does not exist or you do not have access to it.", "model_not_found")


def fault_body(status: int) -> Body:
    """The body of an injected `status` fault."""
    message, kind, code = _FAULTS.get(status, ("Internal Server Error", "internal_server_error", None))
    return RequestRefused(status, message, code, kind).body
