"""Tasks for test_scaling, in a module of their own: a worker that imports it need not import a model's packages."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from helpers.files import InputError
from helpers.scaling import match


def slow_match(sentences, calls, seconds=0.3):
    """Match; leave a file in the folder `calls` that says which process began when, and take your time."""
    (Path(calls) / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(seconds)
    return match(sentences, "sample")


def other_match(sentences, taxonomy):
    """Another task with the same arguments."""
    return match(sentences, taxonomy).assign(words=[len(text.split()) for text in sentences])


def deadly(sentences):
    """Take the worker down."""
    os.kill(os.getpid(), signal.SIGKILL)


def wrong(sentences):
    """Complain."""
    raise InputError("what a task complains about")
