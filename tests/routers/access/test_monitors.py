"""Monitors where signing in is required: who sees the address, and who may report."""

from scheduler_api.database.engine import Database
from tests.routers.access.conftest import Comes, key_of
from tests.routers.test_monitors import HTML, add


async def test_viewers_do_not_see_the_address_and_no_key_is_needed_to_report(
    comes: Comes, database: Database
) -> None:
    editor, viewer = comes(await key_of(database, "editor")), comes(await key_of(database, "viewer"))
    job, path = await add(editor)
    assert (await viewer.get(f"/jobs/{job['jobid']}/monitor")).status_code == 403
    assert path not in (await viewer.get(f"/jobs/{job['jobid']}", headers=HTML)).text
    assert path in (await editor.get(f"/jobs/{job['jobid']}", headers=HTML)).text
    assert (await comes(None).post(path)).status_code == 200
