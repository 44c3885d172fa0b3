"""The sockets: waitress, with a place for each connection, a deadline for each part of a request, and errors in our
shape. waitress alone refreshes its one time-out with each byte, so that whoever drips is never over.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import MultiSocketServer, TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from web.intake import Intake
from web.parser_errors import ProblemAnswer, TooManyHere, whole_answer
from web.places import Bounds, Places

_BYTES_A_SECOND = 50_000
"""A large answer may take longer to be read: a second more for each so many bytes."""

_TOO_SLOW = "The request was not whole in time: its header in {:g} s, its body in {:g} s"


class Channel(HTTPChannel):
    """A connection. All but ``service`` runs in the server's own thread."""

    error_task_class = ProblemAnswer

    def __init__(self, server: Server, *arguments: Any, **more: Any) -> None:
        self._places, self._seconds = server.places, server.seconds
        self._quiet_since = self._begun = self._seconds()
        self._header_at: float | None = None
        self._unread_since: float | None = None
        self._has_served = False
        super().__init__(server, *arguments, **more)
        vars(self)["parser_class"] = partial(server.parser_class, on_header=self._header_is_whole)
        self._places.take(self, self._peer)

    @property
    def _peer(self) -> str:
        return str(self.addr[0])

    @property
    def quiet_since(self) -> float | None:
        """See ``Connection``."""
        return None if self.requests or self.total_outbufs_len else self._quiet_since

    def received(self, data: bytes) -> bool:
        if self.request is None and self._has_served:
            self._begun = self._seconds()  # of the first request the time counts from when it was let in
        took = bool(super().received(data))
        if self.requests:
            self._has_served = True
        if self.request is None or not self.request.headers_finished:
            self._header_at = None
        elif self._header_at is None:
            self._header_at = self._seconds()
        return took

    def service(self) -> None:
        """In a thread: answers the requests that are whole."""
        super().service()
        self._quiet_since = self._begun = self._seconds()
        self._places.request_is_over(self, self._peer)

    def del_channel(self, map: Any = None) -> None:
        self._places.leave(self)
        super().del_channel(map)

    def hang_up(self) -> None:
        """At once."""
        self.handle_close()

    def give_up(self) -> None:
        """Who has begun a request is told why, if that fits into what the socket takes right now."""
        if self.request is not None and not self.total_outbufs_len:
            bounds = self._places.bounds
            said = _TOO_SLOW.format(bounds.header_seconds, bounds.body_seconds)
            _say(self.socket, whole_answer(HTTPStatus.REQUEST_TIMEOUT, said))
        self.hang_up()

    def is_overdue(self) -> bool:
        """Whether it has had its time."""
        now, bounds = self._seconds(), self._places.bounds
        unread = self.total_outbufs_len
        self._unread_since = (self._unread_since or now) if unread else None
        if self._unread_since is not None:
            return now - self._unread_since > bounds.answer_seconds + unread / _BYTES_A_SECOND
        if self.requests:
            return False
        if self.request is None:
            patience = bounds.idle_seconds if self._has_served else bounds.header_seconds
            return now - self._quiet_since > patience
        if self._header_at is None:
            return now - self._begun > bounds.header_seconds
        return now - self._header_at > bounds.body_seconds

    def _header_is_whole(self, parser: HTTPRequestParser) -> TooManyHere | None:
        refused = self._places.request_comes(self, self._peer, parser.headers)
        return None if refused is None else TooManyHere(refused[1])


class Server(TcpWSGIServer):
    """One socket that is listened on."""

    channel_class = Channel

    def __init__(
        self, *arguments: Any, places: Places, seconds: Callable[[], float], parser_class: type[Intake], **more: Any
    ) -> None:
        self.places, self.seconds, self.parser_class = places, seconds, parser_class
        super().__init__(*arguments, **more)

    def accept(self) -> tuple[socket.socket, Any] | None:
        """None, too, for a connection that has no place: it is told so and closed."""
        taken: tuple[socket.socket, Any] | None = super().accept()
        if taken is None or (refused := self.places.make_room(str(taken[1][0]))) is None:
            return taken
        taken[0].setblocking(False)
        _say(taken[0], whole_answer(*refused))
        taken[0].close()
        return None

    def maintenance(self, now: float) -> None:
        channels: Any = self.active_channels  # a dict by file descriptor, whatever its stubs say
        for channel in tuple(channels.values()):
            if channel.is_overdue():
                channel.give_up()


def most_connections() -> int:
    """As many as ``Bounds`` says where this process may have as many files; jobs need some of these, too. It asks for
    more than it was given, as far as it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = Bounds().most
    if soft != resource.RLIM_INFINITY and soft < 4 * most:
        soft = 4 * most if hard == resource.RLIM_INFINITY else min(hard, 4 * most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return most if soft == resource.RLIM_INFINITY else min(most, max(100, soft // 2))


def listening(
    app: Any,
    places: Places,
    parser_class: type[Intake],
    *,
    seconds: Callable[[], float] = time.monotonic,
    **adjustments: Any,
) -> Any:
    """A server that is bound and has a ``run``. ``adjustments``: waitress's own. Raises OSError, and ValueError for a
    host that no address is known of.
    """
    # Whom to let in is ours to say: waitress would let in nobody, this machine neither, once its limit is reached.
    adjusted = Adjustments(**adjustments, connection_limit=2 * places.bounds.most + 100, cleanup_interval=1)
    dispatcher, sockets = ThreadedTaskDispatcher(), dict[int, Any]()
    dispatcher.set_thread_count(adjusted.threads)
    ours: dict[str, Any] = {"places": places, "seconds": seconds, "parser_class": parser_class}
    servers: list[Any] = [
        Server(app, sockets, dispatcher=dispatcher, adj=adjusted, sockinfo=where, **ours) for where in adjusted.listen
    ]
    if len(servers) == 1:
        return servers[0]
    where = [(one.effective_host, one.effective_port) for one in servers]
    return MultiSocketServer(sockets, adjusted, where, dispatcher, servers[-1].log_info)


def _say(to: socket.socket | None, answer: bytes) -> None:
    try:
        if to is not None:
            to.send(answer)
    except OSError:  # it reads nothing, or is gone: that is no loss
        return
