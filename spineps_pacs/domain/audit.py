"""What the law wants to know of a node: who came in, and brought, sent, changed, looked up or erased something.

PS3.15 A.5 has the messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Code = tuple[str, str]
"""A code of the scheme DCM (PS3.16 CID 400 and 401), a number, or one of our own, a word; and its meaning."""

ACTIVITY: Code = ("110100", "Application Activity")
STARTED: Code = ("110120", "Application Start")
STOPPED: Code = ("110121", "Application Stop")
ACCESSED: Code = ("110103", "DICOM Instances Accessed")
TRANSFERRED: Code = ("110104", "DICOM Instances Transferred")
DELETED: Code = ("110105", "DICOM Study Deleted")
QUERIED: Code = ("110112", "Query")
SECURITY: Code = ("110113", "Security Alert")
NODE_AUTHENTICATION: Code = ("110126", "Node Authentication")
USER_AUTHENTICATION: Code = ("110114", "User Authentication")
LOGIN: Code = ("110122", "Login")
LOGOUT: Code = ("110123", "Logout")
PROCEDURE: Code = ("110111", "Procedure Record")
RETRIED: Code = ("JOB_RETRY", "Job sent or started again")
CANCELLED: Code = ("JOB_CANCEL", "Job cancelled")
RERUN: Code = ("JOB_RERUN", "Job analysed anew")
CREATE, READ, UPDATE, DELETE, EXECUTE = "C", "R", "U", "D", "E"


@dataclass(frozen=True)
class AuditEvent:
    """One occurrence. `user` is a person, an AE title or a destination; `kind` narrows `event` down."""

    event: Code
    action: str
    user: str
    kind: Code | None = None
    succeeded: bool = True
    address: str = ""
    study_uid: str = ""


Audit = Callable[[AuditEvent], None]


def unheard(event: AuditEvent) -> None:
    """For a node that keeps no audit trail."""
