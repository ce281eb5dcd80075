"""Exchanges between our client and the sandbox, recorded for every situation that a flow leads to.

``make exchanges`` records them anew; a change of behaviour then shows as a difference of the files
in ``recorded/``. A file holds the checks that are made with one flow:

``flow``
    the slug of the flow.
``evidence``
    how the flow was seen to refuse: ``in_place``, ``restarts``, ``unknown``, or null.
``canary``
    the exchanges of the canary, which runs before each check.
``checks``
    a list of checks. Each begins with a new sandbox, and has

    ``name``, ``username``, ``password``, ``code``
        the situation, and what the user typed.
    ``verdict``, ``reason``
        what the client makes of it.
    ``decided``
        the sandbox's own record of the check: whose password was ``accepted``, whose was
        ``refused``, and the ``events`` of the log.
    ``exchanges``
        all requests and responses, in order.

An exchange has

``request``
    ``method``, ``path``, ``headers``, ``body``; ``cookie`` tells whether the session cookie came.
``altered``
    the request that reached the sandbox instead, in situations where one is damaged on the way.
``proxy``
    true for a response that a proxy in front of Authentik gave: the sandbox was not asked.
``response``
    ``status``, ``headers``, ``cookies`` and ``body``. A JSON body keeps the order of its fields,
    so the bytes can be made from it. A cookie is name, content and attributes. The content of a
    JWT is its claims.

What is random is replaced: session ids are numbered as they appear, and other values have one
character in all places. The clock stands still.
"""
