"""The command `spineps-pacs`: what commands there are, and how errors become sentences and exit codes.

Exit codes: 0 done; 1 the work could not be done, a sentence says why; 2 the command line or configuration is wrong;
130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group

_RUN = Group("Run a node", sort_key=1)
_LOOK = Group("See what it does", sort_key=2)
_RESEARCH = Group("Without a node", sort_key=3)

_COMMANDS = (
    (_RUN, "serve", "node:serve", "Run the node: receive, analyse, send."),
    (_RUN, "worker", "node:worker", "Run one more analysing process against the node's store."),
    (_RUN, "demo", "demo:demo", "Run a node on this machine and send it a made-up study."),
    (_RUN, "models", "models:models", "List, install, verify and remove models."),
    (_RUN, "fetch", "fetch:fetch", "Fetch series from a PACS into the node."),
    (_LOOK, "status", "jobs:status", "How many series are in which state."),
    (_LOOK, "jobs", "jobs:jobs", "List, show, retry, cancel and re-run jobs."),
    (_LOOK, "shadow", "shadow:shadow", "Compare a second model set with the first."),
    (_LOOK, "explain", "jobs:explain", "Why a series was taken or skipped, rule by rule."),
    (_LOOK, "check", "check:check", "Check configuration, disk, models and peers, line by line."),
    (_LOOK, "selftest", "selftest:selftest", "Send a made-up study through the whole chain and report."),
    (_LOOK, "support-bundle", "support:support_bundle", "Write what a developer needs, without patient data."),
    (_RESEARCH, "segment", "segment:segment", "Segment a DICOM series or a NIfTI file."),
    (_RESEARCH, "inspect", "inspect:inspect", "Say of every series under a path whether it would be taken, and why."),
    (_RESEARCH, "volume", "volume:volume", "Write the rebuilt volume of a series as NIfTI."),
    (_RESEARCH, "phantom", "phantom:phantom", "Write a made-up spine study with its truth."),
    (_RESEARCH, "batch", "batch:batch", "Segment every series under a folder; resumable."),
    (_RESEARCH, "evaluate", "evaluate:evaluate", "Compare masks with a reference by the paper's measures."),
    (_RESEARCH, "label", "label:label", "Name the levels of a small field of view."),
    (_RESEARCH, "bench", "bench:bench", "Measure this project beside upstream, phase by phase."),
)


def application() -> App:
    """The command line with all commands, none of them loaded yet."""
    from importlib.metadata import version

    app = App(
        name="spineps-pacs",
        help="A DICOM node that segments, labels and measures the spine in sagittal T2-weighted MR.",
        version=lambda: version("spineps-pacs"),
        suppress_keyboard_interrupt=False,
    )
    for group, name, target, text in _COMMANDS:
        app.command(f"spineps_pacs.cli.{target}", name=name, group=group, help=text)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code."""
    sys.exit(run(list(arguments) if arguments is not None else sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; every error that we know becomes one sentence on stderr."""
    from spineps_pacs.domain.errors import SettingsError, SpinepsPacsError

    try:
        result = application()(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return 2
    except SettingsError as error:
        return _told(error, 2)
    except (SpinepsPacsError, OSError) as error:
        return _told(error, 1)
    except KeyboardInterrupt:
        return _told("stopped", 130)
    return result if isinstance(result, int) else 0


def _told(what: object, code: int) -> int:
    print(what, file=sys.stderr)
    return code
