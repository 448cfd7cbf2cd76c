"""PyNaCl 1.6.2 for Android, against the libsodium of the recipe beside this one."""

from os.path import join

from pythonforandroid.recipe import PyProjectRecipe


class PynaclRecipe(PyProjectRecipe):
    """Its bindings are compiled by cffi; libsodium is a library of the package, not a part of the bindings."""

    name = "pynacl"
    version = "1.6.2"
    url = "https://github.com/pyca/pynacl/archive/refs/tags/{version}.tar.gz"
    site_packages_name = "nacl"
    depends = ["cffi", "libsodium", "setuptools"]  # noqa: RUF012 - python-for-android reads it so
    hostpython_prerequisites = ["cffi>=2.0.0"]  # noqa: RUF012

    def check_prebuilt(self, arch, msg=""):
        """Take no wheel that somebody built: it would bring a libsodium that nobody here has chosen."""
        return False

    def get_recipe_env(self, arch, **kwargs):
        """Return the environment of the build: where libsodium is, and that PyNaCl's own copy is not wanted."""
        env = super().get_recipe_env(arch, **kwargs)
        sodium = self.get_recipe("libsodium", self.ctx).get_build_dir(arch.arch)
        env["SODIUM_INSTALL"] = "system"
        env["CFLAGS"] += f" -I{join(sodium, 'src/libsodium/include')}"
        env["LDFLAGS"] += f" -L{self.ctx.get_libs_dir(arch.arch)} -L{join(sodium, 'src/libsodium/.libs')}"
        return env


recipe = PynaclRecipe()
