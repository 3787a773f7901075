"""``KernelSession``: what stands for all sessions of the machine, which are the kernel's business."""

from __future__ import annotations

from typing import final
from uuid import UUID

from otel_etw.providers.kernel import KernelProvider
from otel_etw.tracelogging.provider_id import encode_traits
from otel_etw.tracelogging.provider_id import provider_id as provider_id_of


@final
class KernelSession:
    """Makes providers whose events go to whatever ETW sessions listen on this machine (Windows only).

    There is nothing to open or to close: providers with one name share a registration, wherever they come
    from.
    """

    closed = False
    """Never."""

    def hold(self) -> None:
        """Do nothing: ETW counts nobody."""

    def release(self) -> None:
        """Do nothing."""

    def register(
        self, name: str, provider_id: UUID | None = None, *, group: UUID | None = None
    ) -> KernelProvider:
        """A provider that is registered with ETW; EncodeError for a name that has no encoding.

        Without ``provider_id`` the id is the hash of the name. ``group`` goes into the traits. Raises
        :class:`~otel_etw.windows.error_codes.WindowsCallError` where ETW refuses it, or is not there.
        """
        return KernelProvider(name, provider_id or provider_id_of(name), encode_traits(name, group))
