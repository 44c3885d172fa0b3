"""The runner: jobs that run in processes of their own and can be stopped.

The map of the house, from the bottom up. Imports point downwards only; nothing here knows HTTP, and nothing
outside ``groups``, ``gateways`` and ``workflows`` knows what a job is about.

==================  =========================================================================================
clock, errors       time as an argument; every fact that can go wrong, as a class
settings            what is configured, and where it came from
networks            addresses and networks, as people write them
identity            the ids of people in the messenger, in one spelling
numbering           reading a telephone number; which two spellings may be the same one
crashpoint          named places where a test may let a process die
job                 ``Job``, its status, progress and cancellation, and which status may follow which
waits               what a job says of a wait: its kind, and why
token               who may call from outside, and what they may do
store, stores/      where everything is kept: one transaction can span jobs, batches and groups
abort, watch        ``AbortFlag``: what carries a cancel into a process; ending when the server ends
priority            jobs give way to who supervises them
tree, stop          the process tree of one job; the ladder from flag to proof, a step function of time
gateway, gateways/  the way to a group
config              ``JobConfig``: what a job takes; its secrets, which are kept apart
declaration         what ``@workflow`` is given, looked at at the import
loading             the modules of types, and what each does to the process that loads it
workflow            ``@workflow``, ``JobConfig``: what a type of job is
visible             text from outside, made safe to show
failure, lastwords  what is kept of the error that ended a job, and of what its process said at the end
joblog              what a job logs: a line an event
frames              whose code a file is
storable, fitting   what can be kept of what a job says; the rest never stops a commit
ledger, source      what a run writes, each time naming its epoch; where its batches come from
arguments           what a workflow gives to its job, checked where it is given
checkpoints         where a run sees that it must stop, and its waits
loops, plan         the loops of a run, one inside the other; what each was asked for
positions           where each of them stands, in the one value that a commit keeps
batch, context      ``Batch`` and ``JobContext``: what a workflow works with
webhook, webhooks/  what a gateway tells by itself, in one form whichever it was
groups/             members, activity, whitelist, removal queue, history; what imports and webhooks bring
workflows/          the types that come with the runner
child, preload      what happens inside a job's process, and what the fork server loads once for all (``warm``)
sockets, births     where the sockets of our processes lie; whether processes can be born at all
process, standby    the server's end of a job's process; processes started ahead, each used once
control             what the two say to each other, of which nothing is trusted
lines, live         progress between commits: one Manager-backed dict; what jobs write in it and the server copies
running, records    a run that is watched, and what is written down of it
waiting             all that the supervisor's loop sleeps on
unready             jobs that this server cannot run as it is set up: why they wait
ending              what follows when a run has ended: the end of the job, another run, or a settling
launcher            slots, and the way of a claimed job to its process
supervisor          the loop that watches processes
standing            a job as it stands: its row, and what the server knows beside it
dispatcher          which job runs when; dispatchers/ has the variants
cancelling          the row first, then the process; ``journal`` keeps what the store could not take, in a ``linefile``
leaving             every job is stopped, and the server leaves once nobody of theirs lives
readiness           what a node needs to work, and whether it has it
results             a result, put together from the ledger
manager             ``JobManager``: start, get, list, cancel, delete, reap, shut down
demo/               a made-up group to try things on
testing/            the tester of workflows: each stopped and killed at every place it comes to
==================  =========================================================================================

Nothing is imported here: a job's process must not load the manager.
"""
