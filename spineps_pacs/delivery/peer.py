"""A DICOM peer: its address and names, and how an association with it is opened, with TLS where it is asked for."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from spineps_pacs.domain.errors import SettingsError, TryAgain


@dataclass(frozen=True)
class TlsFiles:
    """Our certificate and key, and who signs the peer's; all PEM."""

    certificate: Path
    key: Path
    authority: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For calling a peer: it must show a certificate of the authority."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"the TLS files of a destination cannot be used: {error}") from error
        context.check_hostname = False  # peers go by address and AE title; the authority vouches for them
        return context


@dataclass(frozen=True)
class Peer:
    """Whom we call, and by which name."""

    host: str
    port: int
    called_ae: str
    calling_ae: str
    timeout_s: float = 30.0
    tls: TlsFiles | None = None

    @contextmanager
    def association(self, contexts: Sequence[PresentationContext], **options: object) -> Iterator[Association]:
        """An open association; raises TryAgain when there is none to be had."""
        ae = AE(self.calling_ae)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = self.timeout_s
        tls = {} if self.tls is None else {"tls_args": (self.tls.context(), self.host)}
        try:
            association = ae.associate(
                self.host, self.port, contexts=list(contexts), ae_title=self.called_ae, **tls, **options
            )
        except (OSError, RuntimeError) as error:
            raise TryAgain(f"{self.called_ae} cannot be reached: {type(error).__name__}") from error
        if not association.is_established:
            reason = _reason(association)
            _close(association)
            raise TryAgain(f"{self.called_ae} {reason}")
        keep_answers(association)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()
            _close(association)


def keep_answers(association: Association) -> None:
    """Leaves every answer to the thread that asked for it.

    The library's own thread of the association looks for requests of the peer; on a busy machine it may take the answer
    to ours, which is then missed until the time is over, and the object sent twice. A peer that we call makes none.
    """
    take = association.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        return (None, None) if threading.current_thread() is association else take(block)

    association.dimse.get_msg = get_msg


def _reason(association: Association) -> str:
    if association.is_rejected:
        return "refuses our association"
    if association.rejected_contexts:  # the library gives up when nothing of what it offered was accepted
        return f"takes no {UID(association.rejected_contexts[0].abstract_syntax).name}"
    return "cannot be reached"


def _close(association: Association) -> None:
    """Frees the socket, also when the peer has cut the connection."""
    if association.dul.socket is not None:
        association.dul.socket.close()
