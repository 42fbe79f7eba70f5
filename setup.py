"""An installed package holds the configuration, too: conf/ becomes msnas/conf."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConf(build_py):
    """Adds conf/ to what is built; an editable installation uses the checkout's own."""

    def run(self) -> None:
        """Build the modules, and copy."""
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "msnas", "conf")
            shutil.rmtree(folder, ignore_errors=True)  # files of an earlier build
            shutil.copytree("conf", folder)


setup(cmdclass={"build_py": BuildWithConf})
