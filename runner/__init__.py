"""The runner: jobs that run in processes of their own and can be stopped.

The map of the house, from the bottom up. Imports point downwards only; nothing here knows HTTP, and nothing
outside ``groups``, ``gateways`` and ``workflows`` knows what a job is about.

==================  =========================================================================================
clock, errors       time as an argument; every fact that can go wrong, as a class
settings            what is configured, and where it came from
job                 ``Job``, its status, progress and cancellation, and which status may follow which
store, stores/      where everything is kept: one transaction can span jobs, batches and groups
abort               ``AbortFlag``: what carries a cancel into a process
gateway, gateways/  the way to a group
workflow            ``@workflow``, ``JobConfig``: what a type of job is
ledger              what a run writes: intents, commits, its end, each naming the run's epoch
batch, context      ``Batch`` and ``JobContext``: what a workflow works with
groups/             members, activity, whitelist, removal queue, history; imports of exports and lists
workflows/          the types that come with the runner
child, process      what happens inside a job's process, and the server's end of it
standby             processes started ahead, each used once
tree                the process tree of one job: walk, kill, prove
stop                the ladder from flag to proof, a step function of time
supervisor          the loop that watches processes
dispatcher          which job runs when; dispatchers/ has the variants
manager             ``JobManager``: start, get, list, cancel, delete, reap, shut down
==================  =========================================================================================

Nothing is imported here: a job's process must not load the manager.
"""
