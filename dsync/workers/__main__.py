"""A worker process of its own: the argument is the descriptor of its end of the pair."""

from __future__ import annotations

import socket
import sys

from dsync import garbage
from dsync.workers.serving import work

garbage.collect_seldom()
work(socket.socket(fileno=int(sys.argv[1])))
