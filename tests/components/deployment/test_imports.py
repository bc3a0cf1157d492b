from __future__ import annotations

import subprocess
import sys


def test_importing_deployment_needs_only_the_standard_library():
    code = (
        "import sys\n"
        "import mainspring.components.deployment.deploy_model, mainspring.components.deployment.resolve_champion\n"
        "files = {name: getattr(module, '__file__', '') or '' for name, module in sys.modules.items()}\n"
        "print(*[name for name, file in files.items() if 'site-packages' in file])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = ("mainspring", "__editable__", "_virtualenv")
    assert [name for name in done.stdout.split() if not name.startswith(ours)] == []
