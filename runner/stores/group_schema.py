"""The tables of the groups: people, memberships, activity, lists, removals. Times are UTC milliseconds."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from runner.stores.schema import metadata


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _group(primary_key: bool = False) -> Column[int]:
    return Column("group_id", Integer, ForeignKey("groups.id"), nullable=False, primary_key=primary_key)


def _person(primary_key: bool = False) -> Column[int]:
    return Column("person_id", Integer, ForeignKey("people.id"), nullable=False, primary_key=primary_key)


_LIVE = text("live")

groups = Table(
    "groups",
    metadata,
    _id(),
    Column("wa_id", String(64), nullable=False, unique=True),
    Column("name", String(200)),
    Column("account", String(100)),  # the gateway and its instance whose events tell of this group
    Column("inactivity_threshold_minutes", Integer, nullable=False, server_default="43200"),
    Column("created_at", BigInteger, nullable=False),
    Column("listed_at", BigInteger),  # when a whole member list was last given; None: known from exports alone
    Column("absent_since", BigInteger),  # we were not in it at this moment; what was said before begins nothing
)

people = Table(
    "people",
    metadata,
    _id(),
    Column("lid", String(64), unique=True),
    Column("pn", String(64), unique=True),
    Column("name", String(200)),
    Index("ix_people_name", "name"),
    sqlite_autoincrement=True,
)
"""One person, whichever ids are known: ``lid`` is ``digits@lid``, ``pn`` is ``digits@s.whatsapp.net``."""

memberships = Table(
    "memberships",
    metadata,
    _group(primary_key=True),
    _person(primary_key=True),
    Column("role", String(12), nullable=False),  # member, admin, superadmin
    Column("role_at", BigInteger),  # when an event last told it, or somebody set it
    Column("is_me", Boolean, nullable=False, default=False),
    Column("joined_at", BigInteger),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("first_active_at", BigInteger),
    Column("last_active_at", BigInteger),
    Column("left_at", BigInteger),
    Index("ix_memberships_person_id", "person_id"),
    Index("ix_memberships_activity", "group_id", "last_active_at"),
)

observations = Table(
    "observations",
    metadata,
    _id(),
    _group(),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("source", String(200), nullable=False),
    Column("live", Boolean),  # of a gateway's events: whether it goes on; None: taken in from a file
    Index("ix_observations_group", "group_id", "from_ms"),
    Index("ix_observations_live", "group_id", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
)
"""When activity in a group was watched. Only what is covered here can make silence mean anything."""

whitelist = Table(
    "whitelist",
    metadata,
    _group(primary_key=True),
    _person(primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

removal_queue = Table(
    "removal_queue",
    metadata,
    _id(),
    _group(),
    _person(),
    Column("created_at", BigInteger, nullable=False),
    Column("window_ms", BigInteger),  # the silence that put them here; None: put here by hand
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("tried_at", BigInteger),  # when the last of them was found to have done nothing, as it seemed
    UniqueConstraint("group_id", "person_id"),
    Index("ix_removal_queue_person_id", "person_id"),
    Index("ix_removal_queue_walk", "group_id", "id"),
    sqlite_autoincrement=True,  # a key is never given twice: the walk goes by key
)

removal_history = Table(
    "removal_history",
    metadata,
    _id(),
    _group(),
    _person(),
    Column("job_id", String(64)),
    Column("at", BigInteger, nullable=False),
    Column("outcome", String(10), nullable=False),  # SUCCESS, FAILURE
    Column("reason", Text, nullable=False),
    Column("code", String(20)),
    Column("via", String(20), nullable=False),
    Index("ix_removal_history_group", "group_id", "id"),
    Index("ix_removal_history_person_id", "person_id"),
    sqlite_autoincrement=True,
)

unmatched_authors = Table(
    "unmatched_authors",
    metadata,
    _group(primary_key=True),
    Column("name", String(300), primary_key=True),
    Column("messages", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("source", String(200), nullable=False),
)

author_matches = Table(
    "author_matches",
    metadata,
    _group(primary_key=True),
    Column("name", String(300), primary_key=True),
    Column("person_id", Integer, ForeignKey("people.id")),  # None: confirmed to be no member
)

roster_removals = Table(
    "roster_removals",
    metadata,
    _group(primary_key=True),
    _person(primary_key=True),
    Column("removed_at", BigInteger, nullable=False),
)
"""Taken off the roster; the to-do list of those whom a person still has to remove by hand."""

job_people = Table(
    "job_people",
    metadata,
    # Checked at the commit: the row may be written before its job's is.
    Column(
        "job_id",
        String(64),
        ForeignKey("jobs.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        primary_key=True,
    ),
    _person(primary_key=True),
    Index("ix_job_people_person_id", "person_id"),
)
"""Whom a dry run would remove, and whom a real run pinned to it may. By internal id, so that no merge loses them."""

webhook_accounts = Table(
    "webhook_accounts",
    metadata,
    Column("account", String(100), primary_key=True),
    Column("heard_at", BigInteger, nullable=False),
    Column("open_at", BigInteger, nullable=False),
    Column("down_since", BigInteger),
    Column("alive_at", BigInteger, nullable=False),
    Column("extended_at", BigInteger, nullable=False),
    Column("group_heard_at", BigInteger),  # somebody's last message in any of its groups
    Column("breaks_at", BigInteger),  # until then its observations hold if nothing more comes; None: it has none
    Column("back_at", BigInteger),  # when events could come in again after they could not
    Column("looked_at", BigInteger),  # when the gateway last said, asked, how it stands
)
"""How the events of a gateway's instance come in: see ``runner.groups.hearing``. ``account`` is ``evolution/name``."""

webhook_messages = Table(
    "webhook_messages",
    metadata,
    _group(primary_key=True),
    Column("message_id", String(100), primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
    Index("ix_webhook_messages_seen_at", "seen_at"),
)
"""Events that were taken in already, so that none counts twice. Nothing of what was said."""

webhook_counts = Table(
    "webhook_counts",
    metadata,
    Column("event", String(40), primary_key=True),
    Column("outcome", String(20), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
)

polls = Table(
    "polls",
    metadata,
    _group(primary_key=True),
    Column("at_ms", BigInteger, primary_key=True),
)
"""When there was a poll in a group, as far as it was seen. Nothing of what it asked."""

gateway_versions = Table(
    "gateway_versions",
    metadata,
    Column("account", String(100), primary_key=True),
    Column("name", String(80)),  # by its own word; None: it could not be asked the last time
    Column("shows_votes", Boolean, nullable=False),
    Column("votes_since", BigInteger),  # when it first did after a version that did not; 0: no such was seen
    Column("asked_at", BigInteger, nullable=False),
)
"""What a gateway said it is: see ``runner.groups.versions``."""
