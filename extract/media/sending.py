"""Files are put into a request as it is sent, so that what waits for its turn is small. Wraps a sender."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from extract.media.part import fill
from extract.records import ChatRequest, Completion, Sender


def with_media(send: Sender) -> Sender:
    """A sender that sends the files in the place of what names them. Raises MediaError for one that has changed."""

    async def sender(request: ChatRequest) -> Completion:
        if not request.media:
            return await send(request)
        body = await asyncio.to_thread(fill, request.body, request.media)
        return await send(replace(request, body=body, media=()))

    return sender
