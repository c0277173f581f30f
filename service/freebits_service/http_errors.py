"""The one table from error codes to HTTP, and the one body errors have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .errors import BlobDamaged, ServiceError
from .hf.errors import hub_headers
from .request_ids import current_request_id

STATUS: Mapping[str, int] = {
    "INVALID_JSON": 400,
    "INVALID_XET": 400,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "LOGIN_REFUSED": 403,
    "MIRROR_READ_ONLY": 403,
    "NOT_FOUND": 404,
    "REPO_NOT_FOUND": 404,
    "REVISION_NOT_FOUND": 404,
    "PATH_NOT_FOUND": 404,
    "UPLOAD_NOT_FOUND": 404,
    "USER_NOT_FOUND": 404,
    "TOKEN_NOT_FOUND": 404,
    "ORG_NOT_FOUND": 404,
    "NAMESPACE_NOT_FOUND": 404,
    "OIDC_NOT_CONFIGURED": 404,
    "JOB_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "REPO_EXISTS": 409,
    "REF_EXISTS": 409,
    "USER_EXISTS": 409,
    "HEAD_MOVED": 409,
    "DEFAULT_BRANCH": 409,
    "NAMESPACE_IN_USE": 409,
    "NOT_A_VARIANT_BRANCH": 409,
    "NOT_LOSSLESS": 409,
    "COLLECTION_RUNNING": 409,
    "PARENT_NOT_HEAD": 412,
    "TOO_LARGE": 413,
    "QUOTA_EXCEEDED": 413,
    "TARGET_TOO_LONG": 414,
    "RANGE_NOT_SATISFIABLE": 416,
    "INVALID_NAME": 422,
    "INVALID_PATH": 422,
    "INVALID_REQUEST": 422,
    "PART_MISMATCH": 422,
    "DIGEST_MISMATCH": 422,
    "SIZE_MISMATCH": 422,
    "PARTS_MISSING": 422,
    "BLOB_MISSING": 422,
    "RATE_LIMITED": 429,
    "TOO_MANY_REQUESTS_AHEAD": 429,
    "HEADER_TOO_LARGE": 431,
    "INTERNAL": 500,
    "BLOB_DAMAGED": 500,
    "EXPANSION_FAILED": 500,
    "NOT_OFFERED": 501,
    "OIDC_UNAVAILABLE": 502,
    "UPSTREAM_WRONG": 502,
    "DATABASE_UNAVAILABLE": 503,
    "DATABASE_NOT_MIGRATED": 503,
    "SHUTTING_DOWN": 503,
    "STORE_UNAVAILABLE": 503,
    "TOO_MANY_CONNECTIONS": 503,
    "UPSTREAM_UNAVAILABLE": 503,
    "STORAGE_FULL": 507,
}
RETRY_AFTER_S = 2
CLIENT_CLOSED_REQUEST = 499  # nobody reads the answer; only the log and the metrics see it


def error_response(code: str, message: str, detail: Mapping[str, Any]) -> JSONResponse:
    """The error body ``{"code", "message", "detail", "request_id"}`` with its status."""
    body = {"code": code, "message": message, "detail": dict(detail), "request_id": current_request_id()}
    headers = hub_headers(code, message, detail)
    if code == "UNAUTHENTICATED":
        headers["WWW-Authenticate"] = 'Bearer realm="freebits"'
    if STATUS[code] == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if code == "RANGE_NOT_SATISFIABLE":
        headers["Content-Range"] = f"bytes */{detail['nbytes']}"
    if code == "RATE_LIMITED":
        headers["Retry-After"] = str(detail["retry_after_s"])
    return JSONResponse(body, status_code=STATUS[code], headers=headers)


def install(app: FastAPI) -> None:
    """Answer every error of the app with the body above."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


async def _on_service_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    if isinstance(error, BlobDamaged):
        structlog.get_logger().error("a file is damaged; run `freebits fsck`", **error.detail)
    return error_response(error.code, error.message, error.detail)


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [
        {"where": ".".join(str(part) for part in problem["loc"]), "problem": problem["msg"]}
        for problem in error.errors()
    ]
    unparsable = any(problem["type"] == "json_invalid" for problem in error.errors())
    code = "INVALID_JSON" if unparsable else "INVALID_REQUEST"
    first = problems[0] if problems else {"where": "body", "problem": "invalid"}
    return error_response(code, f"{first['where']}: {first['problem']}", {"problems": problems[:20]})


async def _on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 400: "INVALID_JSON", 413: "TOO_LARGE"}
    return error_response(codes.get(error.status_code, "INVALID_REQUEST"), str(error.detail), {})


async def _on_disconnect(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({}, status_code=CLIENT_CLOSED_REQUEST)


def unexpected(error: Exception) -> JSONResponse:
    """Answer an error that nobody foresaw; the log has what the caller does not get to see."""
    structlog.get_logger().error("unexpected error", exc_info=error)
    return error_response("INTERNAL", "the hub made a mistake; its log has the request id", {})
