"""Results out by C-STORE: contexts for exactly what is sent, one receipt an instance, as soon as it is answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from spineps_pacs.delivery.peer import Peer
from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.domain.ports import Receipt

PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: odd numbers from 1 to 255
SLOWEST_BYTES_PER_S = 100_000
WARNINGS = range(0xB000, 0xC000)  # PS3.7 annex C: stored, with a remark


class DimseDestination:
    """`Destination` over C-STORE."""

    def __init__(self, name: str, peer: Peer) -> None:
        self.name = name
        self._peer = peer

    def send(self, datasets: Iterable[Dataset]) -> Iterator[Receipt]:
        """One receipt a dataset; raises TryAgain when the peer cannot be reached or hangs up."""
        due = list(datasets)
        if not due:
            return  # a peer is not called for nothing
        with self._peer.association(contexts_for(due)) as association:
            for dataset in due:
                yield self._store(association, dataset)

    def _store(self, association: Association, dataset: Dataset) -> Receipt:
        uid = str(dataset.SOPInstanceUID)
        syntaxes = accepted_syntaxes(association, str(dataset.SOPClassUID))
        if not syntaxes:
            return Receipt(uid, accepted=False, status=f"refuses {UID(dataset.SOPClassUID).name}")
        fitting = _fitting(dataset, syntaxes)
        if fitting is None:
            return Receipt(uid, accepted=False, status=f"refuses {_syntax(dataset).name}")
        if not association.is_established:
            raise TryAgain(f"{self._peer.called_ae} hung up")
        association.dimse_timeout = answered_within(self._peer.timeout_s, fitting)
        answer = association.send_c_store(fitting)
        if "Status" not in answer:
            raise TryAgain(f"{self._peer.called_ae} hung up before it answered")
        status = int(answer.Status)
        return Receipt(uid, accepted=status == 0 or status in WARNINGS, status=f"0x{status:04X}")


def answered_within(timeout_s: float, dataset: Dataset) -> float:
    """How long an answer may take: the object has to get there first, and the line may be slow."""
    return timeout_s + len(dataset.get("PixelData") or b"") / SLOWEST_BYTES_PER_S


def contexts_for(datasets: Iterable[Dataset]) -> list[PresentationContext]:
    """What is sent, as it is encoded, and in the two plain syntaxes that every peer should take."""
    wanted: dict[tuple[str, str], None] = {}
    for dataset in datasets:
        wanted[(str(dataset.SOPClassUID), str(_syntax(dataset)))] = None
        wanted |= {(str(dataset.SOPClassUID), str(plain)): None for plain in PLAIN}
    return [build_context(sop_class, syntax) for sop_class, syntax in wanted][:MOST_CONTEXTS]


def accepted_syntaxes(association: Association, sop_class_uid: str) -> set[str]:
    """The transfer syntaxes in which the peer takes that class."""
    contexts = [cx for cx in association.accepted_contexts if cx.abstract_syntax == sop_class_uid]
    return {str(syntax) for cx in contexts for syntax in cx.transfer_syntax}


def _fitting(dataset: Dataset, syntaxes: set[str]) -> Dataset | None:
    """The dataset, decompressed where the peer takes it in no other way; None where that cannot help."""
    syntax = _syntax(dataset)
    if str(syntax) in syntaxes:
        return dataset
    if not syntaxes & {str(plain) for plain in PLAIN} or syntax == UID("1.2.840.10008.1.2.2"):
        return None
    if syntax.is_compressed:
        dataset.decompress(generate_instance_uid=False)
    if str(ExplicitVRLittleEndian) not in syntaxes:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return dataset


def _syntax(dataset: Dataset) -> UID:
    return UID(dataset.file_meta.TransferSyntaxUID)
