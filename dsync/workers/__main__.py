"""A worker process of its own: the argument is the descriptor of its end of the pair."""

from __future__ import annotations

import socket
import sys

from dsync import stack
from dsync.workers.serving import work

stack.with_room(lambda: work(socket.socket(fileno=int(sys.argv[1]))))
