# SPDX-License-Identifier: AGPL-3.0-or-later
# This file alone is licensed under the GNU Affero General Public License, version 3 or (at your option) any later
# version, as the Python plugin of Orthanc asks of scripts written for it. The rest of spineps-pacs is under Apache-2.0.
"""Inside Orthanc: hands the ids of stable series to the spineps-pacs node beside it; shows what became of them.

Standard library and `orthanc` only, so that it runs in whatever Python Orthanc embeds. What is still to be handed over
is read from Orthanc's own list of changes, behind a mark (a global property) before which nothing is left to do: so a
restart of either side, at any moment, goes on where it was. What lay in Orthanc before the plugin came is left alone.
Orthanc's configuration may hold

    "Spineps": {"Config": "spineps-pacs.toml", "Command": ["spineps-pacs", "serve", "--config", "spineps-pacs.toml"]}

"Config" is the node's own configuration, out of which comes the port where it listens; where it cannot be read from
here, "Node" names the address. With "Command" the node is started whenever none answers, and ends with Orthanc.
"""

import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import orthanc

PROPERTY = 5157
"""Orthanc's global property (1024 and above are free) with the mark in its list of changes."""

PORT = 8044
"""Where the node listens when its configuration says nothing else."""

UNKNOWN_RESOURCE = 17
"""Orthanc's number of that error."""

RESTART_S = 20.0
"""The node is not started more often than this."""


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
_STRAIGHT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy of the environment: the node is on this machine."""


def ask(method, path, body=None, timeout=10):
    """One request to the node; (status, JSON text), or (503, a sentence) when it does not answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(_NODE + path, data=data, method=method, headers=headers)
    try:
        with _STRAIGHT.open(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException):
        return 503, json.dumps({"error": "the spineps-pacs node does not answer"})


def there_is(path):
    """What Orthanc's REST says of a resource; nothing when it was deleted meanwhile."""
    try:
        return json.loads(orthanc.RestApiGet(path))
    except orthanc.OrthancException as error:
        if error.args[0] == UNKNOWN_RESOURCE:
            return None
        raise


class Courier:
    """A thread that hands over each series once it is stable, until the node has accepted it.

    Orthanc forgets which series it was waiting for when it ends. So the mark stays before the first image of every
    series that is not stable yet, and those from before the start are looked at until Orthanc calls them stable.
    """

    def __init__(self, companion):
        self._companion = companion
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spineps")
        self._mark = self._read = self._before = 0
        self._open = {}
        self._told = ""

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
        begun, pause = False, 1.0
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self._companion.keep()
                begun = begun or self.begin()
                well = self.step()
            except Exception as error:  # noqa: BLE001  Orthanc's database may be away for a while; this thread may not
                self._say(f"Orthanc's changes cannot be read: {error}")
                well = False
            pause = 1.0 if well else min(2 * pause, 30.0)
            self._wake.wait(5.0 if well else pause)

    def begin(self):
        """Finds the mark; the first time it is the end of the list."""
        last = json.loads(orthanc.RestApiGet("/changes?last"))["Last"]  # 0 where somebody emptied the list
        mark = orthanc.GetGlobalProperty(PROPERTY, "")
        self._mark = self._read = int(mark or last)
        self._before = max(last, self._mark)
        if not mark:
            orthanc.SetGlobalProperty(PROPERTY, str(self._mark))
        return True

    def step(self):
        """Hands over all that is stable; False when the node did not take one."""
        well = self._follow() and self._look_back()
        mark = min([self._read, *(first - 1 for first in self._open.values())])
        if mark != self._mark:
            orthanc.SetGlobalProperty(PROPERTY, str(mark))
            self._mark = mark
        if well:
            self._say("")
        return well

    def _follow(self):
        """Reads the changes to their end."""
        done = False
        while not done and not self._stop.is_set():
            page = json.loads(orthanc.RestApiGet(f"/changes?since={self._read}&limit=100"))
            for change in page["Changes"]:
                if not self._notice(change):
                    return False
                self._read = change["Seq"]
            done = page["Done"]
        return True

    def _notice(self, change):
        kind, series = change["ChangeType"], change["ID"]
        if kind == "StableSeries":
            if not self._hand_over(series):
                return False
            self._open.pop(series, None)
        elif kind == "NewSeries":
            self._open.setdefault(series, change["Seq"])
        elif kind == "NewInstance":  # perhaps of a series that was stable before
            found = there_is(f"/instances/{series}")
            if found is not None:
                self._open.setdefault(found["ParentSeries"], change["Seq"])
        return True

    def _look_back(self):
        """Hands over what became stable without a word, and forgets what was deleted."""
        for series, first in list(self._open.items()):
            found = there_is(f"/series/{series}")
            if found is not None and not (first <= self._before and found["IsStable"]):
                continue  # Orthanc will tell
            if found is not None and (self._stop.is_set() or not self._hand_over(series)):
                return False
            del self._open[series]
        return True

    def _hand_over(self, series):
        status, text = ask("POST", "/orthanc/series", {"id": series})
        taken = status in (200, 202)
        if not taken:
            self._say(f"series wait, the node takes none: {status} {text[:200]}")
        return taken

    def _say(self, sentence):
        """In Orthanc's log, once for each change of the matter."""
        if sentence != self._told:
            orthanc.LogWarning(f"spineps: {sentence or 'the node takes series again'}")
        self._told = sentence


class Node:
    """The node's process, when Orthanc shall start it; its end is tied to ours by the pipe to its standard input."""

    def __init__(self, command):
        self._command, self._process, self._begun = command, None, None

    def keep(self):
        """Starts the node when none listens; one that ended is started again, not too often."""
        if not self._command or (self._process is not None and self._process.poll() is None) or listening():
            return
        if self._begun is not None and time.monotonic() - self._begun < RESTART_S:
            return
        if self._process is not None:
            self._process.stdin.close()
            orthanc.LogWarning(f"spineps: the node ended with {self._process.returncode} and is started again")
        self._begun = time.monotonic()
        try:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)
        except OSError as error:
            orthanc.LogError(f"spineps: the node cannot be started: {error}")

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


def listening():
    """Whether anything listens where the node should."""
    place = urllib.parse.urlsplit(_NODE)
    try:
        socket.create_connection((place.hostname, place.port or 80), 2).close()
    except OSError:
        return False
    return True


_COMPANION = Node(_SETTINGS.get("Command"))
_COURIER = Courier(_COMPANION)


def on_change(change, _level, _resource):
    """Orthanc tells what happened; returns at once."""
    if change == orthanc.ChangeType.ORTHANC_STARTED:
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
        output.SetHttpHeader("Content-Type", "application/json")
        try:
            output.SendHttpStatus(status, text)
        except TypeError:  # before version 5 of Orthanc's Python plugin the length is wanted, too
            output.SendHttpStatus(status, text, len(text.encode()))


EXPLORER = """
var spinepsTurn = 0;
function spinepsState(page, id, turn) {
  function say(text, wait) {
    if (turn !== spinepsTurn) return;
    page.find('.spineps-state').text('Spine: ' + text);
    setTimeout(function() { if (turn === spinepsTurn) spinepsState(page, id, turn); }, wait);
  }
  $.getJSON('../spineps/series/' + id, function(job) {
    var ended = ['skipped', 'delivered', 'confirmed', 'failed', 'dead letter', 'cancelled'].indexOf(job.state) >= 0;
    say(job.state + (job.phase && !ended ? ' (' + job.phase + ')' : '') + (job.reason ? ': ' + job.reason : ''),
      ended ? 5000 : 2000);
  }).fail(function(answer) {
    say(answer.status === 404 ? 'not seen yet' : 'the node does not answer', 5000);
  });
}
function spinepsError(answer) {
  try { return JSON.parse(answer.responseText).error; } catch (error) { return 'the node does not answer'; }
}
$('#series').live('pagehide', function() { spinepsTurn += 1; });
$('#series').live('pagebeforeshow', function() {
  var page = $(this), id = $.mobile.pageData.uuid, turn = spinepsTurn += 1;
  page.find('.spineps').remove();
  var button = $('<a>').attr('href', '#').attr('data-role', 'button').attr('data-icon', 'gear').attr('data-theme', 'e')
    .attr('role', 'button').addClass('spineps').text('Segment spine');
  var state = $('<p>').addClass('spineps spineps-state').attr('aria-live', 'polite');
  var fault = $('<p>').addClass('spineps spineps-fault').attr('role', 'alert');
  button.insertBefore($('#series-delete').parent().parent()).button();
  state.insertAfter(button);
  fault.insertAfter(state);
  button.click(function(event) {
    event.preventDefault();
    fault.text('');
    $.ajax({url: '../spineps/series/' + id, type: 'POST', data: '{}'}).fail(function(answer) {
      fault.text('Spine: not started: ' + spinepsError(answer));
    }).always(function() { spinepsState(page, id, turn = spinepsTurn += 1); });
  });
  spinepsState(page, id, turn);
});
"""

orthanc.RegisterOnChangeCallback(on_change)
orthanc.RegisterRestCallback("/spineps/series/([^/]+)", on_series)
orthanc.RegisterRestCallback("/spineps/jobs", on_jobs)
orthanc.ExtendOrthancExplorer(EXPLORER)
