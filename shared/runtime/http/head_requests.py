"""Answer HEAD on every route as GET: the status and headers of GET, without its body (RFC 9110, section 9.3.2)."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """ASGI middleware around all others: every route, key and limit sees a GET.

    The work for the body stops at the headers: for the application its client has gone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        was_read, is_answered = False, asyncio.Event()

        async def receive_once() -> Message:
            nonlocal was_read
            if not was_read:
                was_read = True
                return await receive()
            await is_answered.wait()
            return {"type": "http.disconnect"}

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                is_answered.set()
            else:
                await asyncio.sleep(0)  # a body that never waits would not hear that its client has gone

        await self._app(dict(scope, method="GET"), receive_once, send_headers)
