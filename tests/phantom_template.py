"""Imported where processes of tests are forked: each then has the phantom's template, which takes seconds to make."""

from threadpoolctl import threadpool_limits

from cytomesh.phantom.geometry import template

with threadpool_limits(1):  # threads that are there before a fork are not there after it
    template("L")
