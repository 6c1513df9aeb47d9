"""Does the main jobs of the API with the client that was made from its document.

Arguments: the service's address, and the ids of a dump and of its group.
"""

import sys

from made import Client, models
from made.api.dumps import get_dumps, get_dumps_ref, get_dumps_ref_report
from made.api.groups import get_groups, get_groups_ref, get_groups_ref_changes, post_groups_ref_changes
from made.api.searches import get_searches, put_searches_name
from made.types import UNSET

address, dump, group = sys.argv[1:]
client = Client(base_url=address, raise_on_unexpected_status=True)


def the(kind, answer):
    """The answer, which is of this kind."""
    assert isinstance(answer, kind), answer
    return answer


# Every page of a list, until there is no more.
found, cursor = [], UNSET
while True:
    page = the(models.DumpPage, get_dumps.sync(client=client, query="signal:SIGSEGV", limit=1, cursor=cursor))
    found += page.items
    if page.next_cursor is None:
        break
    cursor = page.next_cursor
assert len({one.id for one in found}) == len(found) == 3, found
assert all(one.signal == "SIGSEGV" and isinstance(one.status, models.DumpStatus) for one in found)

# One whole, by the beginning of its id, with what is nested in it.
whole = the(models.Dump, get_dumps_ref.sync(dump[:12], client=client))
assert whole.summary.id == dump and whole.record.signal.number in (6, 11)
assert whole.record.container is None and whole.record.host.hostname == "node"
report = the(models.Report, get_dumps_ref_report.sync(dump, client=client))
assert whole.report == report
assert report.cause.title and report.threads[0].frames[0].pc.startswith("0x")

# Groups, and a decision about one.
groups = the(models.GroupPage, get_groups.sync(client=client)).items
assert group in [one.id for one in groups]
before = the(models.GroupSummary, get_groups_ref.sync(group, client=client)).state
wish = models.DecisionIgnore(kind="ignore", until="7d")
changed = the(models.Changed, post_groups_ref_changes.sync(group, client=client, body=wish))
assert changed.life.state is models.State.IGNORED and changed.entry.by.via == "api", changed
one = the(models.GroupSummary, get_groups_ref.sync(group, client=client))
assert one.state is models.State.IGNORED
undo = models.DecisionUndo(kind="undo", change=changed.entry.sequence)
assert the(models.Changed, post_groups_ref_changes.sync(group, client=client, body=undo)).life.state is before
history = the(models.ChangePage, get_groups_ref_changes.sync(group, client=client)).items
assert [entry.undone for entry in history][-2:] == [True, False], history

saved = the(models.SavedSearch, put_searches_name.sync("segfaults", client=client, query="signal:SIGSEGV"))
assert saved in the(models.SearchPage, get_searches.sync(client=client)).items

# What goes wrong is a problem, and says what.
for answer, status, code in [
    (get_dumps_ref.sync("ffffffffffff", client=client), 404, "not-found"),
    (get_dumps.sync(client=client, cursor="nonsense"), 400, "bad-cursor"),
    (post_groups_ref_changes.sync(group, client=client, body=models.DecisionMerge(kind="merge", into="ffff")), 404, "not-found"),
]:
    problem = the(models.Problem, answer)
    assert (problem.status, problem.code) == (status, code), problem
problem = the(models.Problem, get_dumps.sync(client=client, query="signl:SIGSEGV"))
assert problem.code == "bad-query" and problem.query.suggestion, problem

# Generated types say something.
vague = {
    f"{kind.__name__}.{name}"
    for kind in vars(models).values()
    if isinstance(kind, type)
    for name, hint in getattr(kind, "__annotations__", {}).items()
    if "Any" in str(hint) and name != "additional_properties"
}
assert not vague, sorted(vague)
print("all done")
