"""Small pipelines whose tasks say what they see of the machine from inside a container."""

from kfp import dsl

from mainspring.components.common.images import image


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def look(source: str = "", models_root: str = "") -> dict:
    """Says who it is, what it may write, and whether it can read the source."""
    import os
    from pathlib import Path

    def may_write(folder: str) -> bool:
        try:
            (Path(folder) / ".probe").write_text("")
            (Path(folder) / ".probe").unlink()
        except OSError:
            return False
        return True

    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return {
        "user": os.getuid(),
        "capabilities": int(status["CapEff"], 16),
        "may_gain_privileges": status["NoNewPrivs"].strip() == "0",
        "writes": [
            folder
            for folder in ("/", "/opt/mainspring", "/usr", "/tmp", ".", models_root)
            if folder and may_write(folder)
        ],
        "read": Path(source).read_text() if source else "",
        "folder": str(Path.cwd()),
    }


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def wait(flag: str):
    """Says that it runs, and sleeps for ten minutes."""
    import time
    from pathlib import Path

    Path(flag).touch()
    time.sleep(600)


@dsl.component(base_image=image("deployment"), install_kfp_package=False)
def end_at_once():
    """Fails before anybody can ask how it went."""
    import os

    os._exit(3)


@dsl.component(base_image=image("unheard-of"), install_kfp_package=False)
def without_image():
    """Has an image that nobody built."""


@dsl.pipeline(name="looks")
def looks(source: str = "", models_root: str = ""):
    """Looks around."""
    look(source=source, models_root=models_root)


@dsl.pipeline(name="waits")
def waits(models_root: str):
    """Takes ten minutes."""
    wait(flag=f"{models_root}/runs")


@dsl.pipeline(name="ends-at-once")
def ends_at_once():
    """Fails."""
    end_at_once()


@dsl.pipeline(name="lacks-an-image")
def lacks_an_image():
    """Cannot be run."""
    without_image()
