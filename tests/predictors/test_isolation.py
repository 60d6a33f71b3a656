"""What a model's process has, told by models that look around in it."""

import ast
import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests import models
from tests.predictors.asking import begun_nursery, predict, running
from tests.service_layer.doubles import until

from serinus.predictors import isolation
from serinus.predictors.processes import Nursery, Room, launched
from serinus.predictors.runners import RunnerPredictor

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="what is looked at is Linux's"),
]
SECRETS = {
    "SERINUS_HASH_KEY": "key-of-hashes",
    "SERINUS_DATABASE_URL": "postgresql://serinus:word-of-database@db/serinus",
    "AWS_SECRET_ACCESS_KEY": "key-of-aws",
    "PGPASSWORD": "word-of-postgresql",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nursery() -> AsyncIterator[Nursery]:
    """A nursery that was begun while the environment was full of secrets."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in SECRETS.items():
            patched.setenv(name, value)
        nursery = await begun_nursery()
        yield nursery
    nursery.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


async def told(nursery: Nursery, fact: str, port: int = 0) -> Any:
    """Give what a model says of its process."""
    async with running(nursery, models.Tells(fact, port), models.TEXT) as predictor:
        return (await predict(predictor, [1, 0.0])).prediction


def process_of(nursery: Nursery) -> "subprocess.Popen[bytes]":
    assert isinstance(nursery._process, subprocess.Popen)
    return nursery._process


def command_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_its_environment_holds_no_setting_and_no_secret(nursery: Nursery) -> None:
    names = ast.literal_eval(await told(nursery, "environment"))
    bytes_at_first = ast.literal_eval(await told(nursery, "first environment"))

    assert [name for name in names if name.startswith(("SERINUS_", "AWS_", "PG"))] == []
    assert [secret for secret in SECRETS.values() if secret.encode() in bytes_at_first] == []
    assert [name for name in SECRETS if name.encode() in bytes_at_first] == []


async def test_it_has_no_files_open_but_its_standard_ones_and_its_socket(nursery: Nursery) -> None:
    files = ast.literal_eval(await told(nursery, "files"))

    assert files[:3] == ["0 /dev/null", files[1], files[2]]
    assert [file.split()[0] for file in files[:3]] == ["0", "1", "2"]
    assert [file.split()[1] for file in files[3:]] == ["socket"]


async def test_it_reads_nothing(nursery: Nursery) -> None:
    assert await told(nursery, "input") == ""


async def test_it_has_no_network(nursery: Nursery, listener: socket.socket) -> None:
    async with running(nursery, models.Tells("connects", listener.getsockname()[1]), models.TEXT) as predictor:
        if not predictor.work.offline:
            pytest.skip("this kernel lets nobody leave its network")
        assert (await predict(predictor, [1, 0.0])).prediction == "False"


async def test_where_an_operator_gives_it_a_network_it_has_one(listener: socket.socket) -> None:
    nursery = Nursery(Room(network=True))
    async with running(nursery, models.Tells("connects", listener.getsockname()[1]), models.TEXT) as predictor:
        answer = await predict(predictor, [1, 0.0])
        assert not predictor.work.offline
    nursery.close()

    assert answer.prediction == "True"


async def test_it_leaves_no_image_of_its_memory_behind(nursery: Nursery) -> None:
    assert await told(nursery, "core") == "0"


async def test_native_libraries_use_one_thread(nursery: Nursery) -> None:
    assert await told(nursery, "threads") == str(["1", "1"])
    libraries = ast.literal_eval(await told(nursery, "threads of libraries"))
    assert libraries
    assert set(libraries) == {1}


async def test_native_libraries_use_as_many_threads_as_an_operator_says() -> None:
    nursery = Nursery(Room(threads=2))
    assert await told(nursery, "threads") == str(["2", "2"])
    nursery.close()


async def test_it_is_a_copy_of_a_process_that_was_begun_anew_and_not_of_this_one(nursery: Nursery) -> None:
    process = process_of(nursery)

    parent = int(await told(nursery, "parent"))

    assert parent == process.pid
    assert parent != os.getpid()
    command = command_of(parent)
    assert command[0] == os.fsencode(sys.executable)
    assert b"serinus.predictors.nursery" in command[2]


def pid_of(predictor: RunnerPredictor) -> int:
    (place,) = predictor._places
    assert place.runner is not None
    return place.runner.pid


async def test_it_ends_when_its_gateway_hangs_up_whatever_it_is_at() -> None:
    nursery = await begun_nursery()
    async with running(nursery, models.Ill("hangs")) as predictor:
        process, hanging = process_of(nursery).pid, pid_of(predictor)
        asking = predictor.ask([[-1, 0.0]], 60.0, lambda _: None)
        await until(lambda: predictor.work.batches)

        nursery.close()

        await until(lambda: not is_there(hanging))
        assert not is_there(process)
        asking.withdraw()


async def test_it_ends_with_the_process_that_it_is_a_copy_of() -> None:
    nursery = await begun_nursery()
    async with running(nursery, models.Risk()) as predictor:
        before = pid_of(predictor)

        process_of(nursery).kill()

        await until(lambda: not is_there(before))
        predictor.close()
    nursery.close()


GATEWAY = """
import asyncio
from tests import models
from tests.predictors.asking import running, started
from serinus.predictors.processes import Nursery, Room

async def main():
    async with running(Nursery(Room()), models.Risk()) as predictor:
        print(predictor._places[0].runner.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_it_ends_with_its_gateway_however_that_ends() -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", GATEWAY, env=env, stdout=subprocess.PIPE)
    assert gateway.stdout is not None
    runner = int(await gateway.stdout.readline())
    assert is_there(runner)
    gateway.kill()
    await gateway.wait()

    await until(lambda: not is_there(runner))


async def test_what_a_terminal_tells_its_gateway_is_not_told_to_it(nursery: Nursery) -> None:
    async with running(nursery, models.Risk()) as predictor:
        assert os.getpgid(pid_of(predictor)) != os.getpgid(0)
        os.kill(pid_of(predictor), signal.SIGINT)

        assert (await predict(predictor, [1, 0.0])).prediction == 0.01
        assert predictor.work.ends == 0


async def test_an_environment_is_made_of_what_is_harmless_and_of_nothing_else() -> None:
    inherited = SECRETS | {"PATH": "/bin", "TZ": "UTC", "HTTPS_PROXY": "http://user:word@proxy"}

    left = isolation.environment(inherited, 3)

    assert (left["PATH"], left["TZ"], left["OMP_NUM_THREADS"]) == ("/bin", "UTC", "3")
    assert not set(left) & ({*SECRETS} | {"HTTPS_PROXY"})


async def test_a_terminal_tells_runners_nothing_and_they_share_the_processor_with_their_gateway() -> None:
    link, process = launched(1)
    with link:
        assert process is not None
        group, session = os.getpgid(process.pid), os.getsid(process.pid)
    await asyncio.to_thread(process.wait, 60)

    assert group != os.getpgid(0)
    assert session == os.getsid(0), "else niceness would count among runners alone, where Linux groups by sessions"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has it")
async def test_one_core_is_what_a_process_may_run_on() -> None:
    def found(cores: int) -> str:
        code = f"import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])\n"
        code += "from serinus.predictors.isolation import has_one_core; print(has_one_core())"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    assert found(1) == "True"
    assert found(2) == str(len(os.sched_getaffinity(0)) == 1)
