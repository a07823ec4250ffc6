"""The tree of reasons why work can stop; each message is a sentence with the number or name that broke the rule.

SpinepsPacsError
  SettingsError   the configuration is wrong            refuse to start, name the key
  NotForUs        not a series that we take             job skipped, with the reason; not an error
  Unusable        ours, but it cannot be analysed       job failed, with the reason; a person looks
    ModelError    a model folder or file is not usable  names the file
  TryAgain        a peer or the device is busy          same state, later; failed after n attempts
  Cancelled       somebody asked to stop                job cancelled
Anything else is a bug: the job fails, the traceback goes to the log, the worker lives on.
"""

from __future__ import annotations


class SpinepsPacsError(Exception):
    """The root of everything that we raise knowingly."""


class SettingsError(SpinepsPacsError):
    """The configuration is wrong."""


class NotForUs(SpinepsPacsError):
    """Not a series that we take."""


class Unusable(SpinepsPacsError):
    """A series of ours that cannot be analysed."""


class ModelError(Unusable):
    """A model folder or file cannot be used."""


class TryAgain(SpinepsPacsError):
    """A peer or a device is busy; the same work may succeed later."""


class Cancelled(SpinepsPacsError):
    """The work was asked to stop."""
