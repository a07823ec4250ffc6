# SPDX-License-Identifier: AGPL-3.0-or-later
# This file alone is licensed under the GNU Affero General Public License, version 3 or (at your option) any later
# version, as the Python plugin of Orthanc asks of scripts written for it. The rest of spineps-pacs is under Apache-2.0.
"""Inside Orthanc: hands the ids of stable series to the spineps-pacs node beside it; shows what became of them.

Standard library and `orthanc` only, so that it runs in whatever Python Orthanc embeds. What is still to be handed over
is read from Orthanc's own list of changes, from the one after the last that the node accepted (a global property): so a
restart of either side, at any moment, goes on where it was. Orthanc's configuration may hold

    "Spineps": {"Config": "spineps-pacs.toml", "Command": ["spineps-pacs", "serve", "--config", "spineps-pacs.toml"]}

"Config" is the node's own configuration, out of which comes the port where it listens; where it cannot be read from
here, "Node" names the address. With "Command" the node is started with Orthanc, unless one answers already, and ends
with it.
"""

import contextlib
import json
import pathlib
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

import orthanc

PROPERTY = 5157
"""Orthanc's global property (1024 and above are free) with the last change that the node accepted."""

PORT = 8044
"""Where the node listens when its configuration says nothing else."""


def node_address(settings):
    """Where the node answers: "Node", or loopback with the port that its own configuration names."""
    if "Node" in settings or "Config" not in settings:
        return settings.get("Node", f"http://127.0.0.1:{PORT}").rstrip("/")
    import tomllib

    written = tomllib.loads(pathlib.Path(settings["Config"]).read_text(encoding="utf-8"))
    port = written.get("orthanc", {}).get("listen_port", PORT)
    if not port:
        raise ValueError(f"{settings['Config']}: orthanc.listen_port 0 is any port, and the plugin cannot know which")
    return f"http://127.0.0.1:{port}"


_SETTINGS = json.loads(orthanc.GetConfiguration()).get("Spineps", {})
_NODE = node_address(_SETTINGS)


def ask(method, path, body=None, timeout=10):
    """One request to the node; (status, JSON text), or (503, a sentence) when it does not answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(_NODE + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, ValueError):
        return 503, json.dumps({"error": "the spineps-pacs node does not answer"})


class Courier:
    """A thread that hands over each stable series, in order, until the node has accepted it."""

    def __init__(self):
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spineps")

    def start(self):
        self._thread.start()

    def wake(self):
        self._wake.set()

    def stop(self):
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self):
        pause = 1.0
        while not self._stop.is_set():
            self._wake.clear()
            pause = 1.0 if self._deliver() else min(2 * pause, 30.0)
            self._wake.wait(5.0 if pause == 1.0 else pause)

    def _deliver(self):
        """Hands over all changes that are left; False when the node did not take one."""
        done = False
        while not done and not self._stop.is_set():
            since = int(orthanc.GetGlobalProperty(PROPERTY, "0") or 0)
            page = json.loads(orthanc.RestApiGet(f"/changes?since={since}&limit=100"))
            for change in page["Changes"]:
                if change["ChangeType"] == "StableSeries" and not self._hand_over(change["ID"]):
                    return False
                orthanc.SetGlobalProperty(PROPERTY, str(change["Seq"]))
                if self._stop.is_set():
                    return True
            done = page["Done"]
        return True

    @staticmethod
    def _hand_over(series_id):
        status, _ = ask("POST", "/orthanc/series", {"id": series_id})
        return status in (200, 202, 404)


class Node:
    """The node's process, when Orthanc shall start it; its end is tied to ours by the pipe to its standard input."""

    def __init__(self, command):
        self._command, self._process = command, None

    def start(self):
        if self._command and ask("GET", "/orthanc/jobs", timeout=2)[0] == 503:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)

    def stop(self):
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_COURIER, _COMPANION = Courier(), Node(_SETTINGS.get("Command"))


def on_change(change, _level, _resource):
    """Orthanc tells what happened; returns at once."""
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        _COMPANION.start()
        _COURIER.start()
    elif change == orthanc.ChangeType.STABLE_SERIES:
        _COURIER.wake()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        _COURIER.stop()
        _COMPANION.stop()


def on_series(output, _uri, **request):
    """GET: state, verdict and results of a series. POST: run it now, with {"models": ..., "priority": ...} at will."""
    series_id = request["groups"][0]
    if request["method"] == "GET":
        _answer(output, *ask("GET", "/orthanc/series/" + urllib.parse.quote(series_id)))
    elif request["method"] == "POST":
        try:
            wishes = {**json.loads(request.get("body") or b"{}")}
        except (ValueError, TypeError):
            _answer(output, 400, json.dumps({"error": "the body is no JSON object"}))
            return
        _answer(output, *ask("POST", "/orthanc/series", {**wishes, "id": series_id, "now": True}))
    else:
        output.SendMethodNotAllowed("GET,POST")


def on_jobs(output, _uri, **request):
    """GET: all jobs of the node."""
    if request["method"] == "GET":
        _answer(output, *ask("GET", "/orthanc/jobs"))
    else:
        output.SendMethodNotAllowed("GET")


def _answer(output, status, text):
    if status in (200, 202):
        output.AnswerBuffer(text, "application/json")
    else:
        output.SendHttpStatus(status, text)


EXPLORER = """
function spinepsState(page, id) {
  $.getJSON('../spineps/series/' + id, function(job) {
    var text = job.state + (job.phase ? ' (' + job.phase + ')' : '') + (job.reason ? ': ' + job.reason : '');
    page.find('.spineps-state').text('Spine: ' + text);
    if (['arriving', 'waiting', 'analysing', 'analysed', 'delivering'].indexOf(job.state) >= 0) {
      setTimeout(function() { spinepsState(page, id); }, 2000);
    }
  }).fail(function(answer) {
    page.find('.spineps-state').text(answer.status === 404 ? 'Spine: not seen yet' : 'Spine: the node does not answer');
  });
}
$('#series').live('pagebeforeshow', function() {
  var page = $(this), id = $.mobile.pageData.uuid;
  page.find('.spineps').remove();
  var button = $('<a>').attr('href', '#').attr('data-role', 'button').attr('data-icon', 'gear').attr('data-theme', 'e')
    .attr('role', 'button').addClass('spineps').text('Segment spine');
  var state = $('<p>').addClass('spineps spineps-state').attr('aria-live', 'polite');
  button.insertBefore($('#series-delete').parent().parent()).button();
  state.insertAfter(button);
  button.click(function(event) {
    event.preventDefault();
    var again = function() { spinepsState(page, id); };
    $.ajax({url: '../spineps/series/' + id, type: 'POST', data: '{}', complete: again});
  });
  spinepsState(page, id);
});
"""

orthanc.RegisterOnChangeCallback(on_change)
orthanc.RegisterRestCallback("/spineps/series/([^/]+)", on_series)
orthanc.RegisterRestCallback("/spineps/jobs", on_jobs)
orthanc.ExtendOrthancExplorer(EXPLORER)
