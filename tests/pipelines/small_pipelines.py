"""Pipelines of a second or two, for the engine's tests. Their tasks run in the deployment environment, as ours do."""

from typing import NamedTuple

from kfp import dsl

from mainspring.components import notify, refuse_run
from mainspring.components.common.images import image

LIGHT = image("deployment")


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def double(number: int, metrics: dsl.Output[dsl.Metrics]) -> int:
    """Doubles a number, and says where it runs."""
    import sys

    print(f"runs in {sys.prefix}")
    metrics.log_metric("doubled", 2 * number)
    return 2 * number


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def refuse(words: str) -> str:
    """Fails as a component does whose input is wrong."""
    from mainspring.components.common.errors import UserError

    raise UserError(words)


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def break_down() -> str:
    """Fails as a component does that has a bug."""
    print("all was well until")
    return {}["the bug"]


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def sleep(pid_file: str) -> int:
    """Starts a process of its own, writes both ids to a file, and sleeps."""
    import os
    import subprocess
    import time
    from pathlib import Path

    child = subprocess.Popen(["sleep", "600"])
    path = Path(pid_file)
    path.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
    path.with_suffix(".part").rename(path)
    time.sleep(600)
    return 0


@dsl.component(base_image="python:3.11")
def elsewhere(number: int) -> int:
    """Is another team's component: its image is none of ours."""
    return number + 1


@dsl.pipeline(name="doubles")
def doubles(number: int, only_if: int = 4) -> int:
    """Doubles twice, and a third time if the second result is the expected one."""
    first = double(number=number)
    second = double(number=first.outputs["Output"]).set_display_name("Double again")
    with dsl.If(second.outputs["Output"] == only_if):
        double(number=second.outputs["Output"]).set_display_name("Double once more")
    return second.outputs["Output"]


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def ask(number: int) -> NamedTuple("Asked", is_even=bool, said=str):  # type: ignore[valid-type]
    """Says two things of a number."""
    return (number % 2 == 0, "quoted 'words'")


@dsl.pipeline(name="asks")
def asks(number: int):
    """Goes on only if one of several outputs says so, and has nothing to do otherwise."""
    asked = ask(number=number)
    with dsl.If(asked.outputs["is_even"] == True):  # noqa: E712
        double(number=number)


@dsl.pipeline(name="refuses")
def refuses(words: str):
    """Fails with one line, before a task that is never reached."""
    refused = refuse(words=words)
    double(number=1).after(refused)


@dsl.pipeline(name="breaks-down")
def breaks_down():
    """Fails with a traceback."""
    break_down()


@dsl.pipeline(name="sleeps")
def sleeps(pid_file: str):
    """Takes ten minutes."""
    sleep(pid_file=pid_file)


@dsl.pipeline(name="mixed")
def mixed(numbers: list[int] = [1, 2]):  # noqa: B006
    """Mixes our images with another's, in a loop."""
    with dsl.ParallelFor(numbers) as number:
        doubled = double(number=number)
        elsewhere(number=doubled.outputs["Output"])


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def read(settings: dict) -> str:
    """Reads the file that a parameter names."""
    from pathlib import Path

    return Path(settings["policy"]).read_text()


@dsl.pipeline(name="reads")
def reads(policy: str) -> str:
    """Reads a file, as a policy or a trainer's module is read."""
    return read(settings={"policy": policy}).output


@dsl.pipeline(name="told")
def told(to: list[str], on_refusal: str = "fail"):
    """Refuses, and tells somebody at the end; nobody has thought of caching."""
    with dsl.ExitHandler(notify(to=to, title="nightly")):
        refuse_run(stage="data", reasons="carrier: ZZ is unknown", on_refusal=on_refusal)


@dsl.component(base_image="python:3.11")
def theirs(target: str) -> str:
    """Is another team's component, with a parameter that ours have too."""
    return target


@dsl.pipeline(name="another-teams")
def another_teams(target: str):
    """Has a parameter of the same name as ours, that means something else."""
    theirs(target=target)


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def look_at(span: str, stop: str) -> str:
    """Fails, as long as there is a file that says so for this span."""
    from pathlib import Path

    from mainspring.components.common.errors import UserError

    if Path(stop, span).exists():
        raise UserError(f"span {span}: is to fail")
    return span


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def serve(target: str, span: str) -> NamedTuple("Served", version=int, version_uri=str, endpoint=str):  # type: ignore[valid-type]
    """Takes and gives what a deployment does."""
    return (int(span), f"/models/{span}", "http://localhost")


@dsl.pipeline(name="by-span")
def by_span(source: str, stop: str, target: str = "local://small", span: str = "latest"):
    """Reads a span and deploys."""
    looked = look_at(span=span, stop=stop)
    served = serve(target=target, span=looked.output)
    look_at(span=served.outputs["version_uri"], stop=stop).set_display_name("Look again")
