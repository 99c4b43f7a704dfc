"""Plays every actor of every recording with the peer, and compares what it says byte for byte.

Run it as ``python -m replay [RECORDING...]``. There are two parts:

* every recorded frame is read, and written again from what was understood of it;
* every actor is put into its recorded place: it reads what the others said, in the recorded order,
  and what it says must be the recorded bytes, connection by connection.

What is given to the peer is what an application or a process decides: names and uuids, pids, cids,
addresses, payloads, which function is called and when, what type of failure a task dies of, whether
it opens a stream and reads it, and all texts of errors. Everything else is the peer's own doing,
and what it must say without being asked is never given to it: ``Aid``, ``StartAck`` and its kind,
refusals, what a registrar answers, the order of a cancellation's replies with its canceller,
overruns, the path and the type of relayed errors, when a child that boots begins to serve.
"""
