"""How a question about an archived day is answered: it is gone from here, and how it comes back."""

from collections.abc import AsyncIterator

from fastapi import HTTPException

from services.charging.store.archived_days import Archived


async def tell_archived() -> AsyncIterator[None]:
    """A dependency of routes: 410 with the words of Archived."""
    try:
        yield
    except Archived as error:
        raise HTTPException(410, str(error)) from error
