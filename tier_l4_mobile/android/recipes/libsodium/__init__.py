"""libsodium 1.0.20 for Android: the recipe of python-for-android stops at 1.0.16, whose ed25519 PyNaCl cannot use."""

from multiprocessing import cpu_count

import sh
from pythonforandroid.logger import shprint
from pythonforandroid.recipe import Recipe
from pythonforandroid.util import current_directory


class LibsodiumRecipe(Recipe):
    """The shared library, without a version in its name: an app's package takes none that has one."""

    name = "libsodium"
    version = "1.0.20"
    url = "https://github.com/jedisct1/libsodium/releases/download/{version}-RELEASE/libsodium-{version}.tar.gz"
    built_libraries = {"libsodium.so": "src/libsodium/.libs"}  # noqa: RUF012 - python-for-android reads it so

    def build_arch(self, arch):
        """Configure and make it for one architecture."""
        env = self.get_recipe_env(arch)
        with current_directory(self.get_build_dir(arch.arch)):
            shprint(
                sh.Command("./configure"),
                f"--host={arch.command_prefix}",
                "--disable-soname-versions",
                "--enable-shared",
                "--disable-static",
                _env=env,
            )
            shprint(sh.make, "-j", str(cpu_count()), _env=env)

    def get_recipe_env(self, arch=None, with_flags_in_cc=True):
        """Return the environment of the build; its own flags must not push out those of the architecture."""
        env = super().get_recipe_env(arch, with_flags_in_cc)
        env["CFLAGS"] = f"{env.get('CFLAGS', '')} -Os"
        return env


recipe = LibsodiumRecipe()
