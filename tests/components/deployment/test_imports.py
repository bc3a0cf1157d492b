from __future__ import annotations

import subprocess
import sys


def test_importing_deployment_is_quick_and_needs_only_the_standard_library():
    code = (
        "import sys, time; began = time.perf_counter()\n"
        "import mainspring.components.deployment.deploy_model, mainspring.components.deployment.resolve_champion\n"
        "print(time.perf_counter() - began)\n"
        "files = {name: getattr(module, '__file__', '') or '' for name, module in sys.modules.items()}\n"
        "print(*[name for name, file in files.items() if 'site-packages' in file])"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        first, _, second = done.stdout.partition("\n")
        seconds.append(float(first))
        ours = ("mainspring", "__editable__", "_virtualenv")
        assert [name for name in second.split() if not name.startswith(ours)] == []
    assert min(seconds) < 0.5
