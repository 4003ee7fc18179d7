"""`/docs`: Swagger UI from this server only, so that it works offline and other hosts do not see its readers."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from gateway.routes.in_pieces import InPieces

router = APIRouter(include_in_schema=False)

# Swagger UI has inline styles; everything else is a file of this server.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Greenroom</title>
<link rel="stylesheet" href="{prefix}/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui" data-url="{prefix}/openapi.json"></div>
<script src="{prefix}/docs/swagger-ui-bundle.js"></script>
<script src="{prefix}/docs/open.js"></script>
</body>
</html>
"""
_OPEN: Final = """const page = document.getElementById("swagger-ui");
SwaggerUIBundle({url: page.dataset.url, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
"""
_STATIC: Final[Traversable] = files("fastapi_offline") / "static"
_BUNDLE: Final = (_STATIC / "swagger-ui-bundle.js").read_bytes()
_STYLE: Final = (_STATIC / "swagger-ui.css").read_bytes()
_CACHED: Final = {"Cache-Control": "public, max-age=86400"}


@router.get("/docs")
async def page(request: Request) -> Response:
    """The page; its addresses contain the prefix ROOT_PATH."""
    prefix: str = request.scope.get("root_path", "")
    return HTMLResponse(_PAGE.format(prefix=prefix), headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/open.js")
async def opening() -> Response:
    """The script that starts Swagger UI; a file, since the page's policy forbids inline scripts."""
    return Response(_OPEN, media_type="text/javascript", headers=_CACHED)


@router.get("/docs/swagger-ui-bundle.js")
async def bundle() -> Response:
    return InPieces(_BUNDLE, media_type="text/javascript", headers=_CACHED)


@router.get("/docs/swagger-ui.css")
async def style() -> Response:
    return InPieces(_STYLE, media_type="text/css", headers=_CACHED)
